"""Visibility within one call of a model, cut into blocks that waste little.

A batch's tokens form a tree; a token sees its ancestors and what stands before it in its own
segment. One dense square would be mostly masked. So the queries are cut into blocks, each of which
is computed against the union of the keys that its queries see. A long segment needs no mask at all:
each of its queries sees the same ancestors, and its own keys causally.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from promptpriors.packing.row import Row, kin

LONGEST = 128
"""Queries of one segment in a block: a longer segment's first part need not meet its last."""
OVERHEAD = 2000
"""What a block costs besides its pairs of queries and keys, in pairs (measured on two cores)."""
LONG = 256
"""Queries of a segment from which on torch's fused attention is faster than blocks with masks."""


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


class Run(NamedTuple):
    """A whole segment, whose queries all see the same keys before it, and their own causally.

    Attributes:
        start: the first query, and the first key that is its own.
        stop: one after the last.
        before: the keys before it that it sees, ascending; may be empty.
    """

    start: int
    stop: int
    before: Int[Tensor, " m"]


class Tree:
    """Keys that each query of a call sees.

    A query sees a key iff the key's segment is its own or an ancestor of it and the key does not
    come later. What every query sees besides, a prefix, is not included.

    Args:
        kin: True where a segment (first axis) is the other one or comes below it.
        segments: of each key, in one run each, ancestors first.
        positions: of each key in its text, counted from the first row of the prompt.
        asking: the keys that ask, ascending; all of them unless given.

    Attributes:
        queries: position of each query.
        keys: position of each key.
    """

    def __init__(
        self,
        kin: Bool[Tensor, "s s"],
        segments: Int[Tensor, " k"],
        positions: Int[Tensor, " k"],
        asking: Int[Tensor, " q"] | None = None,
    ) -> None:
        self._kin, self._segments, self._whole = kin, segments, asking is None
        self._rows = torch.arange(len(segments)) if asking is None else asking
        self.queries, self.keys = positions[self._rows], positions
        self._made: dict[Hashable, Any] = {}

    @property
    def seen(self) -> Bool[Tensor, "q k"]:
        """All of it as one mask."""
        every = torch.arange(len(self._rows))
        return self.sees(every, torch.arange(len(self.keys)))

    def sees(self, queries: Int[Tensor, " n"], keys: Int[Tensor, " m"]) -> Bool[Tensor, "n m"]:
        """Mask of some queries and some keys, both by their number."""
        rows = self._rows[queries]
        near = self._kin[self._segments[rows]][:, self._segments[keys]]
        return near & (keys <= rows[:, None])

    def asked_by(self, queries: Int[Tensor, " n"]) -> "Tree":
        """The tree of some of the queries, given by their number, ascending."""
        return Tree(self._kin, self._segments, self.keys, self._rows[queries])

    @property
    def blocks(self) -> list[Block]:
        """A partition of the queries, in order."""
        return self.parts(fused=False)[0]

    def parts(self, *, fused: bool) -> tuple[list[Block], list[Run]]:
        """A partition of the queries into blocks, in order, and long segments if they may be."""
        return self.once(("parts", fused), lambda: self._parts(fused=fused and self._whole))

    def _parts(self, *, fused: bool) -> tuple[list[Block], list[Run]]:
        blocks: list[Block] = []
        runs: list[Run] = []
        atoms: list[tuple[int, int]] = []
        for start, stop in _bounds(self._segments[self._rows]):
            if not fused or stop - start < LONG:
                atoms += [(a, min(a + LONGEST, stop)) for a in range(start, stop, LONGEST)]
                continue
            blocks += self._joined(atoms)
            atoms = []
            earlier = torch.arange(start)
            sees = self.sees(torch.tensor([start]), earlier)[0]
            runs.append(Run(start, stop, earlier[sees]))
        return blocks + self._joined(atoms), runs

    def _joined(self, atoms: list[tuple[int, int]]) -> list[Block]:
        """Blocks of neighbours, which are joined while that is cheaper than two blocks."""
        blocks: list[Block] = []
        every = torch.arange(len(self.keys))
        start = stop = atoms[0][0] if atoms else 0
        union, cost = torch.zeros(len(every), dtype=torch.bool), 0
        for first, last in atoms:
            own = self.sees(torch.tensor([last - 1]), every)[0]  # of one segment, the last sees all
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

    def within(self, window: int | None) -> bool:
        """True where a window of so many positions hides nothing."""
        return window is None or self.once("last", lambda: int(self.queries.max())) < window

    def once(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Result of ``make``, made once for all blocks of the model."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def masks(
        self,
        blocks: Sequence[Block],
        prefix: int,
        window: int | None,
        copies: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> list[tuple[Tensor, Tensor]]:
        """For each block its keys, and what is added to its scores, ``[copies · n, prefix + m]``.

        The mask is 0 where a query sees a key, and −∞ elsewhere. Keys that the window hides from
        all of a block's queries are left out.

        Args:
            blocks: of ``parts``.
            prefix: rows of the prompt, which every query sees, at the positions from 0.
            window: how far back a query sees, in positions; None for everything.
            copies: query heads that share a key head; their rows lie one after another.
            dtype: of the scores.
            device: where they are.
        """

        def masked(block: Block) -> tuple[Tensor, Tensor]:
            mask, keys = self._mask(block, prefix, window), block.keys
            if window is not None:
                near = mask[:, prefix:].any(dim=0)
                keys = keys[near]
                mask = torch.cat([mask[:, :prefix], mask[:, prefix:][:, near]], dim=1)
            scores = torch.zeros(mask.shape, dtype=dtype).masked_fill_(~mask, -torch.inf)
            return keys.to(device), scores.repeat(copies, 1).to(device)

        return self.once(
            ("masks", tuple(b.start for b in blocks), prefix, window, copies, dtype, device),
            lambda: [masked(block) for block in blocks],
        )

    def dense(self, prefix: int, window: int | None, device: torch.device) -> Bool[Tensor, "q all"]:
        """All of it as one mask, the prefix in front."""
        whole = Block(0, len(self.queries), torch.arange(len(self.keys)))
        return self.once(
            ("dense", prefix, window, device),
            lambda: self._mask(whole, prefix, window).to(device),
        )

    def _mask(self, block: Block, prefix: int, window: int | None) -> Bool[Tensor, "n m"]:
        rows = torch.arange(block.start, block.stop)
        mask = torch.ones(len(rows), prefix + len(block.keys), dtype=torch.bool)
        mask[:, prefix:] = self.sees(rows, block.keys)
        if window is not None:
            before = torch.cat([torch.arange(prefix), self.keys[block.keys]])
            mask &= self.queries[rows, None] - before < window
        return mask


def tree_of(row: Row, *, shift: int, before: int = 0) -> Tree:
    """The tree of a packed row.

    Args:
        row: the row; its keys are all of its tokens.
        shift: the position of a text's first token.
        before: rows in front that every text sees, at the positions from 0.
    """
    below = torch.nn.functional.pad(kin(row), (1, 0, 1, 0))
    below[:, 0] = True  # the rows in front
    segments = torch.cat([torch.zeros(before, dtype=torch.long), 1 + row.segment])
    positions = torch.cat([torch.arange(before), shift + row.positions])
    return Tree(below, segments, positions)


def causal(rows: int) -> Tree:
    """The tree of one text alone."""
    one = torch.ones(1, 1, dtype=torch.bool)
    return Tree(one, torch.zeros(rows, dtype=torch.long), torch.arange(rows))


def _bounds(segments: Int[Tensor, " q"]) -> list[tuple[int, int]]:
    """First and one after the last query of each segment."""
    _, counts = torch.unique_consecutive(segments, return_counts=True)
    stops = counts.cumsum(0).tolist()
    return list(zip([0, *stops], stops, strict=False))
