"""Where a prompt lies and how far it moved: pure functions on tensors."""

from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor

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
