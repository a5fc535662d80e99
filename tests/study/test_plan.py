"""What a study file resolves to: arms, axes, controls, baselines; and what it must not say."""

import pytest

from promptpriors.config.study import read_study
from promptpriors.errors import InputError
from promptpriors.running.workspace import Workspace
from promptpriors.study.plan import plan
from tests.study.samples import ARMS, BASE, write_study

TWO = {"train.lr": [{"relative": 0.1}, {"relative": 0.02}], "seed": [0, 1]}


@pytest.fixture(scope="module")
def workspace():
    return Workspace()


def planned(tmp_path, workspace, **changes):
    return plan(read_study(write_study(tmp_path, **changes)), workspace)


def runs_of(entries, kind):
    return [entry.run for entry in entries if entry.run.kind == kind]


def test_grid_multiplies_arms_rates_and_seeds_with_seeds_slowest(tmp_path, workspace):
    arms = runs_of(planned(tmp_path, workspace, grid=TWO), "arm")
    assert [(run.seed, run.rate, run.arm) for run in arms] == [
        (seed, rate, arm)
        for seed in (0, 1)
        for rate in ("0.1 relative", "0.02 relative")
        for arm in ("vocabulary", "match")
    ]
    assert arms[1].config.prior.name == "isotropic"
    assert arms[1].config.lr == {"relative": 0.1}


def test_unquoted_and_quoted_keys_are_one(tmp_path, workspace):
    nested = {"train": {"lr": TWO["train.lr"]}, "seed": [0, 1]}
    ids = [[e.id for e in planned(tmp_path, workspace, grid=grid)] for grid in (TWO, nested)]
    assert ids[0] == ids[1]


def test_zip_varies_together(tmp_path, workspace):
    group = {"prompt.length": [2, 6], "train.steps": [4, 6]}
    arms = runs_of(planned(tmp_path, workspace, zip=[group], grid={"seed": [0]}), "arm")
    shapes = {(run.config.prompt.length, run.config.train.steps) for run in arms}
    assert shapes == {(2, 4), (6, 6)}
    assert {run.setting for run in arms} == {"length 2 · steps 4", "length 6 · steps 6"}


def test_runs_are_added_one_by_one(tmp_path, workspace):
    single = {"arm": "long", "prompt.length": 9}
    arms = runs_of(planned(tmp_path, workspace, runs=[single]), "arm")
    assert len(arms) == 5
    assert arms[-1].arm == "long"
    assert arms[-1].config.prompt.length == 9


def test_without_arms_the_prior_names_them(tmp_path, workspace):
    grid = {"prior": ["vocabulary", {"name": "isotropic", "sigma": 0.5}], "seed": [0]}
    arms = runs_of(planned(tmp_path, workspace, arms=None, grid=grid), "arm")
    assert [run.arm for run in arms] == ["vocabulary", "isotropic, sigma 0.5"]


@pytest.mark.slow
def test_a_prior_beside_named_arms_is_a_setting_and_a_single_value_is_none(tmp_path, workspace):
    grid = {"prior": ["xavier", "vocabulary"], "prompt.length": [3], "seed": [0]}
    arms = {"free": {}, "held": {"train.regulariser": "diversity"}}
    compare = {"reference": "free", "controls": True}
    entries = planned(tmp_path, workspace, arms=arms, grid=grid, compare=compare)
    assert {run.setting for run in (entry.run for entry in entries)} == {"xavier", "vocabulary"}
    for kind in ("positive", "negative", "baseline"):
        assert {run.setting for run in runs_of(entries, kind)} == {"xavier", "vocabulary"}
    again = {run.setting: run.config.prior.name for run in runs_of(entries, "negative")}
    assert again == {"xavier": "xavier", "vocabulary": "vocabulary"}


@pytest.mark.slow
def test_ids_are_those_of_single_runs(tmp_path, workspace):
    from promptpriors.config.run import parse_config
    from promptpriors.running.run import execute

    entry = planned(tmp_path, workspace)[1]
    assert execute(parse_config(entry.run.plain), tmp_path / "runs", workspace).id == entry.id


def test_controls_stand_beside_the_reference(tmp_path, workspace):
    compare = {"reference": "vocabulary", "controls": True}
    entries = planned(tmp_path, workspace, grid=TWO, compare=compare)
    positive, negative = (runs_of(entries, kind) for kind in ("positive", "negative"))
    assert {(run.rate, run.seed) for run in positive} == {("0.02 relative", s) for s in (0, 1)}
    assert all(run.config.prior.params["sigma"] == 1.0 for run in positive)
    mine = [run for run in runs_of(entries, "arm") if run.arm == "vocabulary"]
    assert [(run.rate, run.seed) for run in negative] == [(run.rate, run.seed) for run in mine]
    for own, again in zip(mine, negative, strict=True):
        assert again.config.prior == own.config.prior
        assert again.config.seed != own.config.seed
        assert again.config.train.order == own.config.seed
    assert len({entry.id for entry in entries}) == len(entries)


def test_a_fast_reference_does_not_hasten_the_positive_control(tmp_path, workspace):
    compare = {"reference": "vocabulary", "controls": True}
    rates = [[{"relative": rate}] for rate in (0.05, 0.45, 0.02)]
    slow, fast, slower = (
        runs_of(planned(tmp_path, workspace, grid={"train.lr": lr}, compare=compare), "positive")[0]
        for lr in rates
    )
    assert fast.config == slow.config
    assert fast.rate == "0.45 relative"
    assert slower.config.lr["relative"] < slow.config.lr["relative"]


def test_baselines_once_a_setting(tmp_path, workspace):
    names = ["none", "text:Add the two numbers.", "lora:4", "peft:RANDOM", "peft:SAMPLE_VOCAB"]
    grid = {"prompt.length": [2, 4], "seed": [0, 1]}
    base = {**BASE, "train": {**BASE["train"], "regulariser": "diversity"}}
    entries = planned(tmp_path, workspace, base=base, baselines=names, grid=grid)
    for setting in ("length 2", "length 4"):
        here = [entry.run for entry in entries if entry.run.setting == setting]
        beside = {run.arm: run.config for run in here if run.kind == "baseline"}
        assert set(beside) == {"none", "text: Add the two numbers."}
        words = beside["text: Add the two numbers."]
        text = "Add the two numbers."
        assert words.prompt.length == len(workspace.backbone(words.model_spec).encode(text))
        assert words.train.frozen
        ceiling = [run.config for run in here if run.kind == "ceiling"]
        assert len({config.lr for config in ceiling}) == len(ceiling) == 3
        assert all(config.train.lora == 4 and not config.regularisers for config in ceiling)
        arms = {run.arm for run in here if run.kind == "arm"}
        assert arms == {"vocabulary", "match", "PEFT RANDOM"}  # SAMPLE_VOCAB is there already


def test_baselines_keep_the_token_before_texts_and_a_frozen_arm_has_a_ceiling(tmp_path, workspace):
    names = ["none", "text:Add.", "lora:4"]
    arms = {"held": {"prior": "vocabulary", "train.frozen": True}}
    base = {**BASE, "prompt": {"length": 4, "bos": True}}
    changes = {"base": base, "arms": arms, "baselines": names, "compare": {}}
    configs = [entry.run.config for entry in planned(tmp_path, workspace, **changes)]
    assert len(configs) == 7
    assert all(config.prompt.bos for config in configs)


def test_an_arm_with_its_own_rate(tmp_path, workspace):
    arms = {**ARMS, "slow": {"prior": "xavier", "train.lr": {"relative": 0.01}}}
    found = runs_of(planned(tmp_path, workspace, arms=arms), "arm")
    assert {run.rate for run in found} == {"its own"}  # no factor for any of them
    assert {run.config.lr["relative"] for run in found if run.arm == "slow"} == {0.01}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"grid": {"prior.nmae": ["x"], "seed": [0]}},
            ["arm 'vocabulary'", "nmae", "no parameter"],
        ),
        ({"grid": {"trian.lr": [0.1]}}, ["trian", "no parameter", "train"]),
        ({"grid": {"seed": []}}, ["[grid] 'seed' is empty"]),
        ({"grid": {"seed": 3}}, ["[grid] 'seed'", "expected a list"]),
        ({"grid": {"seed": [1, 1]}}, ["'seed' has a value twice"]),
        ({"zip": [{"seed": [1, 2], "prompt.length": [3]}]}, ["[[zip]] 1", "one length"]),
        (
            {"arms": {"a": {"prior": "xavier"}, "b": {"prior": "xavier"}}, "compare": {}},
            ["one and the same"],
        ),
        (
            {"arms": {"slow": {"train.lr": 0.1}}, "grid": {"train.lr": [0.2]}, "compare": {}},
            ["'slow' brings train.lr", "an axis as well"],
        ),
        ({"runs": [{"arm": 1}]}, ["[[runs]] 1", "name in quotes", "found 1"]),
        ({"compare": {"reference": "gaussian"}}, ["'gaussian' is no arm", "vocabulary, match"]),
        ({"compare": {"reference": "vocabulary", "margin": 0}}, ["margin", "greater than 0"]),
        ({"baselines": ["lora"]}, ["'lora'", "lora:RANK"]),
        ({"baselines": ["peft:RANDOM"], "arms": None, "compare": {}}, ["[arms]"]),
        ({"base": {**BASE, "model": "tini"}}, ["tini"]),
        ({"resources": {"cpu": 1}}, ["cpu", "Did you mean 'cpus'?"]),
        ({"base": "nowhere.toml"}, ["nowhere.toml: no such file"]),
    ],
)
def test_bad_studies_are_answered(tmp_path, workspace, changes, words):
    with pytest.raises(InputError) as caught:
        planned(tmp_path, workspace, **changes)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert len(str(caught.value).splitlines()) <= 3
