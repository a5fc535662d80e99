"""The words of the project as types. Read this first.

Shape words: ``n m`` points, ``dim`` coordinates of a point, ``length`` vectors of a prompt,
``time`` tokens of a text, ``row`` tokens of a packed row, ``vocab`` rows of a vocabulary.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Generator, Tensor

from promptpriors.errors import InputError

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


class Markup(str):
    """Piece of a source in which a control token that it spells, such as ``<|im_end|>``, is one.

    In a plain ``str`` the same characters are text like any other.
    """

    __slots__ = ()


class _Fields(NamedTuple):
    id: str
    source: tuple[str, ...]
    targets: tuple[str, ...]
    continuation: str | None = None
    ends: bool = True


class Example(_Fields):
    """One thing to learn from or to be scored on; checked whenever one is made.

    Attributes:
        id: unique within its task; not empty.
        source: pieces of text, root first; equal pieces are work shared between examples.
        targets: every accepted answer, at least one; the first is trained on.
        continuation: the trained text where it is not ``" " + targets[0]``.
        ends: whether the end token is trained after it (a cut document has none).

    Raises:
        InputError: for a field of another type; a list of texts is taken as a tuple.
    """

    __slots__ = ()

    def __new__(
        cls,
        id: Any,  # noqa: A002 - the field's name
        source: Any,
        targets: Any,
        continuation: Any = None,
        ends: Any = True,
    ) -> "Example":
        """Make an example of checked fields."""
        if not (isinstance(id, str) and id):
            raise InputError(f"an example's id must be a text, and not empty; found {id!r:.60}")
        source, targets = _texts(id, "source", source), _texts(id, "targets", targets)
        if not targets:
            raise InputError(f"example {id!r}: targets is empty; give at least one answer")
        if not (continuation is None or isinstance(continuation, str)):
            raise _wrong(id, "continuation", "a text or None", continuation)
        if not isinstance(ends, bool):
            raise _wrong(id, "ends", "True or False", ends)
        return super().__new__(cls, id, source, targets, continuation, ends)

    @classmethod
    def _make(  # pyright: ignore[reportIncompatibleMethodOverride] - else it would check nothing
        cls, iterable: Iterable[Any]
    ) -> "Example":
        """As ``namedtuple._make``, by which ``_replace`` makes its result; checked too."""
        return cls(*iterable)


def _texts(name: str, field: str, value: Any) -> tuple[Any, ...]:
    if not isinstance(value, tuple | list):
        hint = f"; write ({value[:40]!r},)" if isinstance(value, str) else ""
        raise _wrong(name, field, "a tuple of texts", value, hint)
    for text in value:
        if not isinstance(text, str):
            raise _wrong(name, field, "a tuple of texts", text, " in it")
    return value if isinstance(value, tuple) else tuple(value)


def _wrong(name: str, field: str, wanted: str, value: Any, hint: str = "") -> InputError:
    kind = type(value).__name__
    return InputError(
        f"example {name[:60]!r}: {field} must be {wanted}; found {value!r:.60} ({kind}){hint}"
    )


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
        choices: the answers that an example offers, where they are a closed set; each is then
            scored by its likelihood too. One of them is in the example's ``targets``.
    """

    name: str
    version: int
    splits: Mapping[str, Sequence[Example]]
    score: Callable[[str, Example], Mapping[str, float]]
    max_new_tokens: int = 32
    stop: str | None = "\n"
    choices: Callable[[Example], tuple[str, ...]] | None = None
