"""Rows of the space drawn at random: on a vocabulary, the embeddings of random tokens."""

from typing import Annotated

import torch
from torch import Generator

from promptpriors.errors import InputError
from promptpriors.priors.points import Points
from promptpriors.registry import Field
from promptpriors.types import Space


def fit(
    space: Space, *, generator: Generator, most_frequent: Annotated[int, Field(ge=1)] | None = None
) -> Points:
    """Rows drawn at random (PEFT's SAMPLE_VOCAB, without its reserved rows).

    With ``most_frequent`` from the rows of the largest weight only, as Lester et al. (2021, section
    3.2) do with 5,000; in a run the weights are counts in the task's train split.

    Raises:
        InputError: if the space has no weights or fewer rows that occur.
    """
    if most_frequent is None:
        return Points(space.points)
    if space.weights is None:
        raise InputError(
            "prior 'vocabulary': most_frequent needs a space with weights (how often a row occurs)"
        )
    occurring = int((space.weights > 0).sum())
    if most_frequent > occurring:
        raise InputError(
            f"prior 'vocabulary': most_frequent = {most_frequent}, but only {occurring} rows occur"
        )
    order = torch.argsort(space.weights, descending=True, stable=True)
    return Points(space.points[order[:most_frequent]])
