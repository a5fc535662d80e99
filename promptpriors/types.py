"""The words of the project as types. Read this first.

Shape words: ``n m`` points, ``dim`` coordinates of a point, ``length`` vectors of a prompt,
``time`` tokens of a text, ``row`` tokens of a packed row, ``vocab`` rows of a vocabulary.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Generator, Tensor

Site = str
"""A place in the network: ``embed``, ``block.13`` (entering block 13), ``final``, ``normed``."""


class Space(NamedTuple):
    """The cloud of points that a prior is fitted to.

    Attributes:
        site: where in the network the points live.
        points: one point a row.
        weights: how often each point occurs, for the priors that ask for it.
        groups: the document each point comes from; tests permute these.
        encode: text to row numbers of ``points``; only a vocabulary has it.
        positions: where in its text each point's token stands, for points in the order of their
            texts: neighbouring rows of one group whose positions differ by one are consecutive
            points of one example.
        tokens: ids of the tokens that the points stand for.
    """

    site: Site
    points: Float[Tensor, "n dim"]
    weights: Float[Tensor, " n"] | None = None
    groups: Int[Tensor, " n"] | None = None
    encode: Callable[[str], list[int]] | None = None
    positions: Int[Tensor, " n"] | None = None
    tokens: Int[Tensor, " n"] | None = None


@runtime_checkable
class Prior(Protocol):
    """Distribution that a prompt's vectors may start from; it never sees a model."""

    def sample(self, n: int, *, generator: Generator) -> Float[Tensor, "n dim"]:
        """Draw ``n`` vectors, float32 on the CPU."""
        ...


@runtime_checkable
class Density(Prior, Protocol):
    """A prior whose density is known."""

    def log_prob(self, x: Float[Tensor, "n dim"]) -> Float[Tensor, " n"]:
        """Natural logarithm of the density at each row of ``x``, in nats."""
        ...


@runtime_checkable
class Elliptical(Prior, Protocol):
    """A prior whose density depends on a point's Mahalanobis radius alone, in some dimensions."""

    @property
    def rank(self) -> int:
        """Dimensions that the prior spreads over."""
        ...

    def radius(self, x: Float[Tensor, "n dim"]) -> Float[Tensor, " n"]:
        """Mahalanobis distance of each row from the mean, differentiable; typically √rank."""
        ...


@runtime_checkable
class Reporting(Prior, Protocol):
    """A prior that has something to say of itself, known when it was fitted."""

    def report(self) -> dict[str, float]:
        """Figures by name, such as ``acceptance``; no names but those the prior documents."""
        ...


class Example(NamedTuple):
    """One thing to learn from or to be scored on.

    Attributes:
        id: unique within its task.
        source: pieces of text, root first; equal pieces are work shared between examples.
        targets: every accepted answer; the first is trained on.
        continuation: the trained text where it is not ``" " + targets[0]``.
        ends: whether the end token is trained after it (a cut document has none).
    """

    id: str
    source: tuple[str, ...]
    targets: tuple[str, ...]
    continuation: str | None = None
    ends: bool = True


@dataclass(frozen=True)
class Task:
    """Examples by split and the function that scores a generated answer.

    Attributes:
        name: the row of ``TASKS`` it was built from.
        version: raised whenever scores would change.
        splits: ``train``, ``validation``, ``test`` and what else the task has.
        score: answer and example to named scores in [0, 1]; empty where only the loss counts.
        max_new_tokens: how long a generated answer may become.
        stop: text before which a generated answer ends, besides the end token.
    """

    name: str
    version: int
    splits: Mapping[str, Sequence[Example]]
    score: Callable[[str, Example], Mapping[str, float]]
    max_new_tokens: int = 32
    stop: str | None = "\n"
