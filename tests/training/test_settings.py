"""What a config refuses, the calls in Python refuse as well."""

import math

import numpy as np
import pytest

import promptpriors as pp
from promptpriors.config.run import parse_config
from promptpriors.config.sections import TrainSection
from promptpriors.prompts.draw import Drawn
from promptpriors.registry import check_call
from promptpriors.training import Progress
from promptpriors.training.settings import Settings
from tests.helpers import EXAMPLES, drawn

CONFIG = {"model": "tiny", "task": "mathematics", "prior": "gaussian"}
TASK = pp.Task("t", 1, {"train": EXAMPLES[:4], "validation": EXAMPLES[:2]}, lambda *_: {})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("schedule", "linear"),
        ("grouping", "some"),
        ("batch", 0),
        ("batch", True),
        ("batch_tokens", 0),
        ("evaluate_every", 0),
        ("evaluate_every", -1),
        ("steps", -1),
        ("steps", 10**30),
        ("warmup", -1),
        ("warmup", 10**6),
        ("weight_decay", -0.1),
        ("weight_decay", math.nan),
        ("weight_decay", 1e300),
        ("clip", 0),
        ("clip", math.inf),
        ("lr", 0),
        ("lr", -1.0),
        ("lr", math.nan),
        ("lr", 1e300),
        ("lr", True),
        ("lr", {"absolute": 1.0}),
        ("lr", {"relative": math.inf}),
        ("objective", "nope"),
    ],
)
def test_training_refuses_what_a_config_refuses(tiny, key, value):
    with pytest.raises(pp.InputError):
        parse_config({**CONFIG, "train": {key: value}})
    with pytest.raises(pp.InputError, match=key if key != "objective" else "objective"):
        list(pp.train(tiny, drawn(tiny, "soft"), TASK, **{key: value}))


def test_settings_are_refused_by_the_call_and_not_by_its_first_step(tiny):
    with pytest.raises(pp.InputError, match="train: schedule = 'linear'"):
        pp.train(tiny, drawn(tiny, "soft"), TASK, schedule="linear")
    with pytest.raises(pp.InputError, match="weight_decay"):
        Progress(drawn(tiny, "soft"), 1.0, weight_decay=math.nan)
    with pytest.raises(pp.InputError, match="learning rate True"):
        Progress(drawn(tiny, "soft"), True)


@pytest.mark.parametrize(
    ("schema", "given"),
    [
        (Settings, {"schedule": None}),
        (Settings, {"batch": 2.5}),
        (Settings, {"steps": "10"}),
        (Settings, {"lr": "fast"}),
        (Settings, {"clip": [1.0]}),
        (Drawn, {"length": 2.0}),
        (Drawn, {"mode": None}),
        (Drawn, {"sites": [1]}),
        (Drawn, {"bos": "yes"}),
    ],
)
def test_a_call_checks_types_as_a_config_does(schema, given):
    (key,) = given
    with pytest.raises(pp.InputError, match=rf"call: {key}.* = .*: (expected|input should)"):
        check_call(schema, "call", given)


def test_numbers_of_numpy_are_numbers():
    given = {"steps": np.int64(1), "clip": np.float32(0.5), "frozen": True}
    assert check_call(TrainSection, "call", given).steps == 1


def test_a_relative_rate_of_a_huge_start_is_refused(tiny):
    huge = pp.Prompt("soft", {"embed": drawn(tiny, "soft").snapshot()["embed"] * 1e30})
    with pytest.raises(pp.InputError, match="relative to the start at 'embed', is"):
        Progress(huge, {"relative": 1e29})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("length", 0),
        ("length", True),
        ("length", 10**6),
        ("mode", "nope"),
        ("sites", "embed"),
        ("seed", -1),
        ("seed", 2**63),
    ],
)
def test_a_draw_refuses_what_a_config_refuses(tiny, key, value):
    section = {key: value} if key == "seed" else {"prompt": {key: value}}
    with pytest.raises(pp.InputError):
        parse_config({**CONFIG, **section})
    prior = pp.fit_prior("gaussian", pp.vocabulary(tiny))
    with pytest.raises(pp.InputError):
        pp.draw_prompt(prior, **{key: value})


@pytest.mark.parametrize(("name", "params"), [("isotropic", {"sigma": 1e300}), ("gaussian", {})])
def test_a_prior_whose_draws_are_too_large_is_refused(tiny, name, params):
    space = pp.vocabulary(tiny)
    with pytest.raises(pp.InputError, match="float32"):
        pp.draw_prompt(pp.fit_prior(name, space._replace(points=space.points * 1e38), **params))


@pytest.mark.parametrize(
    "given", [{"max_new_tokens": 0}, {"max_new_tokens": -1}, {"max_new_tokens": True}]
)
def test_answers_refuse_what_the_command_refuses(tiny, given):
    with pytest.raises(pp.InputError, match=f"generate: {next(iter(given))}"):
        pp.generate(tiny, None, EXAMPLES[:1], **given)


@pytest.mark.parametrize("attention", ["slow", ""])
def test_a_model_refuses_an_attention_that_there_is_not(attention):
    with pytest.raises(pp.InputError, match="unknown attention"):
        pp.load_model("tiny", attention=attention)
