"""Which examples travel together."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import torch

from promptpriors.packing.tokens import Encoded
from promptpriors.rng import generator

Trie = dict[int, Any]
"""Texts by their tokens: what they have in common from their start stands once."""
MANY = 4
"""Batches that a group fills from which on its first piece is an instruction and no context."""


def groups(encoded: Sequence[Encoded], *, largest: int | None = None) -> list[list[int]]:
    """Examples that share their first piece, in order of first appearance.

    Args:
        encoded: the examples.
        largest: a larger group is cut into parts of so many examples. One that is many times
            larger, such as all examples under one instruction, is taken apart by its second piece.
    """
    return _split(encoded, list(range(len(encoded))), 0, largest)


def _split(
    encoded: Sequence[Encoded], members: Sequence[int], depth: int, largest: int | None
) -> list[list[int]]:
    found: dict[object, list[int]] = {}
    for index in members:
        pieces = encoded[index].pieces
        key: object = pieces[depth] if len(pieces) > depth + 1 else index
        found.setdefault(key, []).append(index)
    result = []
    for group in found.values():
        if largest is None:
            result.append(group)
        elif len(group) <= MANY * largest:
            result += [group[i : i + largest] for i in range(0, len(group), largest)]
        else:
            result += _split(encoded, group, depth + 1, largest)
    return result


def epochs(
    encoded: Sequence[Encoded],
    batch: int,
    *,
    seed: int,
    grouping: str = "shared",
    tokens: int | None = None,
    skip: int = 0,
) -> Iterator[list[int]]:
    """Batches without end: a new random order in every epoch, no example left out.

    Args:
        encoded: the examples.
        batch: examples a batch. With shared grouping whole groups are added until there are so
            many, so that no context is computed twice; then batches are somewhat larger.
        seed: of the order; an epoch's order depends on the seed and its number alone.
        grouping: ``shared``: the order is random over groups of examples that share their first
            piece, so that shared contexts are computed once; ``none``: over examples.
        tokens: fill batches until they have so many tokens to compute, in place of ``batch``.
        skip: batches that were drawn before, when a run is resumed.
    """
    largest = batch if tokens is None else None
    shared = grouping == "shared"
    whole = groups(encoded, largest=largest) if shared else [[i] for i in range(len(encoded))]
    filling = _Filling(encoded, batch, tokens)
    epoch = drawn = 0
    while True:
        order = torch.randperm(len(whole), generator=generator(seed, "order", epoch))
        epoch += 1
        for unit in order.tolist():
            filling.add(whole[unit])
            if filling.full():
                drawn += 1
                taken = filling.take()
                if drawn > skip:
                    yield taken


class _Filling:
    """A batch in the making."""

    def __init__(self, encoded: Sequence[Encoded], batch: int, tokens: int | None) -> None:
        self._encoded, self._batch, self._tokens = encoded, batch, tokens
        self.take()

    def add(self, unit: Sequence[int]) -> None:
        self._members += unit
        if self._tokens is not None:
            self._size += sum(_new(self._encoded[i], self._seen) for i in unit)

    def full(self) -> bool:
        if self._tokens is not None:
            return self._size >= self._tokens
        return len(self._members) >= self._batch

    def take(self) -> list[int]:
        taken = getattr(self, "_members", [])
        self._members: list[int] = []
        self._seen: Trie = {}
        self._size = 0
        return taken


def chunks(encoded: Sequence[Encoded], budget: int) -> Iterator[list[int]]:
    """All examples once, groups together, in rows of ``budget`` tokens (at least one example)."""
    chunk: list[int] = []
    seen: Trie = {}
    size = 0
    for unit in groups(encoded):
        for index in unit:
            new = _new(encoded[index], seen)
            if chunk and size + new > budget:
                yield chunk
                chunk, size, seen = [], 0, {}
                new = _new(encoded[index], seen)
            chunk.append(index)
            size += new
    if chunk:
        yield chunk


def units(encoded: Sequence[Encoded], least: int) -> Iterator[list[int]]:
    """All examples once, whole groups, several where one has fewer than ``least`` tokens."""
    unit: list[int] = []
    seen: Trie = {}
    size = 0
    for group in groups(encoded, largest=64):
        unit += group
        size += sum(_new(encoded[i], seen) for i in group)
        if size >= least:
            yield unit
            unit, size, seen = [], 0, {}
    if unit:
        yield unit


def _new(example: Encoded, seen: Trie) -> int:
    """Tokens that an example adds to a row of the texts ``seen``; it is added to them."""
    new = 0
    for token in chain.from_iterable((*example.pieces, example.target[:-1])):
        if token not in seen:
            seen[token] = {}
            new += 1
        seen = seen[token]
    return new
