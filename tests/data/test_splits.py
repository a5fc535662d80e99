"""Laws of splitting: nothing leaks, sizes hold, the seed decides."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptpriors.data.splits import Unit, apportion, hold_out
from promptpriors.errors import InputError
from promptpriors.rng import generator
from promptpriors.types import Example

DEFAULT = {"train": None, "validation": None, "test": None}


def pool_of(*groups, prefix=""):
    """Groups as lists of unit sizes; every unit has a text of its own."""
    return [
        Unit(
            f"{prefix}{g}",
            f"{prefix}{g}.{u}",
            tuple(Example(f"{prefix}{g}.{u}.{i}", (f"{g}.{u}",), ("yes",)) for i in range(size)),
        )
        for g, units in enumerate(groups)
        for u, size in enumerate(units)
    ]


def split(pool, seed=0, given=None, **sizes):
    return apportion(pool, DEFAULT | sizes, name="toy", seed=seed, given=given)


def groups_of(examples):
    return {example.id.split(".")[0] for example in examples}


pools = st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=4), min_size=2, max_size=12).map(
    lambda groups: pool_of(*groups)
)


@given(pools, st.integers(0, 3))
def test_no_group_is_in_two_splits_and_train_and_validation_are_never_empty(pool, seed):
    splits = split(pool, seed)
    groups = [groups_of(examples) for examples in splits.values()]
    assert splits["train"]
    assert splits["validation"]
    assert sum(map(len, groups)) == len(set.union(*groups))


@given(pools, st.integers(1, 3))
def test_a_smaller_train_split_is_the_beginning_of_a_larger_one(pool, size):
    everything = split(pool)
    if size <= len(everything["train"]):
        few = split(pool, train=size)
        assert few["train"] == everything["train"][:size]
        assert (few["validation"], few["test"]) == (everything["validation"], everything["test"])


@given(pools)
def test_units_stay_whole_up_to_the_last_one(pool):
    order = [example.id.rsplit(".", 1)[0] for example in split(pool)["train"]]
    assert len(set(order)) == 1 + sum(a != b for a, b in pairwise(order))


def test_the_seed_decides_and_nothing_else():
    pool = pool_of(*[[2, 2]] * 20)
    assert split(pool, seed=1) == split(pool, seed=1)
    assert split(pool, seed=1) != split(pool, seed=2)


def test_sizes_that_are_asked_for_are_kept_exactly():
    splits = split(pool_of(*[[3]] * 20), train=7, validation=5, test=4)
    assert {name: len(examples) for name, examples in splits.items()} == {
        "train": 7,
        "validation": 5,
        "test": 4,
    }


def test_without_sizes_validation_and_test_are_a_fifth_and_at_most_200():
    small, large = split(pool_of(*[[1]] * 50)), split(pool_of(*[[1]] * 2000))
    assert [len(small[name]) for name in DEFAULT] == [30, 10, 10]
    assert [len(large[name]) for name in DEFAULT] == [1600, 200, 200]


def test_a_test_split_of_no_examples_takes_no_group():
    assert len(split(pool_of([1], [1]), test=0)["train"]) == 1
    assert split(pool_of([1], [1]), test=0)["test"] == []


def test_a_split_with_its_own_source_leaves_the_pool_alone():
    splits = split(pool_of([2], [2], [2]), validation=2, given={"test": pool_of([300], prefix="t")})
    assert len(splits["train"]) == 4
    assert len(splits["test"]) == 200
    assert groups_of(splits["test"]) == {"t0"}


def test_text_of_validation_and_test_is_left_out_of_train():
    pool = pool_of(*[[1]] * 10)
    copies = [unit._replace(group="copies") for unit in pool[:4]]
    splits = split(pool, validation=1, given={"test": copies})
    assert {example.id for example in splits["train"]} == {
        example.id for unit in pool[4:] for example in unit.examples
    } - {splits["validation"][0].id}


def test_a_copied_text_never_stands_in_train_and_validation():
    pool = pool_of(*[[1]] * 6)
    twins = [unit._replace(group=f"twin of {unit.group}") for unit in pool]
    for seed in range(5):
        splits = split(pool + twins, seed=seed, validation=3, test=0)
        assert not groups_of(splits["train"]) & groups_of(splits["validation"])


@pytest.mark.parametrize("name", ["train", "validation", "test"])
def test_asking_for_too_much_says_how_many_exist(name):
    with pytest.raises(InputError) as error:
        split(pool_of([2], [2], [2]), **({"validation": 2, "test": 2} | {name: 50}))
    assert f"task 'toy': {name} = 50 examples were asked for and" in str(error.value)
    assert f"Set task.{name} to " in str(error.value)
    assert "or less, or give more data" in str(error.value)


def test_asking_for_a_split_of_which_nothing_exists_asks_for_data():
    with pytest.raises(InputError, match=r"50 examples .* 0 exist .*splits\. Give more data\."):
        split(pool_of([2]), validation=50)


def test_holding_out_keeps_one_group_back():
    held, rest = hold_out(pool_of([1], [1]), 100, generator=generator(0))
    assert len(held) == len(rest) == 1
