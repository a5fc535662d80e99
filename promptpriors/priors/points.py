"""Real points of a space drawn at random, one by one or as they follow each other in a text."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from promptpriors.errors import InputError
from promptpriors.types import Space


@dataclass(frozen=True)
class Points:
    """Uniform over ``rows``, with replacement."""

    rows: Float[Tensor, "m dim"]

    def sample(self, n: int, *, generator: Generator) -> Float[Tensor, "n dim"]:
        """Draw ``n`` points."""
        return self.rows[torch.randint(len(self.rows), (n,), generator=generator)]


@dataclass(frozen=True)
class Stretches:
    """Uniform over all stretches of consecutive points, of the length that is asked for.

    Attributes:
        rows: the points in the order of their texts.
        left: for each row, how many from it on are consecutive.
    """

    rows: Float[Tensor, "m dim"]
    left: Int[Tensor, " m"]

    def sample(self, n: int, *, generator: Generator) -> Float[Tensor, "n dim"]:
        """Draw one stretch of ``n`` points.

        Raises:
            InputError: if there is none so long.
        """
        starts = (self.left >= n).nonzero()[:, 0]
        if not len(starts):
            raise InputError(
                f"prior 'points': no example has {n} consecutive points, the longest stretch is"
                f" {int(self.left.max())}\nTake a shorter prompt or contiguous = false"
            )
        start = int(starts[torch.randint(len(starts), (1,), generator=generator)])
        return self.rows[start : start + n]


def fit(space: Space, *, generator: Generator, contiguous: bool = False) -> Points | Stretches:
    """Points drawn at random; contiguous: those of a prompt are consecutive ones of one example.

    Raises:
        InputError: if points are to be contiguous and the space does not know their order.
    """
    rows = space.points.to(torch.float32)
    if not contiguous:
        return Points(rows)
    if space.groups is None or space.positions is None:
        raise InputError(
            f"prior 'points': contiguous = true needs points in the order of their texts, and those"
            f" at {space.site!r} have none\nTake a space of activations, or contiguous = false"
        )
    last = torch.ones(len(rows), dtype=torch.bool)  # of a group whose positions go up by one
    last[:-1] = (space.groups.diff() != 0) | (space.positions.diff() != 1)
    ends, numbers = last.nonzero()[:, 0], torch.arange(len(rows))
    return Stretches(rows, ends[torch.searchsorted(ends, numbers)] - numbers + 1)
