"""How good a prompt is: loss on a split, and scores of its greedy answers."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from promptpriors.errors import unknown
from promptpriors.models import Backbone
from promptpriors.packing import Encoded, chunks, encode
from promptpriors.prompts import Prompt, Trunk, generate, token_losses
from promptpriors.types import Task

BUDGET = 800
"""Tokens a row in evaluation; docs/log.md has the rates of longer rows."""


class Quality(NamedTuple):
    """Teacher-forced quality over a split.

    Attributes:
        loss: mean nats per target token.
        token_accuracy: share of target tokens that were the likeliest.
        computed: tokens that ran through the network.
    """

    loss: float
    token_accuracy: float
    computed: int


@torch.no_grad()
def quality(
    backbone: Backbone,
    prompt: Prompt | None,
    encoded: Sequence[Encoded],
    *,
    trunk: Trunk | None = None,
) -> Quality:
    """Loss and teacher-forced accuracy, every target token counted once.

    Args:
        backbone: the frozen model.
        prompt: None for the plain model.
        encoded: the split.
        trunk: what the blocks below the prompt make of the split, if it is kept.
    """
    nats, correct, targets, computed = 0.0, 0, 0, 0
    for chunk in chunks(encoded, BUDGET):
        found = token_losses(backbone, prompt, [encoded[i] for i in chunk], trunk=trunk)
        nats += float(found.nats.double().sum())
        correct += int(found.correct.sum())
        targets += len(found.nats)
        computed += found.computed
    return Quality(nats / targets, correct / targets, computed)


def evaluate(
    backbone: Backbone,
    prompt: Prompt | None,
    task: Task,
    *,
    split: str = "test",
    progress: Callable[[float], None] = lambda _: None,
) -> dict[str, float]:
    """Loss and scores of a prompt on a split.

    Args:
        backbone: the frozen model.
        prompt: None for the plain model.
        task: whose split, and whose way to score an answer.
        split: a split of the task.
        progress: called with the share that is done.

    Returns:
        ``loss`` (mean nats per target token) and ``token_accuracy``; for tasks with questions the
        means of the task's scores over the split, from greedy answers. Empty for an empty split.

    Raises:
        InputError: for a split that the task does not have.
    """
    if split not in task.splits:
        raise unknown(f"split of task {task.name!r}", split, task.splits)
    examples = task.splits[split]
    if not examples:
        return {}
    encoded = encode(backbone, examples, before=prompt.before if prompt else 0)
    forced = quality(backbone, prompt, encoded)
    scores = {"loss": forced.loss, "token_accuracy": forced.token_accuracy}
    if not all(example.source for example in examples):
        return scores
    answers = generate(
        backbone,
        prompt,
        examples,
        max_new_tokens=task.max_new_tokens,
        stop=task.stop,
        progress=progress,
    )
    rows = [task.score(answer, e) for answer, e in zip(answers, examples, strict=True)]
    return scores | {key: sum(row[key] for row in rows) / len(rows) for key in rows[0]}
