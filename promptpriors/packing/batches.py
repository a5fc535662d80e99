"""Batches: examples that travel together."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, count, islice
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
    return _split(encoded, range(len(encoded)), 0, largest)


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

    def endless() -> Iterator[list[int]]:
        for epoch in count():
            order = torch.randperm(len(whole), generator=generator(seed, "order", epoch))
            yield from (whole[unit] for unit in order.tolist())

    if tokens is None:
        return islice(_filled(endless(), batch), skip, None)
    return islice(_filled(endless(), tokens, encoded), skip, None)


def chunks(encoded: Sequence[Encoded], budget: int) -> Iterator[list[int]]:
    """All examples once, groups together, in rows of ``budget`` tokens (at least one example)."""
    chunk: list[int] = []
    seen: Trie = {}
    size = 0
    for index in chain.from_iterable(groups(encoded)):
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
    return _filled(groups(encoded, largest=64), least, encoded)


def _filled(
    parts: Iterable[list[int]], least: int, encoded: Sequence[Encoded] | None = None
) -> Iterator[list[int]]:
    """Parts joined until they have ``least`` tokens to compute; without ``encoded``, examples."""
    members: list[int] = []
    seen: Trie = {}
    size = 0
    for part in parts:
        members += part
        size += sum(_new(encoded[i], seen) for i in part) if encoded else len(part)
        if size >= least:
            yield members
            members, size, seen = [], 0, {}
    if members:
        yield members


def _new(example: Encoded, seen: Trie) -> int:
    """Tokens that an example adds to a row of the texts ``seen``; it is added to them."""
    new = 0
    for token in chain.from_iterable((*example.pieces, example.target[:-1])):
        if token not in seen:
            seen[token] = {}
            new += 1
        seen = seen[token]
    return new
