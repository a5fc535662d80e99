"""Arithmetic questions with exact answers, as many as one likes; ``arithmetic`` generates them."""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain, zip_longest
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator

from promptpriors.data.arithmetic import MODULES, PATIENCE, Generator, Module, draw, generators
from promptpriors.data.asking import Asking, ask_alone, question
from promptpriors.data.scoring import against, exact
from promptpriors.errors import InputError, unknown
from promptpriors.registry import Field
from promptpriors.rng import derive
from promptpriors.types import Example, Task

ASKING = Asking(ask_alone, question("What is 17 + 25?"))
MOST = 1_000_000
"""Examples of a split: the generator has no end, and a run needs them all in memory."""


def _known(name: object) -> object:
    if name not in MODULES:
        raise unknown("module", name, MODULES)
    return name


def _distinct(names: Sequence[str]) -> Sequence[str]:
    if len(set(names)) < len(names):
        raise ValueError("a module stands twice; name each once")
    return names


Modules = Annotated[
    list[Annotated[Module, BeforeValidator(_known)]], Field(min_length=1), AfterValidator(_distinct)
]


def build(
    *,
    modules: Modules = ["add_or_sub"],  # noqa: B006 - the default of a schema, never changed
    difficulty: Literal["all", "easy", "medium", "hard"] = "all",
    train: Annotated[int, Field(ge=1, le=MOST)] = 2000,
    validation: Annotated[int, Field(ge=1, le=MOST)] = 200,
    test: Annotated[int, Field(ge=0, le=MOST)] = 200,
    test_on: Literal["both", "interpolate", "extrapolate", "train"] = "both",
    seed: int = 0,
    folder: Path | None = None,  # noqa: ARG001 - every task takes it
) -> Task:
    """Questions that are distinct across all splits; modules take turns within each.

    Validation comes from the same generators as train. Test questions come from ``interpolate``
    (all modules), ``extrapolate`` (those of the six modules that have harder questions), both by
    turns (half of each, rounded towards ``interpolate``; all of it where no module has the other),
    or, from the generators of train. The first two are splits of their own too, and
    an id begins with the split that its question was made for. Train is drawn last, so its size
    changes no other split.

    Args:
        modules: arithmetic modules of the package.
        difficulty: of train and validation, as in the package's train, train-easy, -medium, -hard.
        train: number of questions.
        validation: number of questions.
        test: number of test questions.
        test_on: where they come from; ``train`` means new questions of train's difficulty.
        seed: decides the questions.
        folder: not used.

    Raises:
        InputError: when a module has fewer distinct questions than asked for, or none of the
            modules has questions to extrapolate to.
    """
    tables = generators(difficulty)
    longer = [name for name in modules if name in tables["extrapolate"]]
    if test_on == "extrapolate" and not longer:
        raise InputError(
            f"task 'mathematics': test_on = 'extrapolate', but none of {', '.join(modules)} has"
            f" harder questions; these have: {', '.join(sorted(tables['extrapolate']))}"
        )
    beyond = {"both": test // 2 if longer else 0, "extrapolate": test}.get(test_on, 0)
    alike = test if test_on == "train" else 0
    used: set[str] = set()
    splits = {
        split: _split({name: tables[table][name] for name in names}, count, used, seed, split)
        for split, table, names, count in (
            ("interpolate", "interpolate", modules, test - beyond - alike),
            ("extrapolate", "extrapolate", longer, beyond),
            ("test", "train", modules, alike),
            ("validation", "train", modules, validation),
            ("train", "train", modules, train),
        )
    }
    splits["test"] = _by_turns([splits[name] for name in ("interpolate", "extrapolate", "test")])
    return Task("mathematics", 1, splits, partial(against, exact), max_new_tokens=24)


def _split(
    table: Mapping[str, Generator], count: int, used: set[str], seed: int, split: str
) -> list[Example]:
    """An equal share of ``count`` examples from each generator; the first ones give the rest."""
    shares: list[list[Example]] = []
    for i, (name, generate) in enumerate(table.items()):
        wanted = (count + len(table) - 1 - i) // len(table)
        pairs = draw(generate, wanted, used, seed=derive(seed, "mathematics", split, name))
        if len(pairs) < wanted:
            raise InputError(
                f"task 'mathematics': module {name!r} gave {len(pairs)} new questions for {split},"
                f" then {PATIENCE} repeated or too long ones in a row; {wanted} were asked for."
                " Ask for fewer, add modules, or widen the difficulty."
            )
        shares.append(
            [
                Example(f"{split}/{name}/{k}", (question(asked),), (answer,))
                for k, (asked, answer) in enumerate(pairs)
            ]
        )
    return _by_turns(shares)


def _by_turns(lists: Sequence[Sequence[Example]]) -> list[Example]:
    return [example for example in chain.from_iterable(zip_longest(*lists)) if example is not None]
