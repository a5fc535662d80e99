"""Checkpoints of a run: state, writer and checked reader."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from promptpriors.errors import InputError
from promptpriors.files import read_json_lines, read_tensors, write_bytes, write_tensors
from promptpriors.progress import OnProgress
from promptpriors.training import Progress
from promptpriors.types import Site

FILE = "state.safetensors"
METRICS = "metrics.jsonl"


@dataclass
class RunState:
    """Trajectory, records and first scores of a run in progress.

    The trajectory is the prompt's values at each evaluation, and ``steps`` are its steps; records
    are rows of ``metrics.jsonl``; ``spent`` are seconds of earlier starts of this run.
    """

    initial: dict[Site, Tensor]
    steps: list[int] = field(default_factory=list)
    trajectory: list[dict[Site, Tensor]] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    scores_initial: dict[str, float] = field(default_factory=dict)
    spent: float = 0.0

    def tensors(self, final: Mapping[Site, Tensor]) -> dict[str, Tensor]:
        """Contents of ``prompt.safetensors`` for a prompt with these final values."""
        tensors = {"trajectory/steps": torch.tensor(self.steps)}
        for site, value in final.items():
            tensors[f"initial/{site}"] = self.initial[site]
            tensors[f"final/{site}"] = value
            tensors[f"trajectory/{site}"] = torch.stack([t[site] for t in self.trajectory])
        return tensors

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take trajectory and start from a checkpoint's tensors."""
        self.steps = tensors["trajectory/steps"].tolist()
        self.initial = {site: tensors[f"initial/{site}"] for site in self.initial}
        self.trajectory = [
            {site: tensors[f"trajectory/{site}"][k] for site in self.initial}
            for k in range(len(self.steps))
        ]


def write_checkpoint(folder: Path, state: RunState, progress: Progress, spent: float) -> None:
    """Write a checkpoint; by rename, so the last one is always whole."""
    scores = state.scores_initial
    metadata = {"progress": progress.counters(), "scores_initial": scores, "spent": spent}
    tensors = state.tensors(progress.prompt.snapshot()) | progress.tensors()
    write_tensors(folder / FILE, tensors, metadata)


def remove_checkpoint(folder: Path) -> None:
    """Remove the checkpoint of a run that has ended or diverged."""
    (folder / FILE).unlink(missing_ok=True)


def resume(
    folder: Path, state: RunState, progress: Progress | None, steps: int, on_progress: OnProgress
) -> None:
    """Go on from the last checkpoint, if there is a whole one; else start clean.

    The state of a fresh start and the progress, None where nothing is trained, change in place;
    ``steps`` are those of the whole training.

    Raises:
        InputError: if a folder lies where the checkpoint should.
    """
    path, metrics = folder / FILE, folder / METRICS
    if progress is not None and path.exists():
        try:
            tensors, metadata = read_tensors(path)
            records = _records_before(tensors, metadata, metrics, progress, steps)
        except (InputError, KeyError, TypeError, AttributeError):
            on_progress("the checkpoint is damaged, starting again", 0.0, {})
        else:
            state.scores_initial, state.spent = metadata["scores_initial"], metadata["spent"]
            if metadata["progress"]["step"] > 0:  # else nothing was trained
                progress.restore(tensors, metadata["progress"])
                state.restore(tensors)
                state.records = records
    if path.is_dir():
        raise InputError(f"{path} is a folder; remove it")
    write_bytes(metrics, "".join(json.dumps(row) + "\n" for row in state.records).encode())


def _records_before(
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, Any],
    metrics: Path,
    progress: Progress,
    steps: int,
) -> list[dict[str, Any]]:
    """The records up to a checkpoint; raises if it is damaged or not of this run."""
    step, names = metadata["progress"]["step"], ("value", "exp_avg", "exp_avg_sq", "initial")
    if not set(progress.counters()) <= set(metadata["progress"]):
        raise InputError("the checkpoint lacks a counter")
    if not isinstance(metadata["scores_initial"], dict) or not metadata["spent"] >= 0:
        raise InputError("the checkpoint lacks scores or time")
    for site, value in progress.prompt.values.items():
        kept = names if step else ("value", "initial")
        if any(tensors[f"{name}/{site}"].shape != value.shape for name in kept):
            raise InputError("the checkpoint is of another shape")
        if len(tensors[f"trajectory/{site}"]) != len(tensors["trajectory/steps"]):
            raise InputError("the checkpoint's trajectory is cut off")
    records = [row for row in read_json_lines(metrics) if row["step"] <= step]
    whole = [row["step"] for row in records] == list(range(step + 1))
    if not whole or not 0 <= step < steps:
        raise InputError("the records do not lead to the checkpoint")
    return records
