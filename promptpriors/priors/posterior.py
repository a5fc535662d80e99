"""Trained vectors of earlier runs as the prior of the next."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from promptpriors.errors import InputError
from promptpriors.priors import gaussian
from promptpriors.priors.gaussian import AffineGaussian, Gaussian
from promptpriors.priors.points import Points
from promptpriors.types import Space


@dataclass(frozen=True)
class Prompts:
    """One run's whole prompt, its vectors in order, repeated or cut to the length.

    Attributes:
        rows: the vectors, run by run.
        counts: vectors of each run.
    """

    rows: Float[Tensor, "m dim"]
    counts: Int[Tensor, " runs"]

    def sample(self, n: int, *, generator: Generator) -> Float[Tensor, "n dim"]:
        """The first ``n`` vectors of a random run's prompt, repeated."""
        run = int(torch.randint(len(self.counts), (1,), generator=generator))
        start = int(self.counts[:run].sum())
        return self.rows[start + torch.arange(n) % self.counts[run]]


def fit(
    space: Space,
    *,
    generator: Generator,
    draw: Literal["gaussian", "points", "prompt"] = "gaussian",
    shrinkage: Literal["oas", "ledoit-wolf"] = "oas",
) -> Gaussian | AffineGaussian | Points | Prompts:
    """Fit to trained prompts.

    Args:
        space: trained vectors; its groups are the runs.
        generator: not needed but by the Gaussian's fit.
        draw: from their Gaussian; single vectors at random; or one run's whole prompt, a warm start
            (Su et al. 2022, arXiv 2111.06719, start from a prompt of another task).
        shrinkage: of the Gaussian's covariance: there are usually fewer vectors than dimensions.

    Raises:
        InputError: for a space that is no trained prompts.
    """
    if space.groups is None:
        raise InputError(
            "prior 'posterior' is fitted to trained prompts, and the points at"
            f" {space.site!r} belong to no runs\nGive it space = 'runs:DIR'"
        )
    if draw == "gaussian":
        return gaussian.fit(space, generator=generator, shrinkage=shrinkage)
    rows = space.points.to(torch.float32)
    if draw == "points":
        return Points(rows)
    counts = space.groups.unique(return_counts=True)[1]
    return Prompts(rows[space.groups.argsort(stable=True)], counts)
