"""Examples as token ids, piece by piece, so that shared pieces are shared tokens."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache, partial
from typing import NamedTuple

from promptpriors.errors import InputError
from promptpriors.models import Backbone
from promptpriors.types import Example, Markup


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
        InputError: if an example is longer than the model's context, or has nothing to predict, or
            no source for an encoder–decoder.
    """
    encoded = []
    for item in tokenise(backbone, examples):
        if backbone.seq2seq and not item.pieces:
            raise InputError(
                f"example {item.id!r} has no source; expected a source, since an encoder–decoder "
                "can't model plain text\nTake a task with questions, or a decoder-only model"
            )
        if len(item.target) < (1 if item.pieces else 2):
            least = "no tokens to predict" if item.pieces else "no source and less than two tokens"
            raise InputError(f"example {item.id!r} has {least}")
        source = sum(map(len, item.pieces))
        needed, room = before + max(item.read, source + more), backbone.context
        if backbone.seq2seq:  # two texts, each with positions of its own
            needed, answer = before + source + 1, max(len(item.target), more)
            if backbone.answer_context is not None and answer > backbone.answer_context:
                needed, room = answer, backbone.answer_context
        if room is not None and needed > room:
            raise InputError(
                f"example {item.id!r} needs {needed} positions (prompt {before}), and model "
                f"{backbone.name!r} has {room}\n"
                "Shorten or leave out the example, shorten the prompt, or take another model"
            )
        encoded.append(item)
    return encoded


def tokenise(backbone: Backbone, examples: Iterable[Example]) -> Iterator[Encoded]:
    """Tokenise examples one after another, whatever their length.

    Control tokens that a text spells out are text, but in pieces of a source that are ``Markup``.

    Raises:
        InputError: for what is no example, and for a source or target of which no token is left.
    """
    inside = _inside(backbone)

    @lru_cache(maxsize=1024, typed=True)  # neighbours share pieces; a Markup equals its text
    def ids(text: str, first: bool) -> tuple[int, ...]:
        return tuple(_encode(backbone, text) if first else inside(text))

    for example in examples:
        if not isinstance(example, Example):
            raise InputError(
                f"expected examples, promptpriors.Example; found {example!r:.60} among them"
            )
        texts = [text for text in example.source if text]
        pieces = tuple(filter(None, (ids(text, i == 0) for i, text in enumerate(texts))))
        text = example.continuation
        text = f" {example.targets[0]}" if text is None else text
        target = ids(text, not texts)
        for what, there, left in (("source", texts, pieces), ("target", text.strip(), target)):
            if there and not left:
                raise InputError(
                    f"example {example.id!r}: the tokenizer of model {backbone.name!r} leaves "
                    f"nothing of its {what} ({there!r:.40})\nLeave out the example, or mend it"
                )
        yield Encoded(example.id, pieces, (*target, backbone.end) if example.ends else target)


def _inside(backbone: Backbone) -> Callable[[str], list[int]]:
    """How to tokenise a piece inside a text."""
    # Tokenizers of the SentencePiece kind put a blank before whatever they are given; such a piece
    # is given to them after a line feed, whose tokens are cut off again.
    feed = backbone.encode("\n")
    if backbone.encode("\na") == [*feed, *backbone.encode("a")]:
        return partial(_encode, backbone)

    def encode_after_feed(text: str) -> list[int]:
        found = _encode(backbone, type(text)("\n" + text))
        return found[len(feed) :] if found[: len(feed)] == feed else _encode(backbone, text)

    return encode_after_feed


def _encode(backbone: Backbone, text: str) -> list[int]:
    return backbone.encode(text, control=isinstance(text, Markup))
