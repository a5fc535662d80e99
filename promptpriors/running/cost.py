"""Cost of a run, from steps, evaluations and answers measured here."""

import math
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch

from promptpriors.config.run import RunConfig
from promptpriors.models import Backbone
from promptpriors.packing import Encoded, encode, epochs
from promptpriors.prompts import Prompt, Trunk, token_losses, trunk_of
from promptpriors.running.workspace import Workspace
from promptpriors.training import evaluate, quality
from promptpriors.types import Task

CHECKED = 64
"""Validation examples by which an evaluation is measured."""
ANSWERED = 8
"""Test examples by which scoring is measured."""


class Cost(NamedTuple):
    """Time of a run, its number of evaluations, and its speed.

    Attributes:
        seconds: of the whole run without model, spaces, trunk and prior.
        evaluations: validation losses.
        rate: tokens per second of a step, forward and backward.
    """

    seconds: float
    evaluations: int
    rate: float


def cost(config: RunConfig, workspace: Workspace, prompt: Prompt) -> Cost:
    """Measure a step, an evaluation and some answers of a run.

    The prompt has the run's shape; its values do not matter.

    Raises:
        InputError: if the data do not fit the model.
    """
    backbone, task = workspace.backbone(config.model_spec), workspace.task(config.task)
    section, device = config.train, config.device
    learn, check = (
        encode(backbone, task.splits[split], before=prompt.before)
        for split in ("train", "validation")
    )
    part = check[:CHECKED]
    step, tokens, evaluation = 0.0, 0, 0.0
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) if device.trunk_cache else None
        if section.steps:
            order = epochs(
                learn,
                section.batch,
                seed=config.seed,
                grouping=section.grouping,
                tokens=section.batch_tokens,
            )
            batch = [learn[i] for i in next(order)]
            trunk = trunk_of(backbone, prompt, batch, kept)
            step, tokens = time_step(
                backbone, prompt, batch, trunk, checkpointing=device.checkpointing
            )
        trunk = trunk_of(backbone, prompt, part, kept)
        for _ in range(2 if trunk else 1):  # the first fills the trunk
            began = time.perf_counter()
            quality(backbone, prompt, part, trunk=trunk)
            evaluation = (time.perf_counter() - began) * len(check) / max(1, len(part))
    evaluations = 1 + math.ceil(section.steps / section.evaluate_every)
    scores = 1 + (section.steps > 0)  # of the answers to the test split, before and after training
    seconds = section.steps * step + evaluations * evaluation
    seconds += scores * _scoring(backbone, prompt, task)
    return Cost(seconds, evaluations, tokens / step if step else 0.0)


def time_step(
    backbone: Backbone,
    prompt: Prompt,
    batch: Sequence[Encoded],
    trunk: Trunk | None = None,
    *,
    checkpointing: bool = False,
) -> tuple[float, int]:
    """Time a forward and backward pass over a batch, and count its tokens."""
    seconds, computed = 0.0, 0
    for _ in range(2):
        began = time.perf_counter()
        losses = token_losses(backbone, prompt, batch, trunk=trunk, checkpointing=checkpointing)
        losses.nats.mean().backward()
        seconds, computed = time.perf_counter() - began, losses.computed
    prompt.zero_grad(set_to_none=True)
    return seconds, computed


def _scoring(backbone: Backbone, prompt: Prompt, task: Task) -> float:
    examples = task.splits.get("test", ())
    part = examples[:ANSWERED]
    if not part:
        return 0.0
    began = time.perf_counter()
    evaluate(backbone, prompt, replace(task, splits={**task.splits, "test": part}))
    return (time.perf_counter() - began) * len(examples) / len(part)


def reset_peak_memory(device: torch.device) -> None:
    """Reset the peak of memory, where the system allows it."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_memory_mib(device: torch.device) -> float | None:
    """Read the peak of memory since the reset, in MiB.

    Allocated on the GPU, or resident; None where unknown.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    try:
        Path("/proc/self/clear_refs").open("w", encoding="ascii").close()
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    peak = next((line for line in lines if line.startswith("VmHWM:")), None)
    return int(peak.split()[1]) / 1024 if peak else None
