"""Where a prompt lies and how far it moved: pure functions on tensors."""

from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cosine_similarity

from promptpriors.types import Site


def displacement(initial: Mapping[Site, Tensor], final: Mapping[Site, Tensor]) -> float:
    """‖final − initial‖ / ‖initial‖ over all vectors of all sites together.

    0 for a prompt without vectors, infinite for one that started at zero and moved.
    """
    moved = sum(float((final[s] - initial[s]).double().square().sum()) for s in initial)
    size = sum(float(initial[s].double().square().sum()) for s in initial)
    if moved == 0:
        return 0.0
    return (moved / size) ** 0.5 if size else float("inf")


def vector_displacements(
    initial: Float[Tensor, "length dim"], final: Float[Tensor, "length dim"]
) -> Float[Tensor, " length"]:
    """‖final − initial‖ / ‖initial‖ of each vector."""
    return (final - initial).norm(dim=1) / initial.norm(dim=1)


def kept(
    initial: Float[Tensor, "length dim"],
    final: Float[Tensor, "length dim"],
    centre: Float[Tensor, " dim"],
) -> float | None:
    """How much of a vector's own start is left: the cosine of final and initial about ``centre``.

    The mean over vectors: 1 where each lies in the direction in which it started, 0 on average
    where nothing of the start is left. None where a vector started at the centre itself.

    Args:
        initial: vectors as they were drawn.
        final: the same after training.
        centre: the prior's mean, which all draws of it share.
    """
    start, end = (x.double() - centre.double() for x in (initial, final))
    if not bool(start.norm(dim=1).min() > 1e-9 * centre.double().norm()):
        return None
    return float(cosine_similarity(start, end, dim=1).mean())


def between(
    points: Float[Tensor, "n dim"], first: Float[Tensor, " dim"], second: Float[Tensor, " dim"]
) -> float:
    """Mean place of points along the line between two centres: 0 at the first, 1 at the second."""
    line = second.double() - first.double()
    return float(((points.double() - first.double()) @ line).mean() / line.square().sum())
