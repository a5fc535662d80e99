"""Learning rates: how large, and how they change over a run."""

import math
from collections.abc import Mapping

from promptpriors.errors import InputError
from promptpriors.geometry import rms
from promptpriors.prompts import Prompt
from promptpriors.registry import LARGEST
from promptpriors.training.settings import Schedule
from promptpriors.types import Site

Relative = Mapping[str, float]
"""``{"relative": r}``: a rate in units of the start's root mean square per coordinate."""


def rates(prompt: Prompt, lr: float | Relative) -> dict[Site, float]:
    """The absolute rate at each site.

    A relative rate is multiplied by the start's root mean square per coordinate at the site, so
    that priors of different sizes are moved by the same share of themselves in a step.

    Raises:
        InputError: for a rate that is not positive and finite in float32, or a relative one of a
            start that is zero.
    """
    if isinstance(lr, Mapping) and set(lr) != {"relative"}:
        raise InputError(f"learning rate {dict(lr)!r}: expected a number or {{'relative': number}}")
    number = lr["relative"] if isinstance(lr, Mapping) else lr
    a_number = isinstance(number, int | float) and not isinstance(number, bool)
    if not a_number or not 0 < number <= LARGEST:
        raise InputError(f"learning rate {number!r}: expected a number above 0, at most 1e30")
    if not isinstance(lr, Mapping):
        return dict.fromkeys(prompt.sites, float(number))
    found = {site: number * rms(value.detach()) for site, value in prompt.values.items()}
    for site, rate in found.items():
        if rate > LARGEST:
            raise InputError(
                f"learning rate {number:g}, relative to the start at {site!r}, is {rate:g}; "
                f"expected at most {LARGEST:g}"
            )
        if rate == 0:
            raise InputError(
                f"the start at {site!r} is zero, and so is a relative rate; give an absolute one"
            )
    return found


def factor(step: int, steps: int, *, schedule: Schedule, warmup: int) -> float:
    """Factor of the rate at ``step`` (from 1).

    Linear from 1/warmup over the first ``warmup`` steps; then 1, or half a cosine that would reach
    0 one step after the last.

    >>> [round(factor(s, 4, schedule="cosine", warmup=0), 3) for s in (1, 2, 3, 4)]
    [1.0, 0.854, 0.5, 0.146]
    >>> [factor(s, 4, schedule="constant", warmup=2) for s in (1, 2, 3, 4)]
    [0.5, 1.0, 1.0, 1.0]
    """
    if step <= warmup:
        return step / warmup
    if schedule == "constant":
        return 1.0
    done = (step - warmup - 1) / max(1, steps - warmup)
    return (1 + math.cos(math.pi * done)) / 2
