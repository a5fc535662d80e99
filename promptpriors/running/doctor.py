"""Checks of a set-up on the real model and data, in minutes."""

import hashlib
import math
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import psutil
import torch

from promptpriors.analysis.location import MIN_REACH_RATIO
from promptpriors.config.run import RunConfig
from promptpriors.errors import InputError, WorkError
from promptpriors.geometry import rms
from promptpriors.models import Backbone
from promptpriors.packing import encode, way_of
from promptpriors.progress import OnProgress
from promptpriors.prompts import Prompt, loss
from promptpriors.rng import generator
from promptpriors.running.cost import cost, peak_memory_mib, reset_peak_memory
from promptpriors.running.run import check_lengths, fit_and_draw
from promptpriors.running.workspace import Workspace
from promptpriors.training import Record, factor, quality, rates, train
from promptpriors.types import Task

STEPS = 30
"""Updates spent on overfitting one batch."""
BATCH = 8
"""Examples overfitted, so that a check costs a minute and not ten."""
FALL = 0.5
"""Share of its start that the overfitted batch's loss must fall below."""
CHECKED = 64
"""Validation examples on which questions are shuffled and rates are tried."""
RATES = (0.01, 0.03, 0.1, 0.3, 1.0)
"""Tried rates, in units of the start's rms per coordinate."""
TRIAL_STEPS = 15
"""Updates of a tried rate."""


BUSY = 0.75
"""Processes a core that run or wait for one, from which times say little."""


class Finding(NamedTuple):
    """One check: passed, failed, or (None) a note without a verdict."""

    check: str
    passed: bool | None
    found: str


def examine(config: RunConfig, workspace: Workspace, on_progress: OnProgress) -> Iterator[Finding]:
    """Run the checks one after another.

    Raises:
        InputError: as a run of the same config would.
    """
    if config.train.lora is not None:
        raise InputError("doctor examines prompts; this config trains an adapter (train.lora)")
    on_progress("loading", 0.0, {})
    yield machine(psutil.getloadavg()[0], os.cpu_count() or 1)
    config = config.placed(workspace.blocks(config.model))
    backbone, task = workspace.backbone(config.model_spec), workspace.task(config.task)
    prompt = fit_and_draw(config, workspace)
    encoded = check_lengths(backbone, task, prompt.before)
    longest = max(example.read for part in encoded.values() for example in part)
    reset_peak_memory(backbone.device)
    yield _packing(backbone, prompt.before + longest)
    yield _plain(backbone, task)
    if config.train.frozen:
        yield Finding("trains", None, "nothing to train: the prompt is frozen or empty")
        return
    yield from _size(config, workspace, prompt)
    weights = _fingerprint(backbone)
    yield _reach(config, workspace, prompt)
    yield from _overfits(config, backbone, task, prompt, on_progress)
    same = _fingerprint(backbone) == weights
    yield Finding("only the prompt changes", same, "weights are the same bytes after training")
    yield _reads(backbone, task, prompt)
    yield _forecast(config, workspace, fit_and_draw(config, workspace))


def machine(load: float, cores: int) -> Finding:
    """Whether the machine has time for this process.

    Args:
        load: processes that ran or waited for a core, the mean of the last minute.
        cores: of the machine.
    """
    found = f"load {load:.1f} on {cores} cores"
    if load >= BUSY * cores:
        found += ": busy with other work, so all times are long; wait, or take fewer device.threads"
    return Finding("machine", None, found)


def advise(config: RunConfig, workspace: Workspace, on_progress: OnProgress) -> Finding:
    """Recommend the relative rate of lowest validation loss after a few steps.

    It is a place to start from and no result: one draw, few steps, a part of the validation split.

    Raises:
        InputError: as a run of the same config would.
    """
    config = config.placed(workspace.blocks(config.model))
    backbone, task = workspace.backbone(config.model_spec), workspace.task(config.task)
    few = replace(task, splits={**task.splits, "validation": task.splits["validation"][:CHECKED]})
    losses: dict[float, float] = {}
    for number, rate in enumerate(RATES):
        try:
            for record in train(
                backbone,
                fit_and_draw(config, workspace),
                few,
                steps=TRIAL_STEPS,
                batch=config.train.batch,
                lr={"relative": rate},
                clip=config.train.clip,
                evaluate_every=TRIAL_STEPS,
                grouping=config.train.grouping,
                seed=config.seed,
            ):
                share = (number + record.step / TRIAL_STEPS) / len(RATES)
                on_progress("trying rates", share, {})
                losses[rate] = record.val_loss or 0.0
        except WorkError:
            losses[rate] = math.inf
    best = min(losses, key=lambda rate: losses[rate])
    shown = ", ".join(f"{rate:g}: {loss:.3f}" for rate, loss in losses.items())
    found = f"train.lr.relative={best:g} (loss after {TRIAL_STEPS} steps: {shown})"
    return Finding("advice", None, found)


def _packing(backbone: Backbone, longest: int) -> Finding:
    found = {
        "packed": f"packed rows are exact, up to {longest} positions",
        "padded": "runs as padded batches, slower",
        "alone": "runs one by one, slowly",
    }[way_of(backbone, longest=longest)]
    if backbone.seq2seq:
        found = "none: an encoder looks both ways, so batches are padded"
    return Finding("shared prefixes", None, found)


def _plain(backbone: Backbone, task: Task) -> Finding:
    """The loss without a prompt against Hugging Face's own, example by example."""
    examples = task.splits["validation"][:BATCH]
    ours = float(loss(backbone, None, examples))
    nats, count = 0.0, 0
    for item in encode(backbone, examples):
        source, known = [i for piece in item.pieces for i in piece], list(item.target)
        ids, labels = [*source, *known], [-100] * len(source) + known
        if backbone.seq2seq:
            ids, labels = [*source, backbone.end], known
        predicted = len(known) - (0 if source else 1)
        call = {"input_ids": torch.tensor([ids]), "labels": torch.tensor([labels])}
        with torch.no_grad():
            found = backbone.model(**{key: part.to(backbone.device) for key, part in call.items()})
        nats += float(found.loss) * predicted
        count += predicted
    theirs = nats / count
    agree = math.isclose(ours, theirs, rel_tol=1e-4 if backbone.dtype == torch.float32 else 2e-2)
    return Finding("plain model", agree, f"loss {ours:.5f}, Hugging Face's {theirs:.5f}")


def _size(config: RunConfig, workspace: Workspace, prompt: Prompt) -> Iterator[Finding]:
    rows = workspace.vocabulary(config.model_spec).points
    for site, value in prompt.values.items():
        size = rms(value.detach())
        found = f"the start's rms is {size / rms(rows):.2f} of the vocabulary's"
        if prompt.mode == "kv":
            found = f"the rms of the start's keys and values is {size:.3g}"
        yield Finding(f"size at {site}", None, found)


def _reach(config: RunConfig, workspace: Workspace, prompt: Prompt) -> Finding:
    """R = Σ lr_t·√dim, what Adam can move a vector, over its distance to the vocabulary."""
    if "embed" not in prompt.values:
        return Finding("reach", None, "no vectors at embed, so none to compare with the vocabulary")
    rows = workspace.vocabulary(config.model_spec).points
    start = prompt.values["embed"].detach().cpu()
    away = float(torch.cdist(start, rows).amin(dim=1).mean())
    section, peak = config.train, rates(prompt, config.lr)["embed"]
    shares = (
        factor(step, section.steps, schedule=section.schedule, warmup=section.warmup)
        for step in range(1, section.steps + 1)
    )
    reach = sum(shares) * peak * math.sqrt(rows.shape[1])
    if away < 1e-3 * rms(rows) * math.sqrt(rows.shape[1]):
        return Finding("reach", None, f"a vector can move {reach:.3g}; it starts in the vocabulary")
    ratio = reach / away
    found = f"{ratio:.2g} times the way to the vocabulary"
    if ratio < MIN_REACH_RATIO:
        found += ": where prompts end is not testable at this budget"
    return Finding("reach", None, found)


def _overfits(
    config: RunConfig, backbone: Backbone, task: Task, prompt: Prompt, on_progress: OnProgress
) -> Iterator[Finding]:
    """Train on one batch alone, at the config's rate, without schedule or warm-up."""
    few = task.splits["train"][:BATCH]
    alone = replace(task, splits={"train": few, "validation": few})
    records: list[Record] = []
    try:
        for record in train(
            backbone,
            prompt,
            alone,
            steps=STEPS,
            batch=len(few),
            lr=config.lr,
            weight_decay=config.train.weight_decay,
            clip=config.train.clip,
            evaluate_every=STEPS,
            seed=config.seed,
        ):
            records.append(record)
            on_progress("overfitting one batch", record.step / STEPS, {})
    except WorkError as error:
        yield Finding("loss stays finite", False, str(error))
        return
    yield Finding("loss stays finite", True, f"over {STEPS} steps")
    first, last = records[0].val_loss or 0.0, records[-1].val_loss or 0.0
    found = f"{len(few)} examples, {STEPS} steps: {first:.3f} → {last:.3f} nats per token"
    yield Finding("overfits one batch", last < FALL * first, found)


def _reads(backbone: Backbone, task: Task, prompt: Prompt) -> Finding:
    """The loss must rise when the sources are shuffled among the targets."""
    examples = list(task.splits["validation"][:CHECKED])
    if not all(e.source for e in examples) or len(examples) < 2:
        return Finding("reads the question", None, "the task has no questions to shuffle")
    shift = 1 + int(torch.randint(len(examples) - 1, (1,), generator=generator(0, "shuffle")))
    sources = [example.source for example in examples[shift:] + examples[:shift]]
    moved = [e._replace(source=source) for e, source in zip(examples, sources, strict=True)]
    real, shuffled = (
        quality(backbone, prompt, encode(backbone, part, before=prompt.before)).loss
        for part in (examples, moved)
    )
    found = f"{real:.3f} → {shuffled:.3f} nats per token with shuffled questions"
    return Finding("reads the question", shuffled > 1.02 * real, found)


def _forecast(config: RunConfig, workspace: Workspace, prompt: Prompt) -> Finding:
    """Time of a step and of an evaluation, measured, times how many there will be."""
    parts = cost(config, workspace, prompt)
    memory = peak_memory_mib(workspace.backbone(config.model_spec).device)
    found = (
        f"{parts.seconds / 60:.1f} min for {config.train.steps} steps, {parts.evaluations} "
        f"evaluations and the answers to score, {parts.rate:.0f} tokens/s"
    )
    if memory is not None:
        found += f", {memory:.0f} MiB at the peak"
    return Finding("forecast", None, found)


def _fingerprint(backbone: Backbone) -> str:
    digest = hashlib.sha256()
    for tensor in backbone.model.state_dict().values():
        flat = tensor.detach().cpu().contiguous().view(-1)
        digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
