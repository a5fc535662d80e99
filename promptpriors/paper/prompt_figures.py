"""Figures of prompts among activations: fitted priors, the interpolation, the autoencoder."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor

from promptpriors.activations import load_space
from promptpriors.analysis.separation import excess
from promptpriors.analysis.significance import Interval
from promptpriors.analysis.spread import effective_rank, scale_of
from promptpriors.analysis.two_sample import energy_distance
from promptpriors.geometry import neighbour_distance
from promptpriors.paper.domain_figures import some
from promptpriors.paper.figure_numbers import location, separated
from promptpriors.paper.inputs import Material, seen
from promptpriors.paper.vocabulary_figures import axes, cloud
from promptpriors.priors import fit_prior
from promptpriors.priors.vae import Vae
from promptpriors.runs.pictures import Layer, Panel, Picture
from promptpriors.types import Site, Space

BRIDGED = 100
"""Documents of each domain that are read behind a prompt."""
REFERENCE = 20_000
"""Points that nearest ones are looked for among."""
DRAWS = 2000
"""Samples of a prior that are measured."""
MEANS = ("c4", "squad", "mathematics")
NAMES = {"c4": "C4", "squad": "SQuAD", "mathematics": "arithmetic"}
ROLES = {"c4": "data", "squad": "second", "mathematics": "third"}


def fitted(m: Material, number: int, site: Site, runs: tuple[str, str]) -> Picture:
    """Figures 10 and 11: prompts from a fitted Gaussian and from Xavier, drawn and trained."""
    both = m.joined(("c4", "squad"), site)
    plane = m.plane(f"c4 squad {site}", lambda: both.points)
    clouds = [
        cloud(NAMES[name], seen(plane, some(m, m.space(name, site).points)), ROLES[name])
        for name in ("c4", "squad")
    ]
    gaussian, xavier = (m.run(name).tensors() for name in runs)
    marks = [
        Layer("marks", "Gaussian, drawn", "sampled", seen(plane, gaussian[f"initial/{site}"])),
        Layer("marks", "Gaussian, trained", "trained", seen(plane, gaussian[f"final/{site}"])),
        Layer("marks", "Xavier, drawn", "other", seen(plane, xavier[f"initial/{site}"])),
        Layer("marks", "Xavier, trained", "answer", seen(plane, xavier[f"final/{site}"])),
    ]
    squad = some(m, m.space("squad", site).points)
    numbers = {name: location(m, m.run(name), site, squad, m.prior(name, site)) for name in runs}
    where = "token embeddings as they occur" if site == "embed" else f"activations at {site}"
    return Picture(
        number,
        f"Prompts among {where}",
        f"Tokens of C4 and SQuAD ({where}; first tokens left out) on their principal plane, and "
        "the vectors of a prompt from the Gaussian fitted to SQuAD's points and of one from "
        "Xavier, as drawn and as trained on SQuAD. One run each. Distances are taken in all "
        "dimensions, beside fresh draws of the prior and draws of the Gaussian at equal norm.",
        [Panel("", axes(plane), [*clouds, *marks])],
        numbers,
        columns=1,
    )


def between(m: Material) -> Picture:
    """Figure 12: the interpolation between arithmetic and C4, among means of examples."""
    spaces = {name: m.space(name, m.last, pool="mean") for name in MEANS}
    plane = m.plane(f"means {m.last}", lambda: torch.cat([s.points for s in spaces.values()]))
    clouds = [
        Layer("cloud", NAMES[name], ROLES[name], seen(plane, spaces[name].points)) for name in MEANS
    ]
    run = m.run("deep-interpolation")
    tensors = run.tensors()
    ends = {when: tensors[f"{when}/{m.last}"] for when in ("initial", "final")}
    marks = [
        Layer("marks", "drawn", "sampled", seen(plane, ends["initial"])),
        Layer("marks", "trained", "trained", seen(plane, ends["final"])),
    ]
    prior, tokens = m.prior("deep-interpolation", m.last), m.joined(("c4", "mathematics"), m.last)
    places = dict.fromkeys(("embed", m.higher, m.last))
    apart = {}
    for place in places:
        here = {NAMES[name]: m.space(name, place, pool="mean") for name in MEANS}
        apart[place] = separated(here, m, "figure 12", means=True)
    return Picture(
        12,
        "Between the domains",
        f"C4, SQuAD and arithmetic at {m.last}, one mean point an example, on their principal "
        "plane, and the vectors of a prompt drawn between the Gaussians of arithmetic and C4, "
        "before and after training on arithmetic. One run. A vector is no mean of a text: it is "
        "as wide as single tokens are. `along` is the place on the line from C4's mean to "
        "arithmetic's: 0 and 1.",
        [Panel("", axes(plane), [*clouds, *marks])],
        {
            "energy distance of means by site": apart,
            "separation beyond that of words": _beyond_words(m),
            "separation behind a soft prompt less without it": _bridge(m, "gaussian-fast"),
            "along, drawn": _along(m, ends["initial"]),
            "along, trained": _along(m, ends["final"]),
            "deep-interpolation": location(m, run, m.last, some(m, tokens.points), prior),
        },
        columns=1,
    )


def autoencoder(m: Material) -> Picture:
    """Figure 13: samples of the autoencoder among SQuAD's activations in the last block."""
    space = m.space("squad", m.last)
    plane = m.plane(f"c4 squad {m.last}", lambda: m.joined(("c4", "squad"), m.last).points)
    learn, held = _halves(m, space)
    stream = m.random("figure 13")
    order = torch.randperm(len(held.points), generator=stream)[:DRAWS]
    real = held.points[order]
    vae = cast("Vae", fit_prior("vae", learn, seed=m.plan.seed, points=40_000))
    gaussian = fit_prior("gaussian", learn, seed=m.plan.seed)
    drawn = vae.sample(DRAWS, generator=stream)
    rows = torch.randint(len(learn.points), (DRAWS,), generator=stream)
    scale = scale_of(learn.points)
    rank = effective_rank(vae.means(DRAWS, generator=stream), scale=scale)
    reference = some(m, learn.points)[:REFERENCE]
    near = [neighbour_distance(x[:500], reference).median() for x in (drawn, real)]
    others = {
        "resampled points": learn.points[rows],
        "gaussian": gaussian.sample(DRAWS, generator=stream),
    }
    return Picture(
        13,
        "Draws of the autoencoder",
        f"SQuAD's tokens at {m.last} on the principal plane of C4 and SQuAD (first tokens left "
        f"out), and {DRAWS // 4} draws of a variational autoencoder fitted to half of its "
        "documents. The numbers hold draws against the other half, beside resampled points and a "
        "Gaussian.",
        [
            Panel(
                "",
                axes(plane),
                [
                    cloud("SQuAD", seen(plane, some(m, space.points)), "second"),
                    Layer("cloud", "autoencoder", "trained", seen(plane, drawn[: DRAWS // 4])),
                ],
            )
        ],
        {
            "energy distance to the held half": {
                "vae": energy_distance(drawn, real),
                **{name: energy_distance(points, real) for name, points in others.items()},
            },
            "effective rank of decoder means over the held half's": rank
            / effective_rank(real, scale=scale),
            "nearest training point over held points'": float(near[0] / near[1]),
        },
        columns=1,
    )


def _beyond_words(m: Material) -> dict[str, Any]:
    """Separation in the last block less that at ``embed``, one token a document."""
    here, there = (
        {NAMES[name]: m.space(name, site) for name in MEANS} for site in (m.last, "embed")
    )
    reference = (NAMES["c4"], NAMES["c4"])
    found = excess(here, there, reference=reference, generator=m.random("figure 12", "words"))
    return _intervals(found)


def _bridge(m: Material, run: str) -> dict[str, Any]:
    """Does a trained prompt bridge C4 and arithmetic: the same documents with and without it."""
    behind, without = {}, {}
    few = min(BRIDGED, *(domain.documents for domain in m.plan.domains.values()))
    for name in ("c4", "mathematics"):
        domain = replace(m.plan.domains[name], documents=few)
        store = m.captured(f"{name}-behind-{run}", m.backbone, domain, [m.last], run=run)
        behind[NAMES[name]] = load_space(store, m.last)
        without[NAMES[name]] = _first(m.space(name, m.last), few)
    reference = (NAMES["c4"], NAMES["c4"])
    found = excess(behind, without, reference=reference, generator=m.random("figure 12", "bridge"))
    return {"documents": few, **_intervals(found)}


def _first(space: Space, documents: int) -> Space:
    kept = cast("Tensor", space.groups) < documents
    parts = {k: v[kept] for k, v in space._asdict().items() if isinstance(v, Tensor)}
    return space._replace(**parts)


def _intervals(found: Mapping[tuple[str, str], Interval]) -> dict[str, Any]:
    return {f"{one} – {other}": list(interval) for (one, other), interval in found.items()}


def _along(m: Material, vectors: Tensor) -> dict[str, float]:
    """Places along the line from C4's mean to arithmetic's, and the nulls of real tokens."""
    c4, arithmetic = (m.space(name, m.last).points.double() for name in ("c4", "mathematics"))
    line = arithmetic.mean(dim=0) - c4.mean(dim=0)

    def place(points: Tensor) -> Tensor:
        return (points.double() - c4.mean(dim=0)) @ line / line.square().sum()

    found = place(vectors)
    return {
        "mean": float(found.mean()),
        "least": float(found.min()),
        "most": float(found.max()),
        "deviation of C4's tokens": float(place(c4).std()),
        "deviation of arithmetic's tokens": float(place(arithmetic).std()),
    }


def _halves(m: Material, space: Space) -> tuple[Space, Space]:
    """A space halved by its documents."""
    groups = cast("Tensor", space.groups)
    names = groups.unique()
    first = names[torch.randperm(len(names), generator=m.random("halves"))[: len(names) // 2]]
    inside = torch.isin(groups, first)
    one, other = (
        Space(space.site, space.points[mask], groups=groups[mask]) for mask in (inside, ~inside)
    )
    return one, other
