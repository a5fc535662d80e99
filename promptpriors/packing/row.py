"""The packed row: a batch as a tree whose every node is computed once.

In causal attention a token sees only what stands before it, so a prompt, a shared context and a
shared question are the same for every example below them. The root, which is the prompt, is not
part of the row: each insertion mode puts it in front in its own way.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from promptpriors.packing.tokens import Encoded

ROOT = -1


class Row(NamedTuple):
    """One packed row of tokens, without padding.

    Attributes:
        tokens: ids, each segment in one run, parents before children.
        positions: of each token, counted from the first after the root.
        segment: of each token.
        parents: of each segment; ``ROOT`` where only the prompt stands before it.
        read: rows whose logits are needed, ascending, each once.
        slot: for each target token the place in ``read`` it is predicted at.
        targets: the target tokens of all examples.
        owner: for each target token its example.
        ends: for each example the row of the last token of its source; -1 without a source.
        leaves: for each example its last segment; ``ROOT`` for one without tokens.
    """

    tokens: Int[Tensor, " row"]
    positions: Int[Tensor, " row"]
    segment: Int[Tensor, " row"]
    parents: Int[Tensor, " segments"]
    read: Int[Tensor, " reads"]
    slot: Int[Tensor, " t"]
    targets: Int[Tensor, " t"]
    owner: Int[Tensor, " t"]
    ends: Int[Tensor, " examples"]
    leaves: Int[Tensor, " examples"]


def _grown(
    texts: Sequence[tuple[int, ...]],
) -> tuple[list[list[int]], list[int], list[int], list[int], list[int]]:
    """For each text the rows of its tokens; tokens, positions and segments of all; parents."""
    paths: list[list[int]] = [[] for _ in texts]
    tokens, positions, segments, parents = [], [], [], []
    waiting = _branches(range(len(texts)), ROOT, 0, texts)
    while waiting:
        members, parent, start = waiting.pop()
        shared = _shared([texts[member][start:] for member in members])
        stop, segment = start + len(shared), len(parents)
        for member in members:
            paths[member] += range(len(tokens), len(tokens) + len(shared))
        tokens += shared
        positions += range(start, stop)
        segments += [segment] * len(shared)
        parents.append(parent)
        waiting += _branches(members, segment, stop, texts)
    return paths, tokens, positions, segments, parents


def _branches(
    members: Iterable[int], parent: int, start: int, texts: Sequence[tuple[int, ...]]
) -> list[tuple[list[int], int, int]]:
    """Texts that go on after ``start``, by their next token; the first to be taken is last."""
    found: dict[int, list[int]] = {}
    for member in members:
        if len(texts[member]) > start:
            found.setdefault(texts[member][start], []).append(member)
    return [(branch, parent, start) for branch in reversed(found.values())]


def _shared(texts: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """What texts have in common from their start: what the least and the greatest have."""
    least, greatest = min(texts), max(texts)
    differ = (i for i, pair in enumerate(zip(least, greatest, strict=False)) if pair[0] != pair[1])
    return least[: next(differ, len(least))]


def pack(encoded: Sequence[Encoded], *, answers: bool = True) -> Row:
    """Pack examples into one row.

    Whatever texts have in common from their start is computed once, be it a whole paragraph or the
    first words of two questions. A target's token is predicted at the token before it. Of an
    example without a source the first token is no target: without a prompt nothing stands before
    it, and with one the losses of both would not compare.

    Args:
        encoded: the examples of a batch.
        answers: whether the targets are part of the row (for a loss) or not (for generation).
    """
    sources = [sum(example.pieces, ()) for example in encoded]
    texts = [s + e.target[:-1] if answers else s for s, e in zip(sources, encoded, strict=True)]
    paths, tokens, positions, segments, parents = _grown(texts)
    read, targets, owner, ends = [], [], [], []
    for number, (example, source, path) in enumerate(zip(encoded, sources, paths, strict=True)):
        ends.append(path[len(source) - 1] if source else -1)
        if answers:
            known = example.target if example.pieces else example.target[1:]
            read += path[len(path) - len(known) :]
            targets += known
            owner += [number] * len(known)
    ids = partial(torch.tensor, dtype=torch.long)
    kept, slot = torch.unique(ids(read), return_inverse=True)
    return Row(
        tokens=ids(tokens),
        positions=ids(positions),
        segment=ids(segments),
        parents=ids(parents),
        read=kept,
        slot=slot,
        targets=ids(targets),
        owner=ids(owner),
        ends=ids(ends),
        leaves=ids([segments[path[-1]] if path else ROOT for path in paths]),
    )


def chain(row: Row, example: int) -> Int[Tensor, " time"]:
    """The rows of one example's tokens, first to last."""
    segment, parts = int(row.leaves[example]), []
    while segment != ROOT:
        parts.append((row.segment == segment).nonzero()[:, 0])
        segment = int(row.parents[segment])
    return torch.cat(parts[::-1]) if parts else torch.zeros(0, dtype=torch.long)


def kin(row: Row) -> Bool[Tensor, "segments segments"]:
    """True where a segment (first axis) is the other one or comes below it."""
    parents = row.parents.tolist()
    found = torch.eye(len(parents), dtype=torch.bool)
    for child, parent in enumerate(parents):
        if parent != ROOT:
            found[child] |= found[parent]
    return found


def visible(row: Row, *, before: int = 0) -> Bool[Tensor, "all all"]:
    """Mask of the rows (second axis) that each row (first axis) sees, ``before`` rows in front.

    Token i attends to j iff j's segment is an ancestor of i's or the same one, and j does not come
    later. What stands in front is causal in itself and stands before everything.
    """
    size = before + len(row.tokens)
    mask = torch.ones(size, size, dtype=torch.bool).tril()
    mask[before:, before:] &= kin(row)[row.segment][:, row.segment]
    return mask
