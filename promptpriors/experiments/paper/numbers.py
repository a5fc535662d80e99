"""The numbers beside the figures: how they are put, and where a run's vectors lie."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from promptpriors.analysis.collapse import collapse
from promptpriors.analysis.location import displacement
from promptpriors.analysis.reach import LEAST, mahalanobis, reach_ratio
from promptpriors.analysis.separation import separations
from promptpriors.analysis.significance import t_interval
from promptpriors.analysis.trajectories import Against, Localisation
from promptpriors.experiments.paper.material import Material
from promptpriors.geometry import moments, neighbour_distance
from promptpriors.priors import fit_prior
from promptpriors.runs import Run
from promptpriors.types import Prior, Site, Space

DRAWS = 99
"""Null prompts."""


def said(found: Localisation) -> dict[str, Any]:
    """Step length and spread against each null."""
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


def location(m: Material, run: Run, site: Site, cloud: Tensor, prior: Prior) -> dict[str, Any]:
    """Where a run's vectors at a site started and ended beside a cloud, and what it is worth."""
    tensors = run.tensors()
    start, end = (tensors[f"{when}/{site}"] for when in ("initial", "final"))
    rates = [record["lr"][site] for record in run.metrics() if record.get("lr")]
    ratio = reach_ratio(rates, start, cloud)
    found = moments(cloud)
    radii = [mahalanobis(x, found.mean, found.covariance).median() for x in (start, end)]
    near = [neighbour_distance(x, cloud).median() for x in (start, end)]
    stream = m.random("nulls", run.id, site)
    redrawn = torch.stack([prior.sample(len(start), generator=stream) for _ in range(DRAWS)])
    gaussian = fit_prior("gaussian", Space(site, cloud))
    drawn = torch.stack([gaussian.sample(len(start), generator=stream) for _ in range(DRAWS)])
    known = collapse(
        start, end, cloud, redrawn=redrawn, gaussian=drawn, generator=stream, draws=DRAWS
    )
    result = run.result or {}
    return {
        "run": run.id,
        "validation loss": [result["val_loss_initial"], result["val_loss"]],
        "validation loss without a prompt": result["val_loss_none"],
        "displacement": displacement({site: start}, {site: end}),
        "reach ratio": ratio,
        "testable": ratio >= LEAST,
        "median radius over √rank, start and end": [float(x) for x in radii],
        "median distance to the nearest point, start and end": [float(x) for x in near],
        "distance to the nearest point": {
            null: against._asdict() for null, against in known._asdict().items()
        },
    }


def separated(domains: Mapping[str, Space], m: Material, purpose: str, **how: Any) -> Any:
    """Energy distances between domains and between halves of each, by pair.

    Ratios are to the mean distance between two documents of the first domain.
    """
    first = next(iter(domains))
    found = separations(domains, reference=(first, first), generator=m.random(purpose), **how)
    return {
        f"{one} – {other}" if one != other else f"{one}, half and half": {
            "energy distance": separation.distance,
            "ratio": separation.ratio.estimate,
            "interval": [separation.ratio.low, separation.ratio.high],
            "p": separation.p,
        }
        for (one, other), separation in found.items()
    }
