"""Which examples travel together."""

from collections.abc import Iterator, Sequence

import torch

from promptpriors.packing.tokens import Encoded
from promptpriors.rng import generator


def groups(encoded: Sequence[Encoded]) -> list[list[int]]:
    """Examples that share their first piece, in order of first appearance."""
    found: dict[object, list[int]] = {}
    for index, example in enumerate(encoded):
        key: object = example.pieces[0] if len(example.pieces) > 1 else index
        found.setdefault(key, []).append(index)
    return list(found.values())


def epochs(
    encoded: Sequence[Encoded], batch: int, *, seed: int, grouping: str = "shared", skip: int = 0
) -> Iterator[list[int]]:
    """Batches without end: a new random order in every epoch, no example left out.

    Args:
        encoded: the examples.
        batch: examples a batch.
        seed: of the order; an epoch's order depends on the seed and its number alone.
        grouping: ``shared``: the order is random over groups of examples that share their first
            piece, so that shared contexts are computed once; ``none``: over examples.
        skip: batches that were drawn before, when a run is resumed.
    """
    units = groups(encoded) if grouping == "shared" else [[i] for i in range(len(encoded))]
    position = skip * batch
    epoch, start = divmod(position, len(encoded))
    waiting: list[int] = []
    while True:
        order = torch.randperm(len(units), generator=generator(seed, "order", epoch))
        flat = [index for unit in order.tolist() for index in units[unit]]
        waiting += flat[start:]
        start = 0
        epoch += 1
        while len(waiting) >= batch:
            yield waiting[:batch]
            waiting = waiting[batch:]


def chunks(encoded: Sequence[Encoded], budget: int) -> Iterator[list[int]]:
    """All examples once, groups together, in rows of ``budget`` tokens (at least one example)."""
    chunk: list[int] = []
    seen: set[tuple[tuple[int, ...], ...]] = set()
    size = 0
    for unit in groups(encoded):
        for index in unit:
            example = encoded[index]
            paths = [example.pieces[: i + 1] for i in range(len(example.pieces))]
            new = sum(len(path[-1]) for path in paths if path not in seen)
            new += len(example.target) - 1
            if chunk and size + new > budget:
                yield chunk
                chunk, size = [], 0
                seen = set()
                new = example.read
            chunk.append(index)
            seen.update(paths)
            size += new
    if chunk:
        yield chunk
