"""Settings of a training, checked alike for a config and for a call in Python."""

from typing import Annotated, Literal

from promptpriors.errors import InputError
from promptpriors.registry import LARGEST, Field, Strict

Schedule = Literal["constant", "cosine"]
MOST_STEPS, MOST_EXAMPLES = 100_000_000, 1_000_000
"""Numbers beyond which no run or capture would end, or fit a memory."""
Positive = Annotated[float, Field(gt=0, le=LARGEST)]


class RelativeRate(Strict):
    """Learning rate relative to the start's root mean square per coordinate."""

    relative: Positive


class Settings(Strict):
    """Keyword parameters of ``training.train`` that are numbers or words, with their defaults."""

    steps: Annotated[int, Field(ge=0, le=MOST_STEPS)] = 200
    batch: Annotated[int, Field(ge=1, le=MOST_EXAMPLES)] = 16
    batch_tokens: Annotated[int, Field(ge=1, le=MOST_STEPS)] | None = None
    lr: Positive | RelativeRate = RelativeRate(relative=0.1)
    schedule: Schedule = "constant"
    warmup: Annotated[int, Field(ge=0, le=MOST_STEPS)] = 0
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    clip: Positive | None = None
    evaluate_every: Annotated[int, Field(ge=1, le=MOST_STEPS)] = 20
    grouping: Literal["shared", "none"] = "shared"


def check_warmup(warmup: int, steps: int) -> None:
    """Refuse a warm-up that would not end.

    Raises:
        InputError: if it is longer than the training.
    """
    if warmup > steps:
        raise InputError(f"train.warmup = {warmup} is more than train.steps = {steps}")
