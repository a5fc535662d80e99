"""Arithmetic: reproducible, without side effects, distinct across splits."""

import os
import random
import subprocess
import sys
from contextlib import suppress
from types import SimpleNamespace

import numpy as np
import pytest

from promptpriors.data import arithmetic, build_task, choose_task, fingerprint
from promptpriors.errors import InputError

SMALL = {"name": "mathematics", "train": 30, "validation": 9, "test": 9}


def build(**config):
    return build_task(choose_task(SMALL | config))


def questions(examples):
    return {example.source for example in examples}


@pytest.mark.slow
@pytest.mark.parametrize("module", arithmetic.MODULES)
def test_every_module_gives_short_answers_to_distinct_questions(module):
    splits = build(modules=[module]).splits
    parts = [splits[name] for name in ("train", "validation", "interpolate", "extrapolate")]
    assert [len(splits[name]) for name in ("train", "validation", "test")] == [30, 9, 9]
    assert sum(map(len, parts)) == len(questions(example for part in parts for example in part))
    assert len(splits["extrapolate"]) == (4 if module in arithmetic.LONGER else 0)
    for example in splits["train"]:
        assert example.source[0].startswith("Question: ")
        assert example.source[0].endswith("\nAnswer:")
        assert 0 < len(example.targets[0]) <= 30


@pytest.mark.parametrize("difficulty", ["easy", "medium", "hard"])
def test_difficulty_changes_train_and_leaves_test_alone(difficulty):
    usual, other = build().splits, build(difficulty=difficulty).splits
    assert other["test"] == usual["test"]
    assert questions(other["train"]) != questions(usual["train"])


def test_harder_questions_are_longer():
    def characters(difficulty):
        return sum(len(e.source[0]) for e in build(difficulty=difficulty).splits["train"])

    assert characters("easy") < characters("medium") < characters("hard")


def test_test_is_interpolate_and_extrapolate_by_turns():
    test = build(modules=["mul", "simplify_surd"]).splits["test"]
    assert [example.id for example in test] == [
        "interpolate/mul/0",
        "extrapolate/mul/0",
        "interpolate/simplify_surd/0",
        "extrapolate/mul/1",
        "interpolate/mul/1",
        "extrapolate/mul/2",
        "interpolate/simplify_surd/1",
        "extrapolate/mul/3",
        "interpolate/mul/2",
    ]


def test_modules_take_turns():
    train = build(modules=["mul", "div"], train=5).splits["train"]
    assert [example.id.split("/")[1] for example in train] == ["mul", "div", "mul", "div", "mul"]


def test_the_size_of_train_changes_no_other_split():
    few, many = build().splits, build(train=60).splits
    assert many["train"][:30] == few["train"]
    assert (many["validation"], many["test"]) == (few["validation"], few["test"])


def test_the_global_generators_are_put_back_even_after_an_error():
    before, before_numpy = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    with suppress(ZeroDivisionError), arithmetic.seeded(3):
        first = random.random(), np.random.random()  # noqa: NPY002
        raise ZeroDivisionError
    assert random.getstate() == before
    assert np.random.get_state()[1].tolist() == before_numpy  # noqa: NPY002
    with arithmetic.seeded(3):
        assert (random.random(), np.random.random()) == first  # noqa: NPY002


def test_the_seed_decides_whatever_the_global_state_is():
    random.seed(1)
    first = build()
    random.seed(2)
    assert fingerprint(build()) == fingerprint(first)
    assert not questions(build(seed=1).splits["train"]) & questions(first.splits["train"])


PROGRAM = """
import random
from promptpriors.data import build_task, choose_task, fingerprint
before = random.getstate()
print(fingerprint(build_task(choose_task({config}))))
assert random.getstate() == before
"""


@pytest.mark.slow
def test_other_processes_and_hash_seeds_give_the_same_examples_and_keep_the_global_state():
    config = SMALL | {"modules": ["mixed", "simplify_surd"]}
    prints = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM.format(config=config)],
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for hash_seed in ("1", "2")
    ]
    assert prints == [fingerprint(build_task(choose_task(config)))] * 2


def test_an_unknown_module_is_answered_with_the_closest_one():
    with pytest.raises(
        InputError, match=r"unknown module 'add_or_subb'. Did you mean 'add_or_sub'"
    ):
        choose_task({"name": "mathematics", "modules": ["mul", "add_or_subb"]})


def test_a_repeated_module_and_an_empty_list_are_refused():
    with pytest.raises(InputError, match=r"a module stands twice; name each once"):
        choose_task({"name": "mathematics", "modules": ["mul", "mul"]})
    with pytest.raises(InputError, match=r"should have at least 1 item"):
        choose_task({"name": "mathematics", "modules": []})


def test_an_exhausted_module_is_named_with_what_it_gave(monkeypatch):
    def three():
        return SimpleNamespace(question=f"1 + {random.randint(1, 3)}", answer=4)

    tables = {name: {"mul": three} for name in ("train", "interpolate", "extrapolate")}
    monkeypatch.setattr("promptpriors.data.mathematics.generators", lambda difficulty: tables)
    with pytest.raises(InputError) as error:
        build(modules=["mul"], test=0, validation=1)
    assert str(error.value) == (
        "task 'mathematics': module 'mul' gave 2 new questions for train, then 1000 repeated or too"
        " long ones in a row; 30 were asked for. Ask for fewer, add modules, or widen the"
        " difficulty."
    )


def test_too_long_questions_and_answers_are_dropped():
    problems = iter([("q" * 161, "1"), ("ok", "1"), ("q", "1" * 31), ("q" * 160, "1" * 30)])

    def generate():
        question, answer = next(problems)
        return SimpleNamespace(question=question, answer=answer)

    assert arithmetic.draw(generate, 2, set(), seed=0) == [("ok", "1"), ("q" * 160, "1" * 30)]


def test_an_answer_is_right_when_it_is_the_target():
    task = build()
    example = task.splits["test"][0]
    assert task.score(f" {example.targets[0]}", example)["accuracy"] == 1.0
    assert task.score("no idea", example) == {"exact_match": 0.0, "accuracy": 0.0}


@pytest.mark.parametrize("source", ["interpolate", "extrapolate", "train"])
def test_the_test_questions_can_come_from_one_place_alone(source):
    splits = build(test_on=source).splits
    assert len(splits["test"]) == 9
    made_for = "test" if source == "train" else source
    assert all(example.id.startswith(f"{made_for}/") for example in splits["test"])
    questions = [e.source for name in ("train", "validation", "test") for e in splits[name]]
    assert len(set(questions)) == len(questions)


def test_modules_without_harder_questions_can_not_extrapolate():
    with pytest.raises(InputError, match="these have: add_or_sub"):
        build(modules=["simplify_surd"], test_on="extrapolate")
