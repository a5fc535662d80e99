"""Tasks: examples by split, and how an answer is scored. One file a task, one row in ``TASKS``.

A row is a function with keyword parameters only. ``folder`` (the data folder that the user named,
or None) is supplied by code; the others, with their annotations, are the schema of ``[task]`` in a
config. ``train``, ``validation`` and ``test`` are sizes. Which examples are in a split depends on
``task.seed`` only, never on a run's seed.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from promptpriors.data import c4, gsm8k, jsonl, mathematics, squad, text
from promptpriors.data.asking import Asking
from promptpriors.errors import InputError
from promptpriors.registry import Choice, choose
from promptpriors.types import Task

TASKS: dict[str, Callable[..., Task]] = {
    "squad": squad.build,
    "mathematics": mathematics.build,
    "gsm8k": gsm8k.build,
    "c4": c4.build,
    "text": text.build,
    "jsonl": jsonl.build,
}

ASKED: dict[str, Asking] = {
    "squad": squad.ASKING,
    "mathematics": mathematics.ASKING,
    "gsm8k": gsm8k.ASKING,
    "c4": c4.ASKING,
    "text": text.ASKING,
    "jsonl": jsonl.ASKING,
}
"""By a task's name: how a bare text becomes one of its sources. It reads no data."""


def choose_task(config: str | Mapping[str, Any]) -> Choice:
    """Check a config such as ``{name = "squad", train = 500}`` against ``TASKS``; reads no data.

    Raises:
        InputError: for unknown names and parameters, wrong types and ranges.
    """
    return choose("task", TASKS, config, supplied=("folder",))


def build_task(choice: Choice, folder: Path | None = None) -> Task:
    """Read or generate the examples of a task, from the data folder that the user named, if any.

    Raises:
        InputError: when data are missing, malformed or too few for train and validation, or ids are
            not unique within a split.
    """
    task = TASKS[choice.name](**choice.params, folder=folder)
    for split in ("train", "validation"):
        if not task.splits[split]:
            raise InputError(
                f"task {task.name!r}: the {split} split is empty. Train and validation have no"
                " article, document or source text in common, so the data must hold at least two."
                " Give more data by task.path."
            )
    for split, examples in task.splits.items():
        for name, count in Counter(example.id for example in examples).most_common(1):
            if count > 1:
                raise InputError(
                    f"task {task.name!r}: {count} examples of the {split} split have the id"
                    f" {name!r}. Give every example an id of its own."
                )
    return task


def fingerprint(task: Task) -> str:
    """SHA-256 over the task's name, version, every split's examples and choices, in hex digits.

    It knows data by content: a file that moves keeps its fingerprint, one that changes does not.
    """
    plain = partial(json.dumps, separators=(",", ":"))
    found = hashlib.sha256(f"[{plain(task.name)},{plain(task.version)},{{".encode())
    for i, split in enumerate(sorted(task.splits)):
        found.update(f"{',' if i else ''}{plain(split)}:[".encode())
        for k, example in enumerate(task.splits[split]):  # a split may be larger than memory
            found.update(f"{',' if k else ''}{plain(example)}".encode())
        found.update(b"]")
    found.update(b"}")
    if task.choices:
        offered = {s: [*map(task.choices, task.splits[s])] for s in sorted(task.splits)}
        found.update(f",{plain(offered)}".encode())
    found.update(b"]")
    return found.hexdigest()


__all__ = ["ASKED", "TASKS", "build_task", "choose_task", "fingerprint"]
