"""The packed row: a batch as a tree whose every node is computed once.

In causal attention a token sees only what stands before it, so a prompt, a shared context and a
shared question are the same for every example below them. The root, which is the prompt, is not
part of the row: each insertion mode puts it in front in its own way.
"""

from collections.abc import Sequence
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


class _Tree:
    """Segments as they are met; equal pieces below the same parent are one segment."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.positions: list[int] = []
        self.segment: list[int] = []
        self.parents: list[int] = []
        self.last: dict[int, int] = {ROOT: -1}
        self._known: dict[tuple[int, tuple[int, ...]], int] = {}

    def child(self, parent: int, piece: tuple[int, ...]) -> int:
        """The segment of ``piece`` below ``parent``, made when it is new."""
        if (parent, piece) not in self._known:
            self._known[parent, piece] = self.leaf(parent, piece)
        return self._known[parent, piece]

    def leaf(self, parent: int, piece: tuple[int, ...]) -> int:
        """A new segment that is shared with nobody."""
        segment = len(self.parents)
        start = self.positions[self.last[parent]] + 1 if parent != ROOT else 0
        self.parents.append(parent)
        self.tokens += piece
        self.positions += range(start, start + len(piece))
        self.segment += [segment] * len(piece)
        self.last[segment] = len(self.tokens) - 1
        return segment


def pack(encoded: Sequence[Encoded], *, answers: bool = True) -> Row:
    """Pack examples into one row.

    A target's token is predicted at the token before it. Of an example without a source the first
    token is no target: without a prompt nothing stands before it, and with one the losses of both
    would not compare.

    Args:
        encoded: the examples of a batch.
        answers: whether the targets are part of the row (for a loss) or not (for generation).
    """
    tree = _Tree()
    read, targets, owner, ends, leaves = [], [], [], [], []
    for number, example in enumerate(encoded):
        segment = ROOT
        for piece in example.pieces:
            segment = tree.child(segment, piece)
        ends.append(tree.last[segment])
        leaves.append(segment)
        if not answers:
            continue
        known = example.target if example.pieces else example.target[1:]
        first = len(tree.tokens)
        if len(example.target) > 1:
            leaves[-1] = tree.leaf(segment, example.target[:-1])
        rows = list(range(first, len(tree.tokens)))
        read += [tree.last[segment], *rows] if example.pieces else rows
        targets += known
        owner += [number] * len(known)
    kept, slot = torch.unique(torch.tensor(read, dtype=torch.long), return_inverse=True)
    return Row(
        tokens=torch.tensor(tree.tokens, dtype=torch.long),
        positions=torch.tensor(tree.positions, dtype=torch.long),
        segment=torch.tensor(tree.segment, dtype=torch.long),
        parents=torch.tensor(tree.parents, dtype=torch.long),
        read=kept,
        slot=slot,
        targets=torch.tensor(targets, dtype=torch.long),
        owner=torch.tensor(owner, dtype=torch.long),
        ends=torch.tensor(ends, dtype=torch.long),
        leaves=torch.tensor(leaves, dtype=torch.long),
    )


def chain(row: Row, example: int) -> Int[Tensor, " time"]:
    """The rows of one example's tokens, first to last."""
    segment, parts = int(row.leaves[example]), []
    while segment != ROOT:
        parts.append((row.segment == segment).nonzero()[:, 0])
        segment = int(row.parents[segment])
    return torch.cat(parts[::-1]) if parts else torch.zeros(0, dtype=torch.long)


def visible(row: Row) -> Bool[Tensor, "row row"]:
    """Which row (second axis) each row (first axis) attends to.

    Token i attends to j iff j's segment is an ancestor of i's or the same one, and j does not come
    later.
    """
    parents = row.parents.tolist()
    kin = torch.eye(len(parents), dtype=torch.bool)
    for child, parent in enumerate(parents):
        if parent != ROOT:
            kin[child] |= kin[parent]
    return kin[row.segment][:, row.segment].tril()
