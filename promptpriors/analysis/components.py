"""Components of the variance between runs: arms, rates, the data's order, the draw, the rest."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from promptpriors.errors import InputError


class Component(NamedTuple):
    """Source of variance.

    Attributes:
        source: the term, or ``residual``.
        variance: estimated; 0 where the estimate is negative.
        share: of the sum of all variances.
        df: degrees of freedom of the term's sum of squares.
        note: the estimate where it was negative, else "".
    """

    source: str
    variance: float
    share: float
    df: int
    note: str


def components(
    values: Float[Tensor, " n"], factors: Mapping[str, Sequence[Hashable]], terms: Sequence[str]
) -> list[Component]:
    """Variances of the random effects of y = μ + Σ u_term + e, by the method of moments.

    Each term's sum of squares beyond the terms before it, y'(P_k − P_{k−1})y, is set equal to its
    expectation Σ_j σ_j² tr(Z_j'(P_k − P_{k−1})Z_j) + σ_e² · df (Henderson's third method: Searle,
    Casella & McCulloch 1992, section 5.5). On balanced data these are the estimates of the
    analysis of variance, and where none is negative those of REML; on others they depend on the
    order of terms. Levels of a fixed factor count by their variance, Σ (α − ᾱ)² / (levels − 1).

    Args:
        values: one a run.
        factors: by name the level of each run.
        terms: factors, or several joined by ``:`` for their combinations (which nests: ``arm:draw``
            without ``draw`` is a draw within its arm); main effects first.

    Raises:
        InputError: for terms that can't be told apart, and where nothing is left for the residual.
    """
    if not len(values):
        raise InputError("there are no runs whose variance could be taken apart")
    y = values.double()
    levels = {t: list(zip(*(factors[f] for f in t.split(":")), strict=True)) for t in terms}
    effects = {term: indicator(levels[term]) for term in terms}
    ranks, sums = [1], [0.0]
    basis = torch.full((len(y), 1), len(y) ** -0.5, dtype=torch.float64)
    expected = torch.zeros(len(terms) + 1, len(terms) + 1, dtype=torch.float64)
    for row, (term, effect) in enumerate(effects.items()):
        new = _beyond(basis, effect)
        if not new.shape[1]:
            raise InputError(f"{term!r} can't be told from what stands before it in {list(terms)}")
        basis = torch.cat([basis, new], dim=1)
        sums.append(float((new.T @ y).square().sum()))
        ranks.append(new.shape[1])
        for column, other in enumerate(effects.values()):
            expected[row, column] = (new.T @ other).square().sum()
        expected[row, -1] = new.shape[1]
    left = len(y) - basis.shape[1]
    if left < 1:
        raise InputError(
            f"{len(y)} runs leave nothing for the residual beside {', '.join(terms)}; "
            "leave a term out, or give more runs"
        )
    expected[-1, -1] = left
    sums.append(float((y - basis @ (basis.T @ y)).square().sum()))
    found = torch.linalg.solve(expected, torch.tensor(sums[1:], dtype=torch.float64))
    kept = found.clamp(min=0)
    shares = kept / kept.sum() if kept.any() else kept
    notes = [f"estimated as {raw:.3g}" if raw < 0 else "" for raw in found.tolist()]
    sources, df = [*terms, "residual"], [*ranks[1:], left]
    return list(map(Component, sources, kept.tolist(), shares.tolist(), df, notes))


def indicator(
    levels: Sequence[Hashable], known: Iterable[Hashable] | None = None
) -> Float[Tensor, "n levels"]:
    """A column of zeros and ones for each level, in the order of ``known``, or as they come."""
    places = {level: i for i, level in enumerate(dict.fromkeys(levels) if known is None else known)}
    found = torch.tensor([places[level] for level in levels])
    return torch.nn.functional.one_hot(found, len(places)).double()


def _beyond(basis: Tensor, effect: Tensor) -> Tensor:
    """Orthonormal columns of what ``effect`` spans beyond an orthonormal basis."""
    rest = effect - basis @ (basis.T @ effect)
    found = torch.linalg.svd(rest, full_matrices=False)
    return found.U[:, 1e-9 * float(effect.norm()) < found.S]
