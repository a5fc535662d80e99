"""Numbers beside the figures: localisation, position and separation."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from promptpriors.analysis.location import MIN_REACH_RATIO
from promptpriors.analysis.separation import separations
from promptpriors.analysis.significance import t_interval
from promptpriors.analysis.trajectories import Against, Localisation
from promptpriors.measure.position import Cloud, ends_of, position
from promptpriors.models.visible import visible
from promptpriors.paper.inputs import FigureInputs
from promptpriors.runs import Run
from promptpriors.types import Prior, Site, Space


def localisation_numbers(found: Localisation) -> dict[str, Any]:
    """List step length and spread against each null."""
    return {
        f"{what} over {null}": _against(against)
        for what in ("step", "spread")
        for null, against in getattr(found, what).items()
    }


def _against(against: Against) -> dict[str, Any]:
    logs = t_interval(against.ratios.log())
    return {
        "ratio": against.ratio,
        "interval": [float(torch.tensor(x).exp()) for x in (logs.low, logs.high)],
        "p": against.test.p,
    }


def location(
    inputs: FigureInputs, run: Run, site: Site, cloud: Tensor, prior: Prior
) -> dict[str, Any]:
    """Measure a run's start and end at a site beside real points.

    In raw coordinates, and as its block sees them where it alone reads them.
    """
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
) -> Any:
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
