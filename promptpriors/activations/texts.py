"""Examples as texts to be read: token ids with a role each, cut to a length, by document."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from promptpriors.models import Backbone
from promptpriors.packing import Encoded, tokenise
from promptpriors.types import Example

ROLES = ("text", "context", "question", "answer", "special")
"""What a token is part of: a plain document; the pieces of a source before its last one; the last
one; the answer; or what a tokenizer puts around a text for an encoder."""
TEXT, CONTEXT, QUESTION, ANSWER, SPECIAL = range(len(ROLES))
LARGEST = 64
"""Examples of a document, at most."""


class Text(NamedTuple):
    """One example as it is read.

    Attributes:
        id: the example's.
        ids: tokens.
        roles: of each token, a place in ``ROLES``.
    """

    id: str
    ids: tuple[int, ...]
    roles: tuple[int, ...]


def documents(examples: Iterable[Example]) -> Iterator[list[Example]]:
    """Neighbouring examples that share the first of several pieces, such as a paragraph.

    An example without such a piece is a document of its own. What comes from one document is not
    independent, so whatever is split or permuted is split by it.
    """

    def first(numbered: tuple[int, Example]) -> tuple[int, str]:
        number, example = numbered
        return (-1, example.source[0]) if len(example.source) > 1 else (number, "")

    for _, run in groupby(enumerate(examples), key=first):
        found = [example for _, example in run]
        yield from (found[i : i + LARGEST] for i in range(0, len(found), LARGEST))


def filled(documents: Iterable[Sequence[Text]], tokens: int) -> Iterator[list[Sequence[Text]]]:
    """Documents together, until they have ``tokens`` or more."""
    some: list[Sequence[Text]] = []
    size = 0
    for document in documents:
        some.append(document)
        size += sum(len(text.ids) for text in document)
        if size >= tokens:
            yield some
            some, size = [], 0
    if some:
        yield some


def read_texts(backbone: Backbone, document: list[Example], tokens: int) -> list[Text]:
    """The texts of a document's examples, each cut to ``tokens``; those without any are left out.

    A decoder reads source and answer, without the end token, and nothing in front of them. An
    encoder reads them between its tokenizer's special tokens; that of an encoder–decoder reads the
    source, or the document where there is no source.
    """
    front, back = _around(backbone)
    room = tokens - len(front) - len(back)
    texts = []
    for example, encoded in zip(document, tokenise(backbone, document), strict=True):
        ids, roles = _parts(encoded, ends=example.ends, answer=not backbone.seq2seq)
        if ids:
            whole = (*front, *ids[:room], *back)
            around = (SPECIAL,) * len(front), (SPECIAL,) * len(back)
            texts.append(Text(example.id, whole, (*around[0], *roles[:room], *around[1])))
    return texts


def _parts(
    encoded: Encoded, *, ends: bool, answer: bool
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Ids and roles of an example's tokens."""
    target = encoded.target[:-1] if ends else encoded.target
    if not encoded.pieces:
        return target, (TEXT,) * len(target)
    *contexts, question = encoded.pieces
    before = sum(contexts, ())
    after = target if answer else ()
    roles = (CONTEXT,) * len(before) + (QUESTION,) * len(question) + (ANSWER,) * len(after)
    return (*before, *question, *after), roles


def _around(backbone: Backbone) -> tuple[list[int], list[int]]:
    """Special tokens that a text stands between: none for a decoder."""
    if not backbone.bidirectional:
        return [], []
    if backbone.seq2seq:
        return [], [backbone.end]
    probe = backbone.encode("a")
    whole = list(backbone.tokenizer.encode("a", add_special_tokens=True))
    start = next(i for i in range(len(whole)) if whole[i : i + len(probe)] == probe)
    return whole[:start], whole[start + len(probe) :]
