"""The points of a given text, repeated or cut to the length; nothing is random."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from promptpriors.errors import InputError
from promptpriors.types import Space


@dataclass(frozen=True)
class Text:
    """The rows of a text in order. Deterministic: every draw is the same.

    Source: Lester et al. 2021, section 3.2, for class labels; PEFT's TEXT initialisation.
    """

    rows: Float[Tensor, "m dim"]

    def sample(self, n: int, *, generator: Generator) -> Float[Tensor, "n dim"]:  # noqa: ARG002
        """The first ``n`` rows of the text said over and over."""
        return self.rows[torch.arange(n) % len(self.rows)]


def fit(space: Space, *, generator: Generator, text: str) -> Text:
    """The rows of ``text`` in a vocabulary.

    Raises:
        InputError: if the space is no vocabulary, or the text has no tokens in it.
    """
    if space.encode is None:
        raise InputError("prior 'text' needs a vocabulary, a space that can encode text")
    rows = space.encode(text)
    if not rows:
        raise InputError(f"prior 'text': text = {text!r} has no tokens in the vocabulary")
    return Text(space.points[torch.tensor(rows)])
