"""Configs are complete, strict, and checked before any model is loaded."""

from pathlib import Path

import pytest

import promptpriors as pp
from promptpriors.config.run import parse_config, read_config
from promptpriors.config.study import read_study
from promptpriors.demo import BASE as DEMO
from promptpriors.demo import PRIORS as DEMO_PRIORS
from promptpriors.files import read_toml
from promptpriors.paper import read_analysis
from promptpriors.study.arms import compared

LEAST = {"model": "tiny", "task": "mathematics", "prior": "gaussian"}
ROOT = Path(__file__).parents[2]
WRITTEN = [*(ROOT / "configs").glob("*.toml"), *(ROOT / "configs" / "paper").glob("*.toml")]
STUDIES = sorted(path for path in WRITTEN if isinstance(read_toml(path).get("base"), str))
CONFIGS = sorted(path for path in WRITTEN if {"model", "prior"} <= set(read_toml(path)))


def test_everything_but_model_task_and_prior_has_a_default():
    plain = parse_config(LEAST).plain()
    assert plain["prior"] == {
        "name": "gaussian",
        "covariance": "full",
        "shrinkage": "none",
        "space": "vocabulary",
        "pool": "token",
        "length_matched": False,
    }
    assert plain["prompt"] == {"mode": "soft", "length": 20, "sites": None, "bos": False}
    assert plain["train"]["lr"] == {"relative": 0.1}
    assert parse_config(plain).plain() == plain


def test_a_prior_that_knows_the_length_takes_the_prompts():
    config = parse_config({**LEAST, "prior": "xavier", "prompt": {"length": 7}})
    assert config.prior.params["length"] == 7
    inner = {"name": "matched", "prior": {"name": "xavier"}}
    config = parse_config({**LEAST, "prior": inner, "prompt": {"length": 7}})
    assert config.prior.params["prior"].params["length"] == 7


def test_the_empty_and_the_frozen_prompt_take_no_steps():
    empty = parse_config({**LEAST, "prompt": {"mode": "none"}})
    assert (empty.prompt.length, empty.train.steps, empty.train.frozen) == (0, 0, True)
    frozen = parse_config({**LEAST, "train": {"frozen": True, "steps": 50, "warmup": 5}})
    assert (frozen.train.steps, frozen.train.warmup) == (0, 0)


def test_overrides_are_read_as_toml_and_else_as_strings(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text('model = "tiny"\ntask = "mathematics"\n[prior]\nname = "gaussian"\n')
    config = read_config(
        path, ["train.lr=1e-3", "prior.covariance=diag", "task.modules=['mul']", "seed=4"]
    )
    assert config.lr == 1e-3
    assert config.prior.params["covariance"] == "diag"
    assert config.task.params["modules"] == ["mul"]
    assert config.seed == 4
    assert read_config(path, ["train.lr.relative=0.5"]).lr == {"relative": 0.5}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_shipped_config_is_valid(path):
    assert read_config(path).model


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.name)
def test_every_shipped_study_is_valid(path):
    assert len(compared(read_study(path))) > 1


def test_the_plan_of_the_analysis_names_studies_that_are_there():
    plan = read_analysis(ROOT / "configs" / "paper" / "analysis.toml")
    written = {path.stem for path in STUDIES}
    assert {planned.study for planned in plan} <= written


@pytest.mark.parametrize("name", DEMO_PRIORS)
def test_every_config_of_the_demo_is_valid(name):
    assert parse_config({**DEMO, "prior": DEMO_PRIORS[name]}).model == "smollm2"


BAD = [
    ({"model": None}, "model"),
    ({"modle": "tiny"}, "config has no parameter 'modle'. Did you mean 'model'?"),
    ({"task": "squat"}, "unknown task 'squat'. Did you mean 'squad'?"),
    ({"task": {"name": "squad", "trian": 3}}, "Did you mean 'train'?"),
    ({"prior": {"name": "gausian"}}, "Did you mean 'gaussian'?"),
    ({"prior": {"name": "gaussian", "covarince": "diag"}}, "Did you mean 'covariance'?"),
    ({"prior": 3}, "prior"),
    ({"prompt": {"mode": "sotf"}}, "Did you mean 'soft'?"),
    ({"prompt": {"length": 0}}, "expected at least 1"),
    ({"prompt": {"length": -1}}, "prompt.length = -1"),
    ({"prompt": {"length": 2.5}}, "prompt.length = 2.5"),
    ({"prompt": {"lenght": 2}}, "[prompt] has no parameter 'lenght'. Did you mean 'length'?"),
    ({"prompt": {"sites": ["block.1"]}}, "mode 'soft' takes the sites embed; found 'block.1'"),
    ({"prompt": {"mode": "deep", "sites": []}}, "takes sites, each once"),
    ({"prompt": {"mode": "deep", "sites": ["block.1", "block.1"]}}, "each once"),
    ({"prompt": {"mode": "deep", "sites": ["final"]}}, "block.0, block.1 …; found 'final'"),
    ({"prompt": {"mode": "deep-cut", "sites": ["embed", "block.0"]}}, "both the input of block 0"),
    ({"prompt": {"mode": "kv", "sites": ["embed"]}}, "mode 'kv' takes the sites block.0"),
    ({"train": {"batch_tokens": 0}}, "train.batch_tokens = 0"),
    ({"device": {"attention": "fast"}}, "device.attention = 'fast'"),
    ({"device": {"attention": "flex"}}, "has no backward pass on a CPU"),
    ({"train": {"steps": 0}}, "to evaluate the draw: frozen = true"),
    ({"train": {"steps": -5}}, "train.steps = -5"),
    ({"train": {"steps": 10**26}}, "less than or equal to 100000000"),
    ({"train": {"batch": 10**12}}, "less than or equal to 1000000"),
    ({"train": {"batch_tokens": 10**20}}, "train.batch_tokens"),
    ({"train": {"evaluate_every": 10**400}}, "train.evaluate_every"),
    ({"capture": {"tokens": 10**12}}, "capture.tokens"),
    ({"capture": {"documents": 10**15}}, "capture.documents"),
    ({"task": {"name": "mathematics", "train": 10**11}}, "less than or equal to 1000000"),
    ({"task": {"name": "mathematics", "test": 10**9}}, "less than or equal to 1000000"),
    ({"train": {"lr": -1}}, "train.lr"),
    ({"train": {"lr": float("nan")}}, "train.lr"),
    ({"train": {"lr": "fast"}}, "train.lr"),
    ({"train": {"lr": {"relativ": 1}}}, "relative"),
    ({"train": {"batch": 0}}, "train.batch = 0"),
    ({"train": {"warmup": 300}}, "train.warmup = 300 is more than"),
    ({"train": {"schedule": "cosin"}}, "'constant' or 'cosine'"),
    ({"device": {"dtype": "float23"}}, "device.dtype"),
    ({"seed": "x"}, "seed = 'x'"),
]


@pytest.mark.parametrize(("change", "message"), BAD, ids=[str(change) for change, _ in BAD])
def test_a_bad_config_is_refused_in_three_lines_at_most(change, message):
    config = {k: v for k, v in {**LEAST, **change}.items() if v is not None}
    with pytest.raises(pp.InputError) as error:
        parse_config(config)
    assert message in str(error.value)
    assert str(error.value).count("\n") <= 2


@pytest.mark.parametrize("item", ["train.lr", "=3", "model.name=3"])
def test_a_bad_override_is_refused(tmp_path, item):
    path = tmp_path / "run.toml"
    path.write_text('model = "tiny"\ntask = "mathematics"\nprior = "gaussian"\n')
    with pytest.raises(pp.InputError, match="override"):
        read_config(path, [item])


def test_a_missing_or_malformed_file_is_named(tmp_path):
    with pytest.raises(pp.InputError, match="no such file"):
        read_config(tmp_path / "nowhere.toml")
    (tmp_path / "bad.toml").write_text("model = \n")
    with pytest.raises(pp.InputError, match=r"not readable TOML.*line 1"):
        read_config(tmp_path / "bad.toml")
