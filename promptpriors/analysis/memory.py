"""Share of where prompts end that is where they started."""

from math import factorial
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from promptpriors.analysis.significance import permuted, refuse_few
from promptpriors.geometry import check_points


class Memory(NamedTuple):
    """Dependence of finals on starts.

    Attributes:
        share: of the finals' variance between runs explained by the start, in [0, 1].
        slope: of the final position on the start: 1 where all of it is kept.
        p: share of the ways to give starts to finals that explain at least as much.
    """

    share: float
    slope: float
    p: float


def memory(
    starts: Float[Tensor, "runs length dim"],
    finals: Float[Tensor, "runs length dim"],
    *,
    generator: Generator,
    permutations: int = 999,
    level: float = 0.05,
) -> Memory:
    """Share of the finals' variance between runs that β · start explains, one β for all vectors.

    With s and f centred over runs, vector by vector: β = Σ s·f / Σ s², share = β Σ s·f / Σ f².
    For independent isotropic starts the share is 1 / ((runs − 1) · length · dim) on average.
    The test gives each final the start of another run; all runs! ways are looked at where they are
    no more than ``permutations``. The runs differ in their draw alone; p must be able to reach
    ``level``.

    Returns:
        Zeros with p = 1 where starts or finals do not differ.

    Raises:
        InputError: for too few runs, or vectors that are not finite.
    """
    check_points(starts, "memory", least=0)
    check_points(finals, "memory", least=0)
    refuse_few(len(starts), "runs", lambda n: 1 / factorial(n), level)
    s, f = (x.double().flatten(1) for x in (starts, finals))
    s, f = s - s.mean(dim=0), f - f.mean(dim=0)
    total, own = float(f.square().sum()), float(s.square().sum())
    if not total or not own:
        return Memory(0.0, 0.0, 1.0)
    products = s @ f.T
    common, table = float(products.trace()), products.numpy()

    def size(order: Any, axis: int) -> Any:
        """|Σ s·f| of the orders along ``axis``: the share rises with it and with nothing else."""
        return abs(table[range(len(table)), order].sum(axis=axis))

    p = permuted([torch.arange(len(s))], size, "pairings", permutations, generator)
    return Memory(common**2 / (own * total), common / own, p)
