"""Visibility within one call of a model, cut into blocks that waste little.

A batch's tokens form a tree; a token sees its ancestors and what stands before it in its own
segment. Computed as one dense square that is mostly masked. So the queries are cut into blocks,
each of which is computed against the union of the keys that its queries see.
"""

from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from promptpriors.packing.row import ROOT, Row, visible

LONGEST = 128
"""Queries of one segment in a block: a longer segment's first part need not meet its last."""
OVERHEAD = 2000
"""What a block costs besides its pairs of queries and keys, in pairs (measured on two cores)."""


class Block(NamedTuple):
    """Neighbouring queries and every key that one of them sees.

    Attributes:
        start: the first query.
        stop: one after the last.
        keys: ascending; may be empty.
    """

    start: int
    stop: int
    keys: Int[Tensor, " m"]


class Tree:
    """Keys that each query of a call sees.

    Args:
        seen: True where the query (first axis) sees the key (second axis); prefixes not included,
            every query sees those.
        queries: position of each query in its text, counted from the first row of the prompt.
        keys: position of each key.
        segments: of each query; neighbours of one segment stay together.

    Attributes:
        blocks: a partition of the queries, in order.
    """

    def __init__(
        self,
        seen: Bool[Tensor, "q k"],
        queries: Int[Tensor, " q"],
        keys: Int[Tensor, " k"],
        segments: Int[Tensor, " q"],
    ) -> None:
        self.seen, self.queries, self.keys = seen, queries, keys
        self.blocks = _blocks(seen, _atoms(segments))
        self._made: dict[Hashable, Any] = {}

    def once(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Result of ``make``, made once for all blocks of the model."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def masks(
        self, prefix: int, window: int | None, copies: int, dtype: torch.dtype, device: torch.device
    ) -> list[tuple[Tensor, Tensor]]:
        """For each block its keys, and what is added to its scores, ``[copies · n, prefix + m]``.

        The mask is 0 where a query sees a key, and −∞ elsewhere.

        Args:
            prefix: rows of the prompt, which every query sees, at the positions from 0.
            window: how far back a query sees, in positions; None for everything.
            copies: query heads that share a key head; their rows lie one after another.
            dtype: of the scores.
            device: where they are.
        """

        def added(block: Block) -> Tensor:
            mask = self._mask(block, prefix, window)
            scores = torch.zeros(mask.shape, dtype=dtype).masked_fill_(~mask, -torch.inf)
            return scores.repeat(copies, 1).to(device)

        return self.once(
            ("blocks", prefix, window, copies, dtype, device),
            lambda: [(block.keys.to(device), added(block)) for block in self.blocks],
        )

    def dense(self, prefix: int, window: int | None, device: torch.device) -> Bool[Tensor, "q all"]:
        """All of it as one mask, the prefix in front."""
        whole = Block(0, len(self.seen), torch.arange(len(self.keys)))
        return self.once(
            ("dense", prefix, window, device),
            lambda: self._mask(whole, prefix, window).to(device),
        )

    def _mask(self, block: Block, prefix: int, window: int | None) -> Bool[Tensor, "n m"]:
        rows = slice(block.start, block.stop)
        mask = torch.ones(block.stop - block.start, prefix + len(block.keys), dtype=torch.bool)
        mask[:, prefix:] = self.seen[rows].index_select(1, block.keys)
        if window is not None:
            before = torch.cat([torch.arange(prefix), self.keys[block.keys]])
            mask &= self.queries[rows, None] - before < window
        return mask


def tree_of(
    row: Row, *, shift: int, before: int = 0, queries: Int[Tensor, " q"] | None = None
) -> Tree:
    """The tree of a packed row.

    Args:
        row: the row; its keys are all of its tokens.
        shift: the position of a text's first token.
        before: rows in front that every text sees, at the positions from 0.
        queries: the rows that ask, ascending; all of them unless given.
    """
    seen = visible(row, before=before)
    asking = torch.cat([torch.full((before,), ROOT), row.segment])
    positions = torch.cat([torch.arange(before), shift + row.positions])
    if queries is None:
        return Tree(seen, positions, positions, asking)
    return Tree(seen[queries], positions[queries], positions, asking[queries])


def _atoms(segments: Int[Tensor, " q"]) -> list[tuple[int, int]]:
    """Runs of one segment, the long ones cut."""
    _, counts = torch.unique_consecutive(segments, return_counts=True)
    atoms, start = [], 0
    for count in counts.tolist():
        stop = start + count
        atoms += [(a, min(a + LONGEST, stop)) for a in range(start, stop, LONGEST)]
        start = stop
    return atoms


def _blocks(seen: Bool[Tensor, "q k"], atoms: list[tuple[int, int]]) -> list[Block]:
    """Neighbours are joined while that is cheaper than two blocks."""
    blocks: list[Block] = []
    start, stop, union = 0, 0, torch.zeros(seen.shape[1], dtype=torch.bool)
    cost = 0
    for first, last in atoms:
        own = seen[first:last].any(dim=0)
        alone = (last - first) * int(own.sum()) + OVERHEAD
        both = union | own
        joined = (last - start) * int(both.sum()) + OVERHEAD
        if stop > start and joined > cost + alone:
            blocks.append(Block(start, stop, union.nonzero()[:, 0]))
            start, union, cost = first, own, alone
        else:
            union, cost = both, joined
        stop = last
    if stop > start:
        blocks.append(Block(start, stop, union.nonzero()[:, 0]))
    return blocks
