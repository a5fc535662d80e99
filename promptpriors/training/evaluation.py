"""Quality of a prompt: loss on a split, and scores of its greedy answers."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from promptpriors.errors import unknown
from promptpriors.models import Backbone
from promptpriors.packing import Encoded, chunks, encode
from promptpriors.prompts import Prompt, Trunk, generate, token_losses
from promptpriors.training.choices import measure_choices
from promptpriors.training.parallel import ALONE, Team
from promptpriors.training.shares import share_out
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
    return measure("quality", backbone, prompt, encoded, trunk=trunk)()


def measure(
    name: str,
    backbone: Backbone,
    prompt: Prompt | None,
    encoded: Sequence[Encoded],
    *,
    trunk: Trunk | None = None,
    team: Team = ALONE,
    trained: Sequence[nn.Parameter] = (),
) -> Callable[[], Quality]:
    """Divide the measuring of a split among a team; what is returned measures.

    The split is cut into the same rows whatever the team, and their losses are added in the same
    order, so the result does not depend on the number of processes.

    Args:
        name: of this work, the same on every process.
        backbone: the frozen model.
        prompt: None for the plain model.
        encoded: the split.
        trunk: as in ``quality``.
        team: who does it.
        trained: parameters that may have changed between two measurements.
    """
    rows = list(chunks(encoded, BUDGET))

    @torch.no_grad()
    def share(part: Sequence[int]) -> Tensor:
        """The part's rows of a table: nats, correct and all target tokens, tokens computed."""
        table = torch.zeros(len(rows), 4, dtype=torch.float64)
        for row in part:
            batch = [encoded[i] for i in rows[row]]
            found = token_losses(backbone, prompt, batch, trunk=trunk)
            nats, correct = float(found.nats.double().sum()), int(found.correct.sum())
            table[row] = table.new_tensor([nats, correct, len(found.nats), found.computed])
        return table.flatten()

    asked = team.divided(name, share, trained)

    def found() -> Quality:
        table = asked([range(first, len(rows), team.size) for first in range(team.size)])
        totals = table.new_zeros(4)
        for row in table.view(-1, 4):  # one after another: the order of a sum decides its last bits
            totals += row
        nats, correct, targets, computed = totals.tolist()
        return Quality(nats / targets, correct / targets, int(computed))

    return found


def evaluate(
    backbone: Backbone,
    prompt: Prompt | None,
    task: Task,
    *,
    split: str = "test",
    progress: Callable[[float], None] = lambda _: None,
    team: Team = ALONE,
    trained: Sequence[nn.Parameter] = (),
) -> dict[str, float]:
    """Loss and scores of a prompt on a split.

    Args:
        backbone: the frozen model.
        prompt: None for the plain model.
        task: whose split, and whose way to score an answer.
        split: a split of the task.
        progress: called with the share that is done.
        team: who does it; on all but its main process the work is registered and not done.
        trained: what was trained, as the main process has it.

    Returns:
        ``loss`` (mean nats per target token) and ``token_accuracy``; for tasks with questions the
        means of the task's scores over the split, from greedy answers; for tasks with choices
        ``choice_accuracy``, the share of examples whose likeliest choice is right, and
        ``choice_accuracy_norm``, the same by likelihood per character. Empty for an empty split.

    Raises:
        InputError: for a split that the task does not have.
    """
    if split not in task.splits:
        raise unknown(f"split of task {task.name!r}", split, task.splits)
    examples = task.splits[split]
    if not examples:
        return {}
    encoded = encode(backbone, examples, before=prompt.before if prompt else 0)
    check = measure(split, backbone, prompt, encoded, team=team, trained=trained)
    keys = list(task.score("", examples[0]))

    def share(part: Sequence[int]) -> Tensor:
        """The part's rows of the table of scores."""
        table = torch.zeros(len(examples), len(keys), dtype=torch.float64)
        chosen = [examples[i] for i in part]
        if chosen:
            answers = generate(
                backbone,
                prompt,
                chosen,
                max_new_tokens=task.max_new_tokens,
                stop=task.stop,
                progress=progress,
            )
            for i, answer in zip(part, answers, strict=True):
                scores = task.score(answer, examples[i])
                table[i] = table.new_tensor([scores[key] for key in keys])
        return table.flatten()

    asked = team.divided(f"answers of {split}", share, trained)
    choose, asked_all = None, all(example.source for example in examples)
    if task.choices and asked_all:
        choose = measure_choices(
            split,
            backbone,
            prompt,
            examples,
            task.choices,
            budget=BUDGET,
            team=team,
            trained=trained,
        )
    if not team.main:
        return {}
    forced = check()
    scores = {"loss": forced.loss, "token_accuracy": forced.token_accuracy}
    if not asked_all:
        return scores
    table = asked(share_out(encoded, team.size)).view(len(examples), len(keys))
    columns = zip(keys, table.T.tolist(), strict=True)
    scores |= {key: sum(column) / len(column) for key, column in columns}
    return scores | choose() if choose else scores
