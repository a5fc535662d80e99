"""Sums and paths along texts whose rows are a tree: each row knows the row before it."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor


def chain_sums(
    values: Float[Tensor, "row k"], before: Int[Tensor, " row"], positions: Int[Tensor, " row"]
) -> Float[Tensor, "row k"]:
    """For each row the sum of ``values`` over it and all rows before it in its text.

    Args:
        values: a row a token.
        before: the row of the token before; −1 for a text's first.
        positions: of each token in its text, from 0.
    """
    total = values.clone()
    order = torch.argsort(positions, stable=True)
    for rows in order.split(torch.bincount(positions).tolist())[1:]:
        total[rows] += total[before[rows].long()]
    return total


def chain_rows(before: Sequence[int], last: int, length: int) -> list[int]:
    """The first ``length`` rows of the text that ends in row ``last``, first to last."""
    rows = []
    while last >= 0:
        rows.append(last)
        last = before[last]
    return rows[::-1][:length]
