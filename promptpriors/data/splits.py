"""Train, validation and test examples out of one pool, so that nothing leaks between them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Annotated, NamedTuple

import torch
from torch import Generator

from promptpriors.errors import InputError
from promptpriors.registry import Field
from promptpriors.rng import generator
from promptpriors.types import Example

Positive = Annotated[int, Field(ge=1, le=1_000_000_000)]
Count = Annotated[int, Field(ge=0, le=1_000_000_000)]
MODEST = 200
"""Validation or test examples where the user asks for no number and there are plenty."""


class Unit(NamedTuple):
    """Examples that are drawn together because they share text.

    Attributes:
        group: never in two splits: the article, the document.
        key: the shared text; a unit whose key is in validation or test is left out of train.
        examples: in their order.
    """

    group: str
    key: str
    examples: tuple[Example, ...]


def apportion(
    pool: Sequence[Unit],
    sizes: Mapping[str, int | None],
    *,
    name: str,
    seed: int,
    given: Mapping[str, Sequence[Unit]] | None = None,
) -> dict[str, list[Example]]:
    """Splits with no group and no shared text in common.

    Validation and test come from ``given`` where it has them; else whole groups of the pool are
    held out at random until they hold enough, and train gets the other groups. Of each split's
    units, shuffled, the first ``sizes[split]`` examples are taken: a smaller train split is the
    beginning of a larger one, and its size changes no other split.

    Args:
        pool: where train comes from.
        sizes: examples asked for in ``train``, ``validation``, ``test``. None: for train all there
            are; for the others 200, or a fifth of the pool where that is less.
        name: the task, for messages and the random stream.
        seed: the task's seed.
        given: units of ``validation`` or ``test`` that have a source of their own.

    Raises:
        InputError: when a size asks for more than there is.
    """
    given = given or {}
    modest = min(MODEST, max(1, _count(pool) // 5))
    splits, taken = dict[str, list[Example]](), set[str]()
    for split in sorted(("validation", "test"), key=lambda split: split not in given):
        pool = _apart(pool, taken)
        size, usual = sizes[split], MODEST if split in given else modest
        if split in given:
            units = _apart(given[split], taken)
        else:
            wanted = usual if size is None else size
            units, pool = hold_out(pool, wanted, generator=generator(seed, name, split, "groups"))
        taken |= {unit.key for unit in units}
        size = min(usual, _count(units)) if size is None else size
        splits[split] = sample(units, size, name=name, split=split, seed=seed)
    pool = _apart(pool, taken)
    splits["train"] = sample(pool, sizes["train"], name=name, split="train", seed=seed)
    return {split: splits[split] for split in ("train", "validation", "test")}


def hold_out(
    units: Sequence[Unit], wanted: int, *, generator: Generator
) -> tuple[list[Unit], list[Unit]]:
    """Random whole groups with ``wanted`` examples or more, and the rest: at least one group."""
    sizes = Counter[str]()
    for unit in units:
        sizes[unit.group] += len(unit.examples)
    held, found = set[str](), 0
    for group in shuffled(list(sizes), generator=generator)[:-1]:
        if found >= wanted:
            break
        held.add(group)
        found += sizes[group]
    return [u for u in units if u.group in held], [u for u in units if u.group not in held]


def sample(
    units: Sequence[Unit], size: int | None, *, name: str, split: str, seed: int
) -> list[Example]:
    """The first ``size`` examples (None: all) of the units in random order.

    Raises:
        InputError: when there are fewer.
    """
    order = shuffled(units, generator=generator(seed, name, split, "units"))
    examples = list(chain.from_iterable(unit.examples for unit in order))
    if size is not None:
        refuse_more(size, len(examples), name=name, split=split, things="examples")
    return examples[:size]


def refuse_more(size: int, exist: int, *, name: str, split: str, things: str) -> None:
    """Refuse a size of a task's split beyond the number of things that exist.

    Raises:
        InputError: if it is.
    """
    if size > exist:
        less = f"Set task.{split} to {exist} or less, or give" if exist else "Give"
        raise InputError(
            f"task {name!r}: {split} = {size} {things} were asked for and {exist} exist apart from"
            f" the other splits. {less} more data."
        )


def shuffled(items: Sequence, *, generator: Generator) -> list:
    """The items in an order drawn from ``generator``."""
    return [items[i] for i in torch.randperm(len(items), generator=generator).tolist()]


def _count(units: Sequence[Unit]) -> int:
    return sum(len(unit.examples) for unit in units)


def _apart(units: Sequence[Unit], taken: set[str]) -> list[Unit]:
    return [unit for unit in units if unit.key not in taken]
