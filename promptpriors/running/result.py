"""Result of a run as ``result.json`` holds it, and its vocabulary's map."""

import hashlib
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from promptpriors import __version__
from promptpriors.analysis.location import displacement
from promptpriors.analysis.projection import fit_plane, project
from promptpriors.config.run import RunConfig
from promptpriors.geometry import nearest_by_cosine
from promptpriors.models import ModelSpec
from promptpriors.priors import fit_prior
from promptpriors.rng import generator
from promptpriors.running.checkpoint import RunState
from promptpriors.running.workspace import Workspace
from promptpriors.runs import Map, write_map
from promptpriors.training import Progress, Quality
from promptpriors.types import Site, Space, Task

NEAREST = 3
"""Vocabulary rows named for each vector."""
NULL_DRAWS = 512
"""Rows and draws by which the null figures of nearest tokens are measured."""


def summarise(
    config: RunConfig,
    *,
    state: RunState,
    final: Mapping[Site, Tensor],
    progress: Progress | None,
    floor: Quality,
    scores: Mapping[str, float],
    task: Task,
    nearest: Mapping[str, Any],
) -> dict[str, Any]:
    """Summarise a run that has ended, without times and memory."""
    losses = [row["val_loss"] for row in state.records if row["val_loss"] is not None]
    ends = state.records[0], state.records[-1]
    start, end = (row.get("val_objective", row["val_loss"]) for row in ends)
    tokens = progress.tokens if progress else 0
    seconds = progress.training_seconds if progress else 0.0
    result = {
        "model": config.model,
        "task": config.task.name,
        "prior": config.prior.name,
        "prior_config": config.prior.plain(),
        "mode": config.prompt.mode,
        "length": config.prompt.length,
        "seed": config.seed,
        "lr": progress.peak if progress else {},
        "steps": config.train.steps,
        "val_loss_initial": losses[0],
        "val_loss": losses[-1],
        "val_loss_best": min(losses),
        "val_loss_none": floor.loss,
        "objective": config.train.objective,
        "val_objective_initial": start,
        "val_objective": end,
        "scores_initial": {key: state.scores_initial[key] for key in scores},
        "scores": dict(scores),
        "eval_examples": {split: len(task.splits[split]) for split in ("validation", "test")},
        "answers": {"max_new_tokens": task.max_new_tokens, "stop": task.stop},
        "tokens": tokens,
        "tokens_useful": progress.useful if progress else 0,
        "tokens_per_second": tokens / seconds if seconds else None,
        "displacement": displacement(state.initial, final),
        "displacement_by_site": {
            site: displacement({site: state.initial[site]}, {site: final[site]}) for site in final
        },
        "nearest_tokens": dict(nearest),
        "versions": versions(),
    }
    return result if config.train.lora is None else result | {"lora": config.train.lora}


def nearest_tokens(
    workspace: Workspace,
    spec: ModelSpec,
    initial: Mapping[Site, Tensor],
    final: Mapping[Site, Tensor],
) -> dict[str, Any]:
    """Find the nearest vocabulary rows of vectors at ``embed``, before and after training."""
    if "embed" not in final:
        return {}
    space, labels = workspace.vocabulary(spec), workspace.tokens(spec)

    def named(values: Tensor) -> list[list[dict[str, Any]]]:
        nearest = nearest_by_cosine(values, space.points, k=min(NEAREST, len(labels)))
        return [
            [{"token": labels[i], "cosine": round(c, 4)} for i, c in zip(*pair, strict=True)]
            for pair in zip(nearest.rows.tolist(), nearest.cosine.tolist(), strict=True)
        ]

    return {"embed": {"initial": named(initial["embed"]), "final": named(final["embed"])}}


def versions() -> dict[str, str]:
    """List the versions that numbers depend on, and the machine."""
    names = ("torch", "transformers", "tokenizers", "numpy", "safetensors")
    own = {"promptpriors": __version__, "python": platform.python_version()}
    return own | {name: version(name) for name in names} | {"machine": platform.platform()}


def vocabulary_map(workspace: Workspace, spec: ModelSpec, runs: Path) -> str:
    """Write the vocabulary's map below ``runs`` when missing; returns its relative path."""
    backbone = workspace.backbone(spec)
    words = (backbone.revision, spec.dtype, "embed", "v1")
    name = hashlib.sha256("\0".join(words).encode()).hexdigest()[:16]
    relative = f"maps/{name}.safetensors"
    if (runs / relative).exists():
        return relative
    space = workspace.vocabulary(spec)
    plane = fit_plane(space.points)
    drawn = Map(
        model=backbone.name,
        site=space.site,
        coordinates=project(space.points, plane.mean, plane.components),
        mean=plane.mean,
        components=plane.components,
        explained=plane.explained,
        labels=workspace.tokens(spec),
        nulls=_nulls(space),
    )
    write_map(runs / relative, drawn)
    return relative


def _nulls(space: Space) -> dict[str, float]:
    """Mean best cosine to the vocabulary of real rows (to others) and of the Gaussian's draws."""
    chosen = torch.randperm(len(space.points), generator=generator(0, "nulls"))[:NULL_DRAWS]
    rows = nearest_by_cosine(space.points[chosen], space.points, exclude=chosen)
    random = generator(0, "nulls", "draws")
    draws = fit_prior("gaussian", space).sample(NULL_DRAWS, generator=random)
    return {
        "real_rows": float(rows.cosine.mean()),
        "gaussian": float(nearest_by_cosine(draws, space.points).cosine.mean()),
    }
