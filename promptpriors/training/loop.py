"""The training loop: a generator that yields a record a step. Only what is trained changes."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from promptpriors.errors import InputError, WorkError
from promptpriors.models import Backbone
from promptpriors.packing import encode, epochs
from promptpriors.prompts import Prompt, check_way, trunk_of
from promptpriors.prompts.objectives import mean_objective, objective_of
from promptpriors.registry import Seed, check_call
from promptpriors.training.evaluation import measure
from promptpriors.training.parallel import ALONE, Team
from promptpriors.training.rates import Relative, factor
from promptpriors.training.regularisers import Regulariser
from promptpriors.training.settings import RelativeRate, Settings, check_warmup
from promptpriors.training.shares import backward
from promptpriors.training.state import Progress
from promptpriors.types import Site, Task


class Record(NamedTuple):
    """Record of one step; step 0 is before training.

    Attributes:
        step: steps taken.
        train_loss: the objective on the step's batch, before its update: by default its mean nats
            per target token.
        val_loss: mean nats per target token of the validation split, at evaluations only.
        lr: the step's rate by site.
        seconds: of training and evaluation so far.
        tokens: computed in training steps so far, prompt included, evaluation not.
        penalty: what regularisers added to the step's loss, before its update; None without any.
        val_objective: the objective on the validation split, at the first and the last evaluation.
    """

    step: int
    train_loss: float | None
    val_loss: float | None
    lr: dict[Site, float]
    seconds: float
    tokens: int
    penalty: float | None = None
    val_objective: float | None = None


class Diverged(WorkError):
    """The loss became NaN, infinite, or far worse than a uniform guess."""


def train(
    backbone: Backbone,
    prompt: Prompt,
    task: Task,
    *,
    steps: int = 200,
    batch: int = 16,
    lr: float | Relative = {"relative": 0.1},  # noqa: B006 never changed
    schedule: str = "constant",
    warmup: int = 0,
    weight_decay: float = 0.0,
    clip: float | None = None,
    evaluate_every: int = 20,
    batch_tokens: int | None = None,
    grouping: str = "shared",
    checkpointing: bool = False,
    trunk: Path | None = None,
    regularisers: Sequence[Regulariser] = (),
    objective: str = "answer",
    seed: int = 0,
    progress: Progress | None = None,
    team: Team = ALONE,
) -> Iterator[Record]:
    """Train a prompt with Adam; the model stays as it is.

    Args:
        backbone: the frozen model.
        prompt: changed in place.
        task: its ``train`` and ``validation`` splits are used.
        steps: updates.
        batch: examples an update; with shared grouping whole groups until there are so many.
        lr: absolute rate, or ``{"relative": r}`` in units of the start's rms per coordinate.
        schedule: ``constant`` or ``cosine``.
        warmup: steps of linear warm-up.
        weight_decay: 0 by default, since it is a prior of its own.
        clip: largest norm of the whole gradient; None does not clip.
        evaluate_every: steps between validation losses; the first before training, the last after.
        batch_tokens: fill batches until they have so many tokens to compute, not by examples.
        grouping: ``shared`` or ``none``, see ``packing.epochs``.
        checkpointing: keep only what enters each block, compute it again in the backward pass.
        trunk: folder where the work of the blocks below a deep prompt is kept; None keeps nothing.
        regularisers: penalties added to the loss, from ``regularise``.
        objective: what is minimised, a row of ``OBJECTIVES``; validation losses are the answers'.
        seed: of the data's order.
        progress: where this prompt's training stands; its rates and decay are used.
        team: who does it; on all but its main process the work is registered and nothing yielded.

    Yields:
        A record before training (unless resumed) and one after each step.

    Raises:
        InputError: at once for settings that a config would not take; when the first record is
            asked for, for a prompt without vectors, an empty split, an example that is too long or
            that the prompt's mode can't be put before exactly, or an objective that there is not
            or that does not go with prompt, model or data.
        Diverged: when a loss is not finite, the objective is worse than twice the start's and a
            uniform guess's, or a penalty is not finite.
    """
    given = {
        "steps": steps,
        "batch": batch,
        "batch_tokens": batch_tokens,
        "lr": lr,
        "schedule": schedule,
        "warmup": warmup,
        "weight_decay": weight_decay,
        "clip": clip,
        "evaluate_every": evaluate_every,
        "grouping": grouping,
        "checkpointing": checkpointing,
        "objective": objective,
        "seed": seed,
    }
    settings = check_call(_Call, "train", given)
    check_warmup(settings.warmup, settings.steps)
    return _train(
        backbone,
        prompt,
        task,
        settings,
        trunk=trunk,
        regularisers=regularisers,
        progress=progress,
        team=team,
    )


class _Call(Settings):
    seed: Seed = 0
    checkpointing: bool = False
    objective: str = "answer"


def _train(
    backbone: Backbone,
    prompt: Prompt,
    task: Task,
    settings: _Call,
    *,
    trunk: Path | None,
    regularisers: Sequence[Regulariser],
    progress: Progress | None,
    team: Team,
) -> Iterator[Record]:
    """Train as ``train`` says, by checked settings."""
    steps, objective = settings.steps, settings.objective
    forward = objective_of(objective)
    if not prompt.length and not (progress and progress.trained):
        raise InputError(f"a prompt of mode {prompt.mode!r} has nothing to train")
    prompt.to(backbone.device)
    state = progress or Progress(prompt, _rate(settings.lr), weight_decay=settings.weight_decay)
    if state.prompt is not prompt:
        raise InputError("progress belongs to another prompt; make it by Progress(prompt, lr)")
    learn, check = (
        encode(backbone, task.splits[split], before=prompt.before)
        for split in ("train", "validation")
    )
    for part in (learn, check):
        check_way(backbone, prompt, part)
    # without a source the first token of the target is not predicted
    targets = sum(len(example.target) - (not example.pieces) for example in learn)
    trunks = [trunk_of(backbone, prompt, part, trunk) for part in (learn, check)]
    forward = partial(
        forward, backbone, prompt, trunk=trunks[0], checkpointing=settings.checkpointing
    )
    descend = backward(team, forward, learn, state.parameters)
    measured = measure(
        "validation", backbone, prompt, check, trunk=trunks[1], team=team, trained=state.parameters
    )
    if not team.main:
        return
    began = time.perf_counter() - state.seconds

    def record(train_loss: float | None, penalty: float | None, share: float) -> Record:
        due = state.step % settings.evaluate_every == 0 or state.step == steps
        val_loss = measured().loss if due else None
        aim = val_loss if state.step in {0, steps} else None
        if aim is not None and objective != "answer":
            aim = mean_objective(objective, backbone, prompt, check)
        for found in (train_loss, val_loss if objective == "answer" else None, aim):
            _check_loss(found, state)
        seconds = state.seconds = time.perf_counter() - began
        rate = {site: peak * share for site, peak in state.peak.items()}
        return Record(state.step, train_loss, val_loss, rate, seconds, state.tokens, penalty, aim)

    if state.step == 0:
        first = record(None, None, 0.0)
        guess = math.log(backbone.model.get_input_embeddings().num_embeddings)
        state.ceiling = 2 * max(guess, first.val_objective or 0.0)
        yield first
    order = epochs(
        learn,
        settings.batch,
        seed=settings.seed,
        grouping=settings.grouping,
        tokens=settings.batch_tokens,
        skip=state.step,
    )
    while state.step < steps:
        chosen = next(order)
        share = factor(state.step + 1, steps, schedule=settings.schedule, warmup=settings.warmup)
        start = time.perf_counter()
        penalty = _penalty(state, regularisers, targets)
        train_loss, computed = _update(
            state, partial(descend, chosen, penalty), share, settings.clip
        )
        state.training_seconds += time.perf_counter() - start
        state.step += 1
        state.tokens += computed
        state.useful += sum(learn[i].read + 1 for i in chosen)
        yield record(train_loss, None if penalty is None else float(penalty.detach()), share)


def _rate(given: float | RelativeRate) -> float | Relative:
    return {"relative": given.relative} if isinstance(given, RelativeRate) else given


def _penalty(state: Progress, regularisers: Sequence[Regulariser], targets: int) -> Tensor | None:
    """The sum of the penalties at the present values."""
    penalties = [r.penalty(state.prompt.values, targets=targets) for r in regularisers]
    for regulariser, penalty in zip(regularisers, penalties, strict=True):
        if not torch.isfinite(penalty):
            problem = f"the penalty {regulariser.name!r} is {float(penalty.detach()):.4g}"
            raise _diverged(state, problem, "a smaller strength, or a smaller rate")
    return torch.stack(penalties).sum() if penalties else None


def _update(
    state: Progress, descend: Callable[[], tuple[float, int]], share: float, clip: float | None
) -> tuple[float, int]:
    """One step of Adam on loss and penalty: the batch's loss before it, and the tokens computed."""
    state.optimiser.zero_grad(set_to_none=True)
    mean, computed = descend()
    if not math.isfinite(mean):
        _check_loss(mean, state)
    if clip is not None:
        torch.nn.utils.clip_grad_norm_(state.parameters, clip)
    for group, site in zip(state.optimiser.param_groups, state.trained, strict=True):
        group["lr"] = state.peak[site] * share
    state.optimiser.step()
    return mean, computed


def _check_loss(found: float | None, state: Progress) -> None:
    if found is not None and not (math.isfinite(found) and found <= state.ceiling):
        problem = f"the loss is {found:.4g} nats per token"
        raise _diverged(state, problem, "a smaller rate, warm-up or clipping")


def _diverged(state: Progress, problem: str, remedy: str) -> Diverged:
    rate = ", ".join(f"{peak:.3g} at {site}" for site, peak in state.peak.items())
    problem = f"training diverged at step {state.step}: {problem}"
    return Diverged(f"{problem}, rate {rate}; try {remedy}")
