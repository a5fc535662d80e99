"""A run keeps its name when the config learns new fields; what the fields change has another."""

import pytest

from promptpriors.config.run import parse_config
from promptpriors.runs import run_id

LEAST = {"model": "tiny", "task": "mathematics", "prior": "gaussian"}
KNOWN = {
    "1721e1e9ad151102": {},
    "2ab2e366aedaa73b": {"prompt": {"mode": "none"}},
    "af4504d563c8c236": {"train": {"frozen": True}},  # pragma: allowlist secret
    "954496ba16797f14": {  # pragma: allowlist secret
        "seed": 3,
        "train": {"steps": 7, "lr": 0.01, "regulariser": "start"},
    },
}
"""Ids from before ``train`` had ``order``, ``objective`` and ``lora``."""


def named(**more):
    plain = parse_config(LEAST | more).plain()
    del plain["capture"]
    return run_id(plain, model="rev", task="hash")


@pytest.mark.parametrize("known", KNOWN)
def test_configs_that_there_were_before_have_the_ids_that_they_had(known):
    assert named(**KNOWN[known]) == known


def test_each_new_field_makes_another_run():
    rate = {"lr": 0.01}
    empty = {"prompt": {"mode": "none"}}
    found = [
        named(train=rate),
        named(train={**rate, "order": 1}),
        named(train={**rate, "objective": "misaligned"}),
        named(train={**rate, "lora": 4}, **empty),
        named(train={**rate, "lora": 8}, **empty),
        named(train={**rate, "lora": 4}, seed=1, **empty),
        named(train={**rate, "lora": 4, "order": 1}, **empty),
        named(train=rate, **empty),
    ]
    assert len(set(found)) == len(found)


def test_an_order_that_is_the_seed_is_the_same_run():
    assert named(seed=2, train={"order": 2}) == named(seed=2)
    assert named(seed=2, train={"order": 0}) != named(seed=2)
    assert named(seed=2, train={"order": 0}) != named(seed=0)


def test_what_is_not_trained_has_no_order_and_is_measured_by_its_objective():
    frozen = {"frozen": True}
    assert named(train={**frozen, "order": 5}) == named(train=frozen)
    assert named(train={**frozen, "objective": "misaligned"}) != named(train=frozen)
    empty = {"prompt": {"mode": "none"}}
    assert named(seed=1, train={"objective": "misaligned", "order": 3}, **empty) == named(
        seed=2, train={"objective": "misaligned"}, **empty
    )


def test_the_prior_of_a_prompt_that_is_not_there_is_no_part_of_an_adapters_run():
    more = {"train": {"lora": 4, "lr": 0.01}, "prompt": {"mode": "none", "length": 7}}
    assert named(**more, prior="xavier") == named(**more)
