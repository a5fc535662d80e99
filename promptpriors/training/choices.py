"""Likelihoods of the answers that an example offers, and how often the likeliest is right."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from promptpriors.errors import InputError
from promptpriors.models import Backbone
from promptpriors.packing import Encoded, chunks, encode
from promptpriors.prompts import Prompt, token_losses
from promptpriors.training.parallel import ALONE, Team
from promptpriors.types import Example

Offer = Callable[[Example], tuple[str, ...]]


class Offered(NamedTuple):
    """Choices of examples as token ids.

    Attributes:
        texts: the choices of each example.
        encoded: all of them, example by example, each behind its example's source.
    """

    texts: list[tuple[str, ...]]
    encoded: list[Encoded]


def encode_choices(
    backbone: Backbone, examples: Sequence[Example], offer: Offer, *, before: int = 0
) -> Offered:
    """Tokenise the choices of examples: a blank and the choice, as an answer is trained.

    The end token counts only where a choice begins with another one of its example, which would be
    likelier whatever the model has learned; then it stands behind each.

    Args:
        backbone: whose tokenizer.
        examples: with a source.
        offer: a task's ``choices``.
        before: vectors that stand before the text, for the check of the context.

    Raises:
        InputError: as ``packing.encode``, and for two choices that are the same tokens.
    """
    texts = [offer(example) for example in examples]
    encoded = encode(
        backbone,
        [
            Example(f"{example.id}, choice {text!r:.40}", example.source, (text,), ends=False)
            for example, choices in zip(examples, texts, strict=True)
            for text in choices
        ],
        before=before,
    )
    found: list[Encoded] = []
    for example, choices in zip(examples, texts, strict=True):
        mine = encoded[len(found) : len(found) + len(choices)]
        targets = [item.target for item in mine]
        if len(set(targets)) < len(targets):
            raise InputError(
                f"example {example.id!r}: two of its choices are the same tokens of model "
                f"{backbone.name!r}: {', '.join(map(repr, choices)):.200}. Word them differently."
            )
        if any(a != b and b[: len(a)] == a for a in targets for b in targets):
            mine = [item._replace(target=(*item.target, backbone.end)) for item in mine]
        found += mine
    return Offered(texts, found)


def choice_scores(texts: Sequence[str], nats: Sequence[float], right: Sequence[str]) -> list[float]:
    """Is the likeliest choice right, by its likelihood, and by its likelihood per character?

    Of equally likely choices the first counts, as in lm-evaluation-harness, whose ``acc`` and
    ``acc_norm`` these are.

    Args:
        texts: the choices.
        nats: negative log-likelihood of each.
        right: texts of which one should be chosen.

    Returns:
        1.0 or 0.0 for each of the two.

    >>> choice_scores(["no", "certainly"], [2.0, 4.5], ["certainly"])
    [0.0, 1.0]
    """
    per_character = [loss / len(text) for loss, text in zip(nats, texts, strict=True)]
    return [float(texts[found.index(min(found))] in right) for found in (nats, per_character)]


NAMES = ("choice_accuracy", "choice_accuracy_norm")
"""What ``choice_scores`` gives, as scores of a run are named."""


def measure_choices(
    name: str,
    backbone: Backbone,
    prompt: Prompt | None,
    examples: Sequence[Example],
    offer: Offer,
    *,
    budget: int,
    team: Team = ALONE,
    trained: Sequence[nn.Parameter] = (),
) -> Callable[[], dict[str, float]]:
    """Divide the scoring of choices among a team; what is returned scores.

    Choices of an example share its source, which is computed once in their packed row. The rows are
    the same whatever the team.

    Args:
        name: of this work, the same on every process.
        backbone: the frozen model.
        prompt: None for the plain model.
        examples: with a source.
        offer: a task's ``choices``.
        budget: tokens a row.
        team: who does it.
        trained: parameters that may have changed between two measurements.
    """
    before = prompt.before if prompt else 0
    offered = encode_choices(backbone, examples, offer, before=before)
    rows = list(chunks(offered.encoded, budget))

    @torch.no_grad()
    def share(part: Sequence[int]) -> Tensor:
        """Nats of the choices in the part's rows; zero of all others."""
        found = torch.zeros(len(offered.encoded), dtype=torch.float64)
        for row in part:
            losses = token_losses(backbone, prompt, [offered.encoded[i] for i in rows[row]])
            sums = torch.zeros(len(rows[row]), dtype=torch.float64)
            sums.index_add_(0, losses.owner.cpu(), losses.nats.double().cpu())
            found[rows[row]] = sums
        return found

    asked = team.divided(f"choices of {name}", share, trained)

    def found() -> dict[str, float]:
        nats = iter(asked([range(first, len(rows), team.size) for first in range(team.size)]))
        table = [
            choice_scores(texts, [float(next(nats)) for _ in texts], example.targets)
            for example, texts in zip(examples, offered.texts, strict=True)
        ]
        columns = zip(NAMES, zip(*table, strict=True), strict=True)
        return {key: sum(column) / len(column) for key, column in columns}

    return found
