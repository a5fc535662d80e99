"""Readout of a prompt's vectors as rows, where nothing is an answer too.

Every vector has a nearest row, so naming it says nothing by itself. A vector is read only if it
lies closer to a row than draws of the Gaussian that was fitted to the rows do; such draws have the
rows' mean and covariance, are no rows, and come quite close to them all the same.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from promptpriors.errors import InputError
from promptpriors.geometry import check_points, nearest_by_cosine


class Readout(NamedTuple):
    """Row that each vector reads as.

    Attributes:
        rows: number of the nearest row by cosine.
        cosine: to that row.
        margin: by which it is above the cosine to the runner-up; where it is small, the vector may
            be read as one of several rows.
        p: share of nulls whose own best cosine reaches it, (1 + reached) / (1 + nulls).
        adjusted: p by Holm over the vectors.
        read: whether ``adjusted`` is at most the level.
    """

    rows: Int[Tensor, " length"]
    cosine: Float[Tensor, " length"]
    margin: Float[Tensor, " length"]
    p: Float[Tensor, " length"]
    adjusted: Float[Tensor, " length"]
    read: Bool[Tensor, " length"]


def read_out(
    vectors: Float[Tensor, "length dim"],
    rows: Float[Tensor, "n dim"],
    nulls: Float[Tensor, "m dim"],
    level: float = 0.05,
) -> Readout:
    """Read vectors as rows; of a prompt that is drawn like the nulls one of so many is ever read.

    Holm holds the chance of a single false reading below ``level`` whatever the vectors have to do
    with each other, which share their nulls at least.

    Source: Phipson & Smyth 2010 for p; Holm 1979.

    Args:
        vectors: of a prompt.
        rows: at least two to read them as, such as a vocabulary.
        nulls: draws of the Gaussian fitted to the rows, independent of the vectors.
        level: chance of any false reading.

    Raises:
        InputError: for too few nulls to read a single vector by, fewer than two rows, or what is
            not finite.
    """
    least = math.ceil(len(vectors) / level) - 1
    if len(nulls) < least or len(rows) < 2:
        raise InputError(
            f"{len(nulls)} nulls and {len(rows)} rows for {len(vectors)} vectors at level {level}: "
            f"expected at least {least} nulls, so that a vector can be read, and 2 rows"
        )
    for points in (vectors, rows, nulls):
        check_points(points, "a readout", least=0)
    found = nearest_by_cosine(vectors, rows, k=2)
    best = nearest_by_cosine(nulls, rows).cosine[:, 0]
    cosine, margin = found.cosine[:, 0], found.cosine[:, 0] - found.cosine[:, 1]
    reached = (best >= cosine[:, None]).sum(dim=1)
    p = (1 + reached).double() / (1 + len(nulls))
    adjusted = holm(p)
    return Readout(found.rows[:, 0], cosine, margin, p, adjusted, adjusted <= level)


def holm(p: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """p-values adjusted for their number: the largest of (n − i + 1)·p₍ᵢ₎ up to each, at most one.

    Source: Holm 1979.

    >>> [round(x, 3) for x in holm(torch.tensor([0.01, 0.04, 0.03, 0.5])).tolist()]
    [0.04, 0.09, 0.09, 0.5]
    """
    ordered, order = p.sort()
    factors = torch.arange(len(p), 0, -1, dtype=p.dtype)
    adjusted = (factors * ordered).cummax(dim=0).values.clamp(max=1)
    return torch.empty_like(p).scatter_(0, order, adjusted)
