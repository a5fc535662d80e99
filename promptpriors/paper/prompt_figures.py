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
from promptpriors.paper.figure_numbers import location, separated
from promptpriors.paper.inputs import FigureInputs, on_plane
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


def fitted(inputs: FigureInputs, number: int, site: Site, runs: tuple[str, str]) -> Picture:
    """Figures 10 and 11: prompts from a Gaussian and from Xavier, drawn and trained."""
    both = inputs.joined(("c4", "squad"), site)
    plane = inputs.plane(f"c4 squad {site}", lambda: both.points)
    clouds = [
        cloud(
            NAMES[name],
            on_plane(plane, inputs.sample(inputs.space(name, site).points)),
            ROLES[name],
        )
        for name in ("c4", "squad")
    ]
    gaussian, xavier = (inputs.run(name).tensors() for name in runs)
    marks = [
        Layer("marks", "Gaussian, drawn", "sampled", on_plane(plane, gaussian[f"initial/{site}"])),
        Layer("marks", "Gaussian, trained", "trained", on_plane(plane, gaussian[f"final/{site}"])),
        Layer("marks", "Xavier, drawn", "other", on_plane(plane, xavier[f"initial/{site}"])),
        Layer("marks", "Xavier, trained", "answer", on_plane(plane, xavier[f"final/{site}"])),
    ]
    squad = inputs.sample(inputs.space("squad", site).points)
    numbers = {
        name: location(inputs, inputs.run(name), site, squad, inputs.prior(name, site))
        for name in runs
    }
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


def between(inputs: FigureInputs) -> Picture:
    """Figure 12: the interpolation between arithmetic and C4, among means of examples."""
    site = inputs.last_block
    spaces = {name: inputs.space(name, site, pool="mean") for name in MEANS}
    plane = inputs.plane(f"means {site}", lambda: torch.cat([s.points for s in spaces.values()]))
    clouds = [
        Layer("cloud", NAMES[name], ROLES[name], on_plane(plane, spaces[name].points))
        for name in MEANS
    ]
    run = inputs.run("deep-interpolation")
    tensors = run.tensors()
    ends = {when: tensors[f"{when}/{site}"] for when in ("initial", "final")}
    marks = [
        Layer("marks", "drawn", "sampled", on_plane(plane, ends["initial"])),
        Layer("marks", "trained", "trained", on_plane(plane, ends["final"])),
    ]
    prior = inputs.prior("deep-interpolation", site)
    tokens = inputs.joined(("c4", "mathematics"), site)
    distances = {}
    for at in dict.fromkeys(("embed", inputs.two_thirds_block, site)):
        domains = {NAMES[name]: inputs.space(name, at, pool="mean") for name in MEANS}
        distances[at] = separated(domains, inputs, "figure 12", means=True)
    return Picture(
        12,
        "Between the domains",
        f"C4, SQuAD and arithmetic at {site}, one mean point an example, on their principal "
        "plane, and the vectors of a prompt drawn between the Gaussians of arithmetic and C4, "
        "before and after training on arithmetic. One run. A vector is no mean of a text: it is "
        "as wide as single tokens are. `along` is the place on the line from C4's mean to "
        "arithmetic's: 0 and 1.",
        [Panel("", axes(plane), [*clouds, *marks])],
        {
            "energy distance of means by site": distances,
            "separation beyond that of words": _beyond_words(inputs),
            "separation behind a soft prompt less without it": _bridge(inputs, "gaussian-fast"),
            "along, drawn": _along(inputs, ends["initial"]),
            "along, trained": _along(inputs, ends["final"]),
            "deep-interpolation": location(inputs, run, site, inputs.sample(tokens.points), prior),
        },
        columns=1,
    )


def autoencoder(inputs: FigureInputs) -> Picture:
    """Figure 13: draws of the autoencoder among SQuAD's activations."""
    site = inputs.last_block
    space = inputs.space("squad", site)
    plane = inputs.plane(f"c4 squad {site}", lambda: inputs.joined(("c4", "squad"), site).points)
    learn, held = _halves(inputs, space)
    stream = inputs.random("figure 13")
    order = torch.randperm(len(held.points), generator=stream)[:DRAWS]
    real = held.points[order]
    vae = cast("Vae", fit_prior("vae", learn, seed=inputs.plan.seed, points=40_000))
    gaussian = fit_prior("gaussian", learn, seed=inputs.plan.seed)
    drawn = vae.sample(DRAWS, generator=stream)
    rows = torch.randint(len(learn.points), (DRAWS,), generator=stream)
    scale = scale_of(learn.points)
    rank = effective_rank(vae.means(DRAWS, generator=stream), scale=scale)
    reference = inputs.sample(learn.points)[:REFERENCE]
    near = [neighbour_distance(x[:500], reference).median() for x in (drawn, real)]
    others = {
        "resampled points": learn.points[rows],
        "gaussian": gaussian.sample(DRAWS, generator=stream),
    }
    return Picture(
        13,
        "Draws of the autoencoder",
        f"SQuAD's tokens at {site} on the principal plane of C4 and SQuAD (first tokens left "
        f"out), and {DRAWS // 4} draws of a variational autoencoder fitted to half of its "
        "documents. The numbers hold draws against the other half, beside resampled points and a "
        "Gaussian.",
        [
            Panel(
                "",
                axes(plane),
                [
                    cloud("SQuAD", on_plane(plane, inputs.sample(space.points)), "second"),
                    Layer("cloud", "autoencoder", "trained", on_plane(plane, drawn[: DRAWS // 4])),
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


def _beyond_words(inputs: FigureInputs) -> dict[str, Any]:
    """Separation in the last block less that at ``embed``, one token a document."""
    activations, words = (
        {NAMES[name]: inputs.space(name, site) for name in MEANS}
        for site in (inputs.last_block, "embed")
    )
    reference, random = (NAMES["c4"], NAMES["c4"]), inputs.random("figure 12", "words")
    found = excess(activations, words, reference=reference, generator=random)
    return _intervals(found)


def _bridge(inputs: FigureInputs, run: str) -> dict[str, Any]:
    """Does a trained prompt bridge C4 and arithmetic: the same documents with and without it."""
    behind, without = {}, {}
    few = min(BRIDGED, *(domain.documents for domain in inputs.plan.domains.values()))
    for name in ("c4", "mathematics"):
        domain = replace(inputs.plan.domains[name], documents=few)
        store = inputs.captured(
            f"{name}-behind-{run}", inputs.backbone, domain, [inputs.last_block], run=run
        )
        behind[NAMES[name]] = load_space(store, inputs.last_block)
        without[NAMES[name]] = _first(inputs.space(name, inputs.last_block), few)
    reference = (NAMES["c4"], NAMES["c4"])
    found = excess(
        behind, without, reference=reference, generator=inputs.random("figure 12", "bridge")
    )
    return {"documents": few, **_intervals(found)}


def _first(space: Space, documents: int) -> Space:
    kept = cast("Tensor", space.groups) < documents
    parts = {k: v[kept] for k, v in space._asdict().items() if isinstance(v, Tensor)}
    return space._replace(**parts)


def _intervals(found: Mapping[tuple[str, str], Interval]) -> dict[str, Any]:
    return {f"{one} – {other}": list(interval) for (one, other), interval in found.items()}


def _along(inputs: FigureInputs, vectors: Tensor) -> dict[str, float]:
    """Places along the line from C4's mean to arithmetic's, and the nulls of real tokens."""
    c4, arithmetic = (
        inputs.space(name, inputs.last_block).points.double() for name in ("c4", "mathematics")
    )
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


def _halves(inputs: FigureInputs, space: Space) -> tuple[Space, Space]:
    """A space halved by its documents."""
    groups = cast("Tensor", space.groups)
    names = groups.unique()
    first = names[torch.randperm(len(names), generator=inputs.random("halves"))[: len(names) // 2]]
    inside = torch.isin(groups, first)
    one, other = (
        Space(space.site, space.points[mask], groups=groups[mask]) for mask in (inside, ~inside)
    )
    return one, other
