"""Figures of prompts among activations: fitted priors, the interpolation, the autoencoder."""

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor

from promptpriors.activations import load_space
from promptpriors.analysis.separation import excess
from promptpriors.analysis.spread import effective_rank, scale_of
from promptpriors.analysis.two_sample import energy_distance
from promptpriors.geometry import neighbour_distance
from promptpriors.paper import figure_parts as parts
from promptpriors.paper.figure_parts import DOMAIN_ROLES
from promptpriors.paper.figure_plan import DOMAINS
from promptpriors.paper.inputs import FigureInputs, on_plane, rows_of
from promptpriors.priors import fit_prior
from promptpriors.priors.vae import Vae
from promptpriors.runs.pictures import Layer, Panel, Picture
from promptpriors.types import Site, Space

BRIDGED = 100
"""Documents of each domain that are read behind a prompt."""
REFERENCE = 20_000
"""Points that nearest ones are looked for among."""
DRAWS, DRAWN = 2000, 500
"""Samples of a prior that are measured, and those that are drawn on the plane."""


def fitted(inputs: FigureInputs, number: int, site: Site, runs: tuple[str, ...]) -> Picture:
    """Figures 10 and 11: prompts from a Gaussian and from Xavier, drawn and trained."""
    plane = inputs.text_plane(site)
    gaussian, xavier = (inputs.run(name) for name in runs)
    roles = ("other", "answer")
    layers = [
        *parts.token_clouds(inputs, plane, site, "c4", "squad"),
        *parts.drawn_and_trained(gaussian, site, plane, prior="Gaussian, "),
        *parts.drawn_and_trained(xavier, site, plane, prior="Xavier, ", roles=roles),
    ]
    squad = inputs.sample(inputs.space("squad", site).points)
    numbers = {name: parts.location(inputs, name, site, squad) for name in runs}
    where = "token embeddings as they occur" if site == "embed" else f"activations at {site}"
    return Picture(
        number,
        f"Prompts among {where}",
        f"Tokens of C4 and SQuAD ({where}; first tokens left out) on their principal plane, and "
        "the vectors of a prompt from the Gaussian fitted to SQuAD's points and of one from "
        "Xavier, as drawn and as trained on SQuAD. One run each. Distances are taken in all "
        "dimensions, beside fresh draws of the prior and draws of the Gaussian at equal norm.",
        [Panel("", parts.axes(plane), layers)],
        numbers,
        columns=1,
    )


def between(inputs: FigureInputs) -> Picture:
    """Figure 12: the interpolation between arithmetic and C4, among means of examples."""
    site = inputs.last_block
    spaces = {name: inputs.space(name, site, pool="mean") for name in DOMAINS}
    plane = inputs.plane(f"means {site}", lambda: torch.cat([s.points for s in spaces.values()]))
    clouds = [
        Layer("cloud", DOMAINS[name], DOMAIN_ROLES[name], on_plane(plane, space.points))
        for name, space in spaces.items()
    ]
    run = inputs.run("deep-interpolation")
    marks = parts.drawn_and_trained(run, site, plane)
    tensors = run.tensors()
    tokens = inputs.joined(site, "c4", "mathematics")
    distances = {}
    for at in dict.fromkeys(("embed", inputs.two_thirds_block, site)):
        domains = {label: inputs.space(name, at, pool="mean") for name, label in DOMAINS.items()}
        distances[at] = parts.separated(domains, inputs, "figure 12", means=True)
    activations, words = (
        {label: inputs.space(name, at) for name, label in DOMAINS.items()} for at in (site, "embed")
    )
    return Picture(
        12,
        "Between the domains",
        f"C4, SQuAD and arithmetic at {site}, one mean point an example, on their principal "
        "plane, and the vectors of a prompt drawn between the Gaussians of arithmetic and C4, "
        "before and after training on arithmetic. One run. A vector is no mean of a text: it is "
        "as wide as single tokens are. `along` is the place on the line from C4's mean to "
        "arithmetic's: 0 and 1.",
        [Panel("", parts.axes(plane), [*clouds, *marks])],
        {
            "energy distance of means by site": distances,
            "separation beyond that of words": _excess(inputs, activations, words, "words"),
            "separation behind a soft prompt less without it": _bridge(inputs, "gaussian-fast"),
            "along, drawn": _along(inputs, tensors[f"initial/{site}"]),
            "along, trained": _along(inputs, tensors[f"final/{site}"]),
            "deep-interpolation": parts.location(
                inputs, "deep-interpolation", site, inputs.sample(tokens)
            ),
        },
        columns=1,
    )


def autoencoder(inputs: FigureInputs) -> Picture:
    """Figure 13: draws of the autoencoder among SQuAD's activations."""
    site = inputs.last_block
    space = inputs.space("squad", site)
    plane = inputs.text_plane(site)
    learn, held = _halves(inputs, space)
    stream = inputs.random("figure 13")
    real = held.points[torch.randperm(len(held.points), generator=stream)[:DRAWS]]
    vae = cast("Vae", fit_prior("vae", learn, seed=inputs.plan.seed, points=40_000))
    gaussian = fit_prior("gaussian", learn, seed=inputs.plan.seed)
    drawn = vae.sample(DRAWS, generator=stream)
    rows = torch.randint(len(learn.points), (DRAWS,), generator=stream)
    scale = scale_of(learn.points)
    means = vae.means(DRAWS, generator=stream)
    rank = effective_rank(means, scale=scale) / effective_rank(real, scale=scale)
    reference = inputs.sample(learn.points)[:REFERENCE]
    near = [neighbour_distance(x[:500], reference).median() for x in (drawn, real)]
    compared = {
        "vae": drawn,
        "resampled points": learn.points[rows],
        "gaussian": gaussian.sample(DRAWS, generator=stream),
    }
    layers = [
        *parts.token_clouds(inputs, plane, site, "squad"),
        Layer("cloud", "autoencoder", "trained", on_plane(plane, drawn[:DRAWN])),
    ]
    return Picture(
        13,
        "Draws of the autoencoder",
        f"SQuAD's tokens at {site} on the principal plane of C4 and SQuAD (first tokens left "
        f"out), and {DRAWN} draws of a variational autoencoder fitted to half of its "
        "documents. The numbers hold draws against the other half, beside resampled points and a "
        "Gaussian.",
        [Panel("", parts.axes(plane), layers)],
        {
            "energy distance to the held half": {
                name: energy_distance(points, real) for name, points in compared.items()
            },
            "effective rank of decoder means over the held half's": rank,
            "nearest training point over held points'": float(near[0] / near[1]),
        },
        columns=1,
    )


def _bridge(inputs: FigureInputs, run: str) -> dict[str, Any]:
    """Does a trained prompt bridge C4 and arithmetic: the same documents with and without it."""
    behind, without = {}, {}
    site = inputs.last_block
    few = min(BRIDGED, *(domain.documents for domain in inputs.plan.domains.values()))
    for name in ("c4", "mathematics"):
        domain = inputs.plan.domains[name].model_copy(update={"documents": few})
        store = inputs.captured(f"{name}-behind-{run}", inputs.backbone, domain, [site], run=run)
        behind[DOMAINS[name]] = load_space(store, site)
        space = inputs.space(name, site)
        without[DOMAINS[name]] = rows_of(space, cast("Tensor", space.groups) < few)
    return {"documents": few, **_excess(inputs, behind, without, "bridge")}


def _excess(
    inputs: FigureInputs, here: Mapping[str, Space], there: Mapping[str, Space], purpose: str
) -> dict[str, list[float]]:
    """Separation here less that there, one token a document."""
    reference, random = (DOMAINS["c4"], DOMAINS["c4"]), inputs.random("figure 12", purpose)
    found = excess(here, there, reference=reference, generator=random)
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
    return rows_of(space, inside), rows_of(space, ~inside)
