"""Figures on the vocabulary: sentences, soft prompts, the exclusion prior."""

from typing import Any, cast

import torch
from scipy.stats import chi2
from torch import Tensor

from promptpriors.analysis.location import mahalanobis
from promptpriors.analysis.projection import Plane
from promptpriors.analysis.trajectories import localisation
from promptpriors.geometry import moments
from promptpriors.paper import figure_parts as parts
from promptpriors.paper.figure_parts import DOCUMENTS, SENTENCES, TSNE_AXES, WORDS
from promptpriors.paper.inputs import FigureInputs, on_plane
from promptpriors.priors import fit_prior
from promptpriors.runs.pictures import Layer, Panel, Picture
from promptpriors.types import Space

EXCLUSIONS: dict[str, dict[str, Any]] = {
    "k = 5": {"k": 5.0},
    "k = 5^(2/d)": {"k": "c^(2/d)", "c": 5.0},
    "beyond 0.999 of the rows": {"outside": 0.999},
}
"""What the label of the paper's figure 9 may mean, and what it shows: a hole where the data are."""


def sentences(inputs: FigureInputs) -> Picture:
    """Figure 1: a few sentences on the t-SNE map of the vocabulary."""
    rows = inputs.vocabulary()
    chart = inputs.tsne("vocabulary", lambda: rows.points)
    paths = [path for path in _token_rows(inputs, rows) if len(path) >= WORDS][:DOCUMENTS]
    lines = parts.text_lines(chart.coordinates[path[:WORDS]] for path in paths)
    cloud = Layer("cloud", "vocabulary", "data", chart.coordinates)
    every = torch.cat(paths)
    pools = {"unigram": rows.points[every], "vocabulary": rows.points}
    texts, stream = [rows.points[path] for path in paths], inputs.random("figure 1")
    found = localisation(texts, pools, generator=stream)
    return Picture(
        1,
        "Sentences on the vocabulary",
        f"The vocabulary's {len(rows.points):,} rows on a t-SNE map, and the first {WORDS} tokens "
        f"of {SENTENCES} C4 documents as lines. Distances between far parts of a t-SNE map mean "
        "nothing; the numbers beside it are of the embeddings themselves: each document's spread "
        "and mean step over those of as many tokens shuffled, drawn from all documents (unigram), "
        "or drawn from the vocabulary (the paper's random walk).",
        [Panel("", TSNE_AXES, [cloud, *lines])],
        {"documents": len(paths), **parts.localisation_numbers(found)},
        columns=1,
    )


def soft(inputs: FigureInputs, number: int, name: str) -> Picture:
    """Figures 6 to 8: a soft prompt before and after training."""
    rows, run = inputs.vocabulary(), inputs.run(name)
    plane = inputs.plane("vocabulary", lambda: rows.points)
    cloud = Layer("cloud", "vocabulary", "data", on_plane(plane, rows.points))
    marks = parts.drawn_and_trained(run, "embed", plane)
    prior, train = run.config["prior"]["name"], run.config["train"]
    return Picture(
        number,
        f"A soft prompt from the {prior} prior, rate {train['lr']['relative']:g} of its size",
        f"The vocabulary on its principal plane ({_share(plane)} of its variance), and the "
        f"prompt's {len(marks[0].points)} vectors as drawn and after {train['steps']} steps. "
        "One run: what it shows holds for it alone. Whether vectors moved towards rows is decided "
        "in all dimensions, against the nulls beside it, not on the plane.",
        [Panel("", parts.axes(plane), [cloud, *marks])],
        parts.location(inputs, name, "embed", rows.points),
        columns=1,
    )


def exclusion(inputs: FigureInputs) -> Picture:
    """Figure 9: draws of the exclusion prior in three readings."""
    rows = inputs.vocabulary()
    plane = inputs.plane("vocabulary", lambda: rows.points)
    found = moments(rows.points)
    inside = mahalanobis(rows.points, found.mean, found.covariance)
    dim = rows.points.shape[1]
    edge = float(chi2.ppf(0.999, dim) / dim) ** 0.5

    def beyond(radius: float | Tensor) -> float:
        return float((inside > radius).float().mean())

    panels: list[Panel] = []
    numbers: dict[str, Any] = {"rows beyond the Gaussian's 0.999 radius": beyond(edge)}
    for label, params in EXCLUSIONS.items():
        prior = fit_prior("exclusion", rows, seed=inputs.plan.seed, **params)
        draws = prior.sample(200, generator=inputs.random("figure 9", label))
        layers = [
            Layer("cloud", "vocabulary", "data", on_plane(plane, rows.points)),
            Layer("marks", "drawn", "sampled", on_plane(plane, draws)),
            Layer("marks", "mean of the rows", "centre", torch.zeros(1, 2)),
        ]
        panels.append(Panel(label, parts.axes(plane), layers))
        radii = mahalanobis(draws, found.mean, found.covariance)
        numbers[label] = {
            "median radius over √rank": float(radii.median()),
            "least radius over √rank": float(radii.min()),
            "rows farther out than the median draw": beyond(radii.median()),
            "rows farther out than the nearest draw": beyond(radii.min()),
        }
    return Picture(
        9,
        "Draws of the exclusion prior",
        "200 draws of each reading of k on the vocabulary's principal plane "
        f"({_share(plane)} of its variance), and the mean of the rows as a cross. A projection of "
        "points on a shell fills its middle, so no hole is seen whatever the prior; the radii "
        "beside it (Mahalanobis, 1 for a Gaussian) say where draws lie.",
        panels,
        numbers,
        one_map=True,
    )


def _share(plane: Plane) -> str:
    return f"{100 * float(plane.explained.sum()):.1f} %"


def _token_rows(inputs: FigureInputs, rows: Space) -> list[Tensor]:
    """Each C4 document as rows of the vocabulary; tokens without a row are left out."""
    texts = inputs.space("c4", "embed", first=True)
    ids, own = cast("Tensor", texts.tokens), cast("Tensor", rows.tokens)
    row_of = torch.full((int(max(own.max(), ids.max())) + 1,), -1)
    row_of[own] = torch.arange(len(own))
    sizes = torch.bincount(cast("Tensor", texts.groups)).tolist()
    found = row_of[ids].split([size for size in sizes if size])
    return [path[path >= 0] for path in found]
