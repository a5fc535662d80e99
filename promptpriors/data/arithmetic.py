"""The arithmetic generators of the package ``mathematics-dataset``, made reproducible.

Saxton, Grefenstette, Hill & Kohli 2019, "Analysing Mathematical Reasoning Abilities of Neural
Models" (arXiv 1904.01557); the table rows below are named as in the package's ``arithmetic.py``.
"""

import importlib
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, get_args

import numpy as np

Module = Literal[
    "add_or_sub",
    "add_sub_multiple",
    "add_or_sub_in_base",
    "mul",
    "div",
    "mul_div_multiple",
    "mixed",
    "nearest_integer_root",
    "simplify_surd",
]
MODULES: tuple[str, ...] = get_args(Module)
LONGER: Mapping[str, str] = {
    **{name: f"{name}_big" for name in ("add_or_sub", "mul", "div")},
    **{name: f"{name}_longer" for name in ("add_sub_multiple", "mul_div_multiple", "mixed")},
}
"""The extrapolating generator of each module that has one."""
LEVELS: Mapping[str, tuple[float, float]] = {
    "all": (0.0, 1.0),
    "easy": (0.0, 1 / 3),
    "medium": (1 / 3, 2 / 3),
    "hard": (2 / 3, 1.0),
}
"""The part of a module's range of entropy that train questions come from."""
PATIENCE = 1000
"""Repeated or too long questions in a row after which a generator counts as exhausted."""

Generator = Callable[[], Any]
"""Gives a random problem with a ``question`` and an ``answer``."""


def generators(difficulty: str) -> dict[str, dict[str, Generator]]:
    """Generators by module for ``train``, ``interpolate`` and ``extrapolate``.

    Only ``train`` knows difficulties; ``extrapolate`` has six of the nine modules.
    """
    # the package looks for a function where older versions of sympy had it
    moved = importlib.import_module("sympy.solvers.diophantine.diophantine")
    expected: Any = importlib.import_module("sympy.solvers.diophantine")
    expected.base_solution_linear = moved.base_solution_linear
    package = importlib.import_module("mathematics_dataset.modules.arithmetic")
    low, high = LEVELS[difficulty]
    train = package.train(lambda r: (r[0] + low * (r[1] - r[0]), r[0] + high * (r[1] - r[0])))
    harder = package.test_extra()
    extrapolate = {name: harder[longer] for name, longer in LONGER.items()}
    return {"train": train, "interpolate": package.test(), "extrapolate": extrapolate}


def draw(generate: Generator, count: int, used: set[str], *, seed: int) -> list[tuple[str, str]]:
    """Pairs of new question and answer; fewer than ``count`` when the generator is exhausted.

    Questions over 160 and answers over 30 characters are dropped, as the package itself does. Used
    questions are not repeated, and the new ones are added to them.
    """
    settings = importlib.import_module("mathematics_dataset.generate_settings")
    pairs: list[tuple[str, str]] = []
    failures = 0
    with seeded(seed):
        while len(pairs) < count and failures < PATIENCE:
            problem = generate()
            question, answer = str(problem.question), str(problem.answer)
            long = len(question) > settings.MAX_QUESTION_LENGTH
            if long or len(answer) > settings.MAX_ANSWER_LENGTH or question in used:
                failures += 1
                continue
            failures = 0
            used.add(question)
            pairs.append((question, answer))
    return pairs


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the global generators of ``random`` and ``numpy.random``; put their states back after.

    The package draws from these two and from nothing else.
    """
    numpy_random: Any = np.random
    kept, kept_numpy = random.getstate(), numpy_random.get_state()
    random.seed(seed)
    numpy_random.seed(seed % 2**32)
    try:
        yield
    finally:
        random.setstate(kept)
        numpy_random.set_state(kept_numpy)
