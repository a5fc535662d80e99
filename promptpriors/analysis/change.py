"""Change of a loss between two prompts on the same examples, with documents as the unit."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

CONFIDENCE = 0.95


def change(
    apart: Float[Tensor, " examples"],
    targets: Int[Tensor, " examples"],
    document: Int[Tensor, " examples"],
) -> dict[str, float]:
    """Change of loss in nats per target token, Σ apart / Σ targets, with a t interval.

    Documents are the unit: with r the ratio, e the sums of apart − r·targets over each of the n
    documents, the standard error is √(n/(n − 1) Σ e²) / Σ targets.

    Source: Cochran 1977, Sampling Techniques, section 2.11 (the ratio of two sums over clusters).

    Args:
        apart: difference of nats of each example, summed over its target tokens.
        targets: target tokens of each example.
        document: the number of each example's document, from 0.
    """
    from scipy.stats import t as student

    count = int(document.max()) + 1
    ratio = apart.sum() / targets.sum()
    errors = torch.zeros(count, dtype=torch.float64)
    errors.index_add_(0, document, (apart - ratio * targets).double())
    if count < 2:
        return {"change": float(ratio), "low": math.nan, "high": math.nan}
    error = (count / (count - 1) * errors.square().sum()).sqrt() / targets.sum()
    half = float(student.ppf((1 + CONFIDENCE) / 2, count - 1)) * float(error)
    return {"change": float(ratio), "low": float(ratio) - half, "high": float(ratio) + half}
