"""The padded rectangle: an example a line, for models whose tree is not exact; the reference."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from promptpriors.packing.tokens import Encoded


class Rectangle(NamedTuple):
    """Examples padded on the right.

    Attributes:
        tokens: ids, padding is 0.
        mask: True where a token stands.
        line: for each target token its example.
        read: for each target token the column it is predicted at.
        targets: the target tokens of all examples.
    """

    tokens: Int[Tensor, "batch time"]
    mask: Bool[Tensor, "batch time"]
    line: Int[Tensor, " t"]
    read: Int[Tensor, " t"]
    targets: Int[Tensor, " t"]


def pad(encoded: Sequence[Encoded]) -> Rectangle:
    """Pad examples to the longest; targets are those of ``row.pack``, in the same order."""
    tokens, mask = padded([[*sum(e.pieces, ()), *e.target[:-1]] for e in encoded])
    line, read, targets = [], [], []
    for number, example in enumerate(encoded):
        known = example.target if example.pieces else example.target[1:]
        line += [number] * len(known)
        read += range(example.read - len(known), example.read)
        targets += known
    return Rectangle(tokens, mask, *(torch.tensor(x) for x in (line, read, targets)))


def padded(
    lines: Sequence[Sequence[int]], *, fill: int = 0, least: int = 0
) -> tuple[Int[Tensor, "batch time"], Bool[Tensor, "batch time"]]:
    """Ids padded on the right to the longest line, to ``least`` at least, and where they stand."""
    lengths = torch.tensor([len(line) for line in lines])
    known = torch.arange(max(least, int(lengths.max()))) < lengths[:, None]
    ids = torch.full(known.shape, fill)
    ids[known] = torch.tensor([token for line in lines for token in line], dtype=torch.long)
    return ids, known
