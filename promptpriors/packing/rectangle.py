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
    lines = [[*sum(e.pieces, ()), *e.target[:-1]] for e in encoded]
    width = max(map(len, lines))
    tokens = torch.zeros(len(lines), width, dtype=torch.long)
    mask = torch.zeros(len(lines), width, dtype=torch.bool)
    line, read, targets = [], [], []
    for number, (ids, example) in enumerate(zip(lines, encoded, strict=True)):
        tokens[number, : len(ids)] = torch.tensor(ids)
        mask[number, : len(ids)] = True
        known = example.target if example.pieces else example.target[1:]
        line += [number] * len(known)
        read += range(len(ids) - len(known), len(ids))
        targets += known
    return Rectangle(tokens, mask, *(torch.tensor(x) for x in (line, read, targets)))
