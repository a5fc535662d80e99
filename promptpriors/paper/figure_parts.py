"""Layers that figures share, and the numbers beside them."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from promptpriors.analysis.location import MIN_REACH_RATIO
from promptpriors.analysis.projection import Plane
from promptpriors.analysis.separation import separations
from promptpriors.analysis.significance import t_interval
from promptpriors.analysis.trajectories import Localisation
from promptpriors.measure.position import Cloud, ends_of, position
from promptpriors.models.visible import visible
from promptpriors.paper.figure_plan import DOMAINS
from promptpriors.paper.inputs import FigureInputs, on_plane
from promptpriors.runs import Run
from promptpriors.runs.pictures import Layer
from promptpriors.types import Site, Space

SENTENCES, WORDS = 4, 24
"""Texts that are drawn as lines, and their tokens."""
DOCUMENTS = 200
"""Texts by which localisation is tested."""
TSNE_AXES = ("t-SNE 1", "t-SNE 2")
DOMAIN_ROLES = {"c4": "data", "squad": "second", "mathematics": "third"}
LINE_ROLES = ("question", "answer", "trained", "sampled")


def axes(plane: Plane) -> tuple[str, str]:
    """Label a principal plane's axes with their shares of variance."""
    first, second = (f"{100 * float(value):.1f} %" for value in plane.explained)
    return f"first principal direction, {first}", f"second, {second}"


def token_clouds(inputs: FigureInputs, plane: Plane, site: Site, *domains: str) -> list[Layer]:
    """Draw a sample of domains' tokens at a site on a plane."""
    samples = {name: inputs.sample(inputs.space(name, site).points) for name in domains}
    return [
        Layer("cloud", DOMAINS[name], DOMAIN_ROLES[name], on_plane(plane, points))
        for name, points in samples.items()
    ]


def text_lines(paths: Iterable[Tensor]) -> list[Layer]:
    """Draw the first texts of a figure as lines."""
    shown = zip(LINE_ROLES, paths, strict=False)
    return [Layer("ways", f"text {i}", role, path) for i, (role, path) in enumerate(shown, 1)]


def drawn_and_trained(
    run: Run,
    site: Site,
    plane: Plane,
    *,
    prior: str = "",
    roles: tuple[str, str] = ("sampled", "trained"),
) -> list[Layer]:
    """Mark a run's vectors at a site as drawn and as trained."""
    tensors, (drawn, trained) = run.tensors(), roles
    return [
        Layer("marks", f"{prior}drawn", drawn, on_plane(plane, tensors[f"initial/{site}"])),
        Layer("marks", f"{prior}trained", trained, on_plane(plane, tensors[f"final/{site}"])),
    ]


def ratio_interval(logs: Tensor) -> list[float]:
    """Take a t interval of logarithms back to ratios."""
    found = t_interval(logs)
    return [float(torch.tensor(end).exp()) for end in (found.low, found.high)]


def localisation_numbers(found: Localisation) -> dict[str, Any]:
    """List step length and spread against each null."""
    return {
        f"{what} over {null}": {
            "ratio": against.ratio,
            "interval": ratio_interval(against.ratios.log()),
            "p": against.test.p,
        }
        for what in ("step", "spread")
        for null, against in getattr(found, what).items()
    }


def location(inputs: FigureInputs, name: str, site: Site, cloud: Tensor) -> dict[str, Any]:
    """Measure a run's start and end at a site beside real points.

    In raw coordinates, and as its block sees them where it alone reads them.
    """
    run, prior = inputs.run(name), inputs.prior(name, site)
    ends, result = ends_of(run, site), run.result or {}
    raw = position(ends, Cloud(cloud), prior, None)
    found = {
        "run": run.id,
        "validation loss": [result["val_loss_initial"], result["val_loss"]],
        "validation loss without a prompt": result["val_loss_none"],
        "testable": (raw.reach_ratio or 0) >= MIN_REACH_RATIO,
        "raw": raw.by_heading(),
    }
    if run.config["prompt"]["mode"] == "deep-cut":
        view = visible(inputs.backbone, site)
        found["visible"] = position(ends, Cloud(cloud, view), prior, view).by_heading()
    return found


def separated(
    domains: Mapping[str, Space], inputs: FigureInputs, purpose: str, *, means: bool = False
) -> dict[str, Any]:
    """Measure energy distances between domains and between halves of each.

    Ratios are to the mean distance between two documents of the first domain.
    """
    first = next(iter(domains))
    found = separations(
        domains, reference=(first, first), generator=inputs.random(purpose), means=means
    )
    return {
        f"{one} – {other}" if one != other else f"{one}, half and half": {
            "energy distance": separation.distance,
            "ratio": separation.ratio.estimate,
            "interval": [separation.ratio.low, separation.ratio.high],
            "p": separation.p,
        }
        for (one, other), separation in found.items()
    }
