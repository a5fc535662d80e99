"""What ``result.json`` says of a run."""

import platform
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from torch import Tensor

from promptpriors import __version__
from promptpriors.analysis.location import displacement
from promptpriors.geometry import nearest_by_cosine
from promptpriors.training import Quality

if TYPE_CHECKING:
    from promptpriors.running.training_run import TrainingRun

NEAREST = 3
"""Vocabulary rows named for each vector."""


def summarise(work: "TrainingRun", *, floor: Quality, scores: dict[str, float]) -> dict[str, Any]:
    """The result of a run that has ended; times and memory are added by the caller."""
    config, progress = work.config, work.progress
    final = work.prompt.snapshot()
    losses = [row["val_loss"] for row in work.records if row["val_loss"] is not None]
    ends = work.records[0], work.records[-1]
    start, end = (row.get("val_objective", row["val_loss"]) for row in ends)
    tokens = progress.tokens if progress else 0
    seconds = progress.training_seconds if progress else 0.0
    about = {
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
        "scores_initial": {key: work.scores_initial[key] for key in scores},
        "scores": scores,
        "eval_examples": {split: len(work.task.splits[split]) for split in ("validation", "test")},
        "tokens": tokens,
        "tokens_useful": progress.useful if progress else 0,
        "tokens_per_second": tokens / seconds if seconds else None,
        "displacement": displacement(work.initial, final),
        "displacement_by_site": {
            site: displacement({site: work.initial[site]}, {site: final[site]}) for site in final
        },
        "nearest_tokens": nearest_tokens(work, final),
        "versions": versions(),
    }
    return about if config.train.lora is None else about | {"lora": config.train.lora}


def nearest_tokens(work: "TrainingRun", final: dict[str, Tensor]) -> dict[str, Any]:
    """The nearest vocabulary rows of each vector at ``embed``, before and after training."""
    if "embed" not in final:
        return {}
    space = work.workspace.vocabulary(work.config)
    labels = work.workspace.tokens(work.config)

    def name(values: Tensor) -> list[list[dict[str, Any]]]:
        found = nearest_by_cosine(values, space.points, k=min(NEAREST, len(labels)))
        return [
            [{"token": labels[i], "cosine": round(c, 4)} for i, c in zip(*pair, strict=True)]
            for pair in zip(found.rows.tolist(), found.cosine.tolist(), strict=True)
        ]

    return {"embed": {"initial": name(work.initial["embed"]), "final": name(final["embed"])}}


def versions() -> dict[str, str]:
    """Versions of what the figures depend on, and the machine."""
    names = ("torch", "transformers", "tokenizers", "numpy", "safetensors")
    found = {"promptpriors": __version__, "python": platform.python_version()}
    return found | {name: version(name) for name in names} | {"machine": platform.platform()}
