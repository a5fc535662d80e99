"""Examples as token ids, piece by piece, so that shared pieces are shared tokens."""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from promptpriors.errors import InputError
from promptpriors.models import Backbone
from promptpriors.types import Example


class Encoded(NamedTuple):
    """Token ids of an example.

    Attributes:
        id: the example's id.
        pieces: ids of each non-empty piece of the source, root first.
        target: ids of the trained text, the end token included where there is one.
    """

    id: str
    pieces: tuple[tuple[int, ...], ...]
    target: tuple[int, ...]

    @property
    def read(self) -> int:
        """Tokens that a model must read: all but the last of the target."""
        return sum(map(len, self.pieces)) + len(self.target) - 1


def encode(
    backbone: Backbone, examples: Sequence[Example], *, before: int = 0, more: int = 0
) -> list[Encoded]:
    """Tokenise examples.

    Args:
        backbone: whose tokenizer.
        examples: at least one.
        before: vectors that stand before the text, for the check of the context.
        more: tokens that may be generated after the source, for the same check.

    Raises:
        InputError: if an example is longer than the model's context, or has nothing to predict.
    """

    @cache
    def ids(text: str) -> tuple[int, ...]:
        return tuple(backbone.encode(text))

    encoded = []
    for example in examples:
        pieces = tuple(piece for piece in map(ids, example.source) if piece)
        text = example.continuation
        target = ids(f" {example.targets[0]}" if text is None else text)
        if example.ends:
            target = (*target, backbone.end)
        encoded.append(Encoded(example.id, pieces, target))
        _check(encoded[-1], backbone, before, more)
    return encoded


def _check(item: Encoded, backbone: Backbone, before: int, more: int) -> None:
    if not item.pieces and len(item.target) < 2:
        raise InputError(f"example {item.id!r} has no source and a text of less than two tokens")
    needed = before + max(item.read, sum(map(len, item.pieces)) + more)
    if backbone.context is not None and needed > backbone.context:
        raise InputError(
            f"example {item.id!r} needs {needed} positions (prompt {before}), and model "
            f"{backbone.name!r} has {backbone.context}\n"
            "Shorten or leave out the example, shorten the prompt, or take another model"
        )
