"""Paths of a run's vectors on a chart."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from promptpriors.analysis.location import vector_displacements
from promptpriors.errors import InputError
from promptpriors.figures import visible
from promptpriors.figures.loss import evaluations
from promptpriors.figures.vectors import tokens_of
from promptpriors.report.arrays import as_base64
from promptpriors.runs import Chart, Run

NEAREST = 3
"""Tokens named for a vector."""


def prompt_path(run: Run, chart: Chart) -> dict[str, Any]:
    """Collect a run's vectors on a chart: positions, steps, distances, nearest tokens.

    Raises:
        InputError: if the chart's moments are not those that the run stored.
    """
    layouts = chart.prompts[run.id]
    moments, length, _ = next(iter(layouts.values())).shape
    tensors = run.tensors()
    steps = _steps(run, tensors, moments)
    losses = evaluations(run)
    near = tokens_of(run, chart.site)
    return {
        "run": run.id,
        "length": length,
        "steps": steps,
        "losses": [losses.get(step) for step in steps],
        "ways": {name: as_base64(path, torch.float32) for name, path in layouts.items()},
        "distances": _distances(tensors, chart.site, moments, length),
        "displacements": _displacements(tensors, chart.site, length),
        "nearest": {moment: _named(near.get(moment), length) for moment in ("initial", "final")},
    }


def _steps(run: Run, tensors: Mapping[str, Tensor], moments: int) -> list[int]:
    """The training step of every moment: those stored, or the start and the end."""
    stored = tensors.get("trajectory/steps")
    if stored is not None and len(stored) == moments:
        return [int(step) for step in stored.tolist()]
    if moments == 2:
        return [0, int((run.result or {}).get("steps") or 1)]
    found = "none" if stored is None else len(stored)
    raise InputError(f"the chart has {moments} moments of run {run.id}, the run stored {found}")


def _distances(tensors: Mapping[str, Tensor], site: str, moments: int, length: int) -> str | None:
    """‖v(k) − v(0)‖ of every moment and vector; None where the run has no such vectors."""
    path = tensors.get(f"trajectory/{site}")
    if path is None or path.shape[:2] != (moments, length):
        ends = [tensors.get(f"{end}/{site}") for end in ("initial", "final")]
        if moments != 2 or any(end is None or len(end) != length for end in ends):
            return None
        path = torch.stack([end for end in ends if end is not None])
    return as_base64(_from_start(path), torch.float32)


def _from_start(path: Float[Tensor, "k length dim"]) -> Float[Tensor, "k length"]:
    return (path.float() - path[0].float()).norm(dim=-1)


def _displacements(tensors: Mapping[str, Tensor], site: str, length: int) -> list[float | None]:
    """‖final − initial‖ / ‖initial‖ of every vector; None for a start at zero, or without any."""
    ends = [tensors.get(f"{end}/{site}") for end in ("initial", "final")]
    initial, final = ends
    if initial is None or final is None or len(initial) != length:
        return [None] * length
    ratios = vector_displacements(initial.float(), final.float()).tolist()
    return [float(f"{ratio:.6g}") for ratio in ratios]


def _named(near: list[list[dict[str, Any]]] | None, length: int) -> list[list[tuple[str, float]]]:
    """For every vector its nearest tokens with their cosines, the nearest first."""
    rows = near or [[] for _ in range(length)]
    return [[(visible(t["token"]), round(t["cosine"], 4)) for t in row[:NEAREST]] for row in rows]
