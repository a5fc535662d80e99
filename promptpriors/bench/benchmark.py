"""Benchmark of speed and memory against PEFT, on the same model, data and loss.

The contenders alternate, since machines are shared and noisy; medians and spreads are reported.
Peak memory is measured in a process of its own for each, on the same batch.
"""

import multiprocessing
import statistics
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from promptpriors.bench.engines import Engine, Step, our_engine, peft_engine
from promptpriors.bench.roofline import needed_work, plain_rate, product_rate
from promptpriors.config.run import RunConfig, parse_config
from promptpriors.errors import InputError
from promptpriors.models import Backbone
from promptpriors.packing import Encoded, encode, epochs, pack, packs_exactly
from promptpriors.progress import OnProgress
from promptpriors.prompts import Prompt, insert
from promptpriors.running.cost import peak_memory_mib, reset_peak_memory
from promptpriors.running.run import fit_and_draw
from promptpriors.running.workspace import Workspace

TASKS: dict[str, dict[str, Any]] = {
    "arithmetic": {"name": "mathematics", "train": 2000, "validation": 100, "test": 10},
    "squad": {"name": "squad", "train": 4000, "validation": 100, "test": 10},
}
OURS, RANDOM, SORTED, PLAIN = "promptpriors", "peft", "peft, sorted by length", "plain rows"
OFTEN = 3
"""Batches of ours in a turn, of which one is several times shorter than one of PEFT's."""


def bench_config(task: str, mode: str, model: str, batch: int) -> RunConfig:
    """Make the config that is timed.

    Raises:
        InputError: for a task or a mode that there is no contender for.
    """
    if task not in TASKS:
        raise InputError(f"task {task!r}: the benchmark has {', '.join(TASKS)}")
    if mode not in {"soft", "kv"}:
        raise InputError(f"mode {mode!r}: PEFT has soft (PromptTuning) and kv (PrefixTuning)")
    choices = {"model": model, "task": TASKS[task], "prior": "vocabulary"}
    return parse_config({**choices, "prompt": {"mode": mode}, "train": {"batch": batch}})


def bench(
    config: RunConfig,
    workspace: Workspace,
    *,
    alternations: int,
    memory: bool,
    on_progress: OnProgress,
) -> dict[str, Any]:
    """Time the contenders in alternation, and return what was measured, ready for JSON.

    One turn more than the alternations warms up. Measuring memory loads the model once a contender.

    Raises:
        InputError: as a run of the same config would, without PEFT, and for a model that does not
            pack.
    """
    if alternations < 1:
        raise InputError(f"{alternations} alternations: expected at least 1")
    on_progress("loading", 0.0, {})
    backbone, prompt, encoded = _loaded(config, workspace)
    ours, peft = our_engine(backbone, prompt), peft_engine(backbone, prompt)
    batches = _batches(encoded, config.train.batch, alternations)
    check = next(batches[OURS])
    row = pack(check)
    agreement = _agreement(ours, peft, check)
    steps: dict[str, list[list[Step]]] = {OURS: [], RANDOM: [], SORTED: []}
    plain, products = [], []
    for turn in range(alternations + 1):
        for name, runner in ((OURS, ours), (RANDOM, peft), (SORTED, peft)):
            count = OFTEN if name == OURS else 1
            if turn == 0:  # warm-up on few examples
                runner.step(check[:4])
            else:
                steps[name].append([runner.step(b) for b in islice(batches[name], count)])
        plain.append(plain_rate(backbone, check))
        products.append(product_rate(backbone, len(row.tokens) + prompt.before, len(row.read)))
        on_progress("timing", (turn + 1) / (alternations + 1), {})
    found = _summary(steps, plain[1:])
    rows = 0 if prompt.mode == "kv" else prompt.before
    work = needed_work(backbone, check, prompt.before, rows=rows)
    found["machine"] = _machine(ours, check, work, products[1:], alternations)
    found |= {"agreement": agreement, "alternations": alternations}
    if memory:
        on_progress("memory", 0.0, {})
        peaks = {name: _peak(name, config, workspace.data) for name in (OURS, RANDOM)}
        found["peak_memory_mib"] = peaks
        own, theirs = peaks[OURS], peaks[RANDOM]
        if own is not None and theirs is not None:
            found["ratios"]["memory"] = own / theirs
    return found


def _loaded(config: RunConfig, workspace: Workspace) -> tuple[Backbone, Prompt, list[Encoded]]:
    config = config.placed(workspace.blocks(config.model))
    backbone, task = workspace.backbone(config.model_spec), workspace.task(config.task)
    prompt = fit_and_draw(config, workspace)
    insert(backbone, prompt)
    if not packs_exactly(backbone):
        raise InputError(f"model {config.model!r} runs as padded batches, as PEFT does")
    return backbone, prompt, encode(backbone, task.splits["train"], before=prompt.before)


def _batches(
    encoded: Sequence[Encoded], size: int, turns: int
) -> dict[str, Iterator[list[Encoded]]]:
    """For each contender its batches: whole groups, random examples, examples of one length.

    Of the sorted ones, so many that lie evenly between the shortest and the longest.
    """
    by_length = sorted(range(len(encoded)), key=lambda i: encoded[i].read)
    blocks = [by_length[i : i + size] for i in range(0, len(by_length), size)]
    chosen = {
        OURS: epochs(encoded, size, seed=0),
        RANDOM: epochs(encoded, size, seed=0, grouping="none"),
        SORTED: (blocks[(2 * i + 1) * len(blocks) // (2 * turns)] for i in range(turns)),
    }
    return {name: ([encoded[i] for i in part] for part in it) for name, it in chosen.items()}


def _agreement(ours: Engine, peft: Engine, batch: Sequence[Encoded]) -> dict[str, float]:
    """Largest differences of loss and gradient on the same examples, relative to the largest."""
    (loss, gradient), (expected, wanted) = (one.gradient(batch) for one in (ours, peft))
    off = float((gradient - wanted).abs().max() / wanted.abs().max())
    return {"loss": loss, "loss_off": abs(loss / expected - 1), "gradient_off": off}


def _summary(steps: dict[str, list[list[Step]]], plain: list[float]) -> dict[str, Any]:
    """Rates of each contender, and ours as a ratio."""
    examples, tokens = (
        {name: _spread([_rate(turn, key) for turn in turns]) for name, turns in steps.items()}
        for key in ("examples", "tokens")
    )
    pooled = {name: _pooled(turns) for name, turns in steps.items()}
    turns = zip(*(steps[name] for name in (OURS, RANDOM, SORTED)), strict=True)
    every = [[_rate(turn, "examples") for turn in group] for group in turns]
    ratio = pooled[RANDOM]["tokens_each"] / pooled[OURS]["tokens_each"]
    limit = ratio * statistics.median(plain) / pooled[RANDOM]["tokens_per_second"]
    speed = pooled[OURS]["examples_per_second"] / pooled[RANDOM]["examples_per_second"]
    return {
        "examples_per_second": examples,
        "tokens_per_second": tokens | {PLAIN: _spread(plain)},
        "pooled": pooled,
        "ratios": {
            "speed": speed,
            "speed_by_turn": _spread([a / b for a, b, _ in every]),
            "speed_sorted": pooled[OURS]["examples_per_second"]
            / pooled[SORTED]["examples_per_second"],
            "speed_sorted_by_turn": _spread([a / c for a, _, c in every]),
            "tokens": ratio,
            "limit": limit,
            "of_limit": speed / limit,
        },
    }


def _machine(
    ours: Engine, batch: Sequence[Encoded], work: float, products: list[float], turns: int
) -> dict[str, Any]:
    """The share of the machine's own matrix-product rate that a step reaches."""
    reached = [work / ours.step(batch).seconds for _ in range(max(3, turns))]
    rate = statistics.median(products)
    return {
        "product_gflops": _spread([p / 1e9 for p in products]),
        "reached_gflops": _spread([r / 1e9 for r in reached]),
        "share": statistics.median(reached) / rate,
    }


def _rate(turn: Sequence[Step], key: str) -> float:
    return sum(getattr(step, key) for step in turn) / sum(step.seconds for step in turn)


def _spread(values: Sequence[float]) -> dict[str, float]:
    """Median and range over the alternations."""
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def _pooled(turns: Sequence[Sequence[Step]]) -> dict[str, float]:
    """All turns taken together."""
    every = [step for turn in turns for step in turn]
    return {
        "examples_per_second": _rate(every, "examples"),
        "tokens_per_second": _rate(every, "tokens"),
        "tokens_each": sum(s.tokens for s in every) / sum(s.examples for s in every),
        "seconds": sum(s.seconds for s in every),
    }


def _peak(name: str, config: RunConfig, data: Path | None) -> float | None:
    """Peak memory in MiB of one contender's step, in a process of its own."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=spawn) as pool:
        return pool.submit(measure_peak, name, config, data, torch.get_num_threads()).result()


def measure_peak(name: str, config: RunConfig, data: Path | None, threads: int) -> float | None:
    """Measure the peak of this process; both contenders get the same examples."""
    torch.set_num_threads(threads)
    backbone, prompt, encoded = _loaded(config, Workspace(data))
    batch = next(_batches(encoded, config.train.batch, 1)[OURS])
    runner = (our_engine if name == OURS else peft_engine)(backbone, prompt)
    reset_peak_memory(backbone.device)
    runner.step(batch)
    return peak_memory_mib(backbone.device)
