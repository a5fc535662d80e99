"""Priors fitted to activations and earlier prompts, from a config to a finished run."""

from dataclasses import replace

import pytest
import torch

import promptpriors as pp
from promptpriors.activations import Store, load_space
from promptpriors.config.run import parse_config
from promptpriors.config.sections import CaptureConfig
from promptpriors.errors import Note
from promptpriors.progress import silent
from promptpriors.running.capture import execute_capture
from promptpriors.running.run import (
    build_regularisers,
    execute,
    fit_and_draw,
    fit_priors,
    identify,
    spaces_of,
)
from promptpriors.running.workspace import Workspace
from tests.running.test_run import TINY

SMALL = {"capture": {"documents": 12, "tokens": 32}}
DEEP = {"mode": "deep-cut", "length": 4, "sites": ["embed", "block.1"]}
TASK = {"name": "mathematics", "train": 40, "validation": 10, "test": 6}


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("PROMPTPRIORS_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="module")
def workspace():
    return Workspace()


def config(**more):
    return parse_config({**TINY, **SMALL, **more})


def captured(workspace, folder, **changes):
    section = config(capture={"sites": ["embed", "block.1"], "out": str(folder)} | changes)
    wanted = CaptureConfig(section.model_spec, section.task, section.capture)
    return execute_capture(wanted, workspace, run=None, runs=folder.parent, on_progress=silent)


def gaussian(space, **more):
    return {"name": "gaussian", "space": space, "shrinkage": "oas", **more}


def test_a_prior_is_fitted_to_the_activations_of_its_site(workspace, tmp_path):
    captured(workspace, tmp_path / "store", documents=12, tokens=32)
    made = fit_priors(config(prior=gaussian("block.1:mathematics")), workspace)
    by_hand = pp.fit_prior("gaussian", load_space(tmp_path / "store", "block.1"), shrinkage="oas")
    torch.testing.assert_close(made.mean, by_hand.mean)
    torch.testing.assert_close(made.factor, by_hand.factor)


def test_the_tokens_of_a_task_are_its_embeddings_as_they_occur(workspace):
    made = config(prior=gaussian("tokens:mathematics"))
    space = spaces_of(made, workspace).read(made.prior.params)
    rows = pp.vocabulary(workspace.backbone(made.model_spec)).points
    assert space.site == "embed"
    assert len(space.points) > len(space.points.unique(dim=0))
    assert torch.cdist(space.points, rows).amin(dim=1).max() < 1e-2  # kept as float16


def test_each_site_may_have_a_prior_of_its_own(workspace):
    prior = {
        **gaussian("site:mathematics"),
        "sites": {"block.1": {"name": "isotropic", "sigma": 5.0}},
    }
    made = config(prior=prior, prompt=DEEP)
    assert parse_config(made.plain()) == made
    priors = fit_priors(made.placed(2), workspace)
    assert {site: type(prior).__name__ for site, prior in priors.items()} == {
        "embed": "Gaussian",
        "block.1": "Isotropic",
    }
    prompt = fit_and_draw(made.placed(2), workspace)
    assert float(prompt.values["block.1"].detach().std()) == pytest.approx(5, rel=0.3)
    everywhere = config(prior=gaussian("site:mathematics"), prompt=DEEP).placed(2)
    assert everywhere.sites_read() == {"mathematics": ("embed", "block.1")}


def test_one_pass_captures_every_site_that_the_priors_need(workspace):
    made = config(prior=gaussian("site:mathematics"), prompt=DEEP).placed(2)
    stages = []
    fit_priors(made, workspace, lambda stage, *_: stages.append(stage))
    fit_priors(made, workspace, lambda stage, *_: stages.append(f"again {stage}"))
    assert set(stages) == {"capturing mathematics"}


def test_kv_starts_as_the_deep_cut_prompt_of_the_same_priors(workspace):
    sites = ["block.0", "block.1"]
    prior = gaussian("site:mathematics")
    deep = fit_and_draw(config(prior=prior, prompt={**DEEP, "sites": sites}).placed(2), workspace)
    keys = fit_and_draw(
        config(prior=prior, prompt={"mode": "kv", "length": 4}).placed(2), workspace
    )
    assert keys.mode == "kv"
    backbone, task = workspace.backbone(config().model_spec), workspace.task(config().task)
    losses = [pp.loss(backbone, prompt, task.splits["validation"]) for prompt in (deep, keys)]
    torch.testing.assert_close(*losses)


def test_a_text_of_control_tokens_says_that_the_vocabulary_has_no_rows_for_them(workspace):
    prior = {"name": "text", "text": "a<|end|>b"}
    with pytest.warns(Note, match=r"no row for control tokens; left out of the text: <\|end\|>"):
        prompt = fit_and_draw(config(prior=prior, prompt={"length": 2}).placed(2), workspace)
    plain = prior | {"text": "ab"}
    plain = fit_and_draw(config(prior=plain, prompt={"length": 2}).placed(2), workspace)
    assert prompt.values["embed"].equal(plain.values["embed"])


def test_a_text_at_a_block_is_its_activations(workspace):
    text = "Question: 1 + 1?"
    prior = {"name": "text", "text": text}
    prompt = fit_and_draw(config(prior=prior, prompt=DEEP).placed(2), workspace)
    backbone = workspace.backbone(config().model_spec)
    with torch.no_grad():
        out = backbone.model(
            input_ids=torch.tensor([backbone.encode(text)]), output_hidden_states=True
        )
    torch.testing.assert_close(prompt.values["embed"].detach(), out.hidden_states[0][0, :4])
    torch.testing.assert_close(
        prompt.values["block.1"].detach(), out.hidden_states[1][0, :4], rtol=1e-4, atol=1e-5
    )


@pytest.mark.slow
def test_a_run_with_captured_priors_and_regularisers_ends_and_is_found_again(workspace, tmp_path):
    held = {**TINY["train"], "regulariser": ["shell", {"name": "repulsion", "strength": 0.1}]}
    made = config(prior=gaussian("site:mathematics"), prompt=DEEP, train=held)
    run = execute(made, tmp_path, workspace)
    rows = run.metrics()
    assert all(row["penalty"] > -1 for row in rows if row["step"])
    stages = []
    execute(made, tmp_path, workspace, on_progress=lambda stage, *_: stages.append(stage))
    assert stages[-1] == "done before"
    more = {"documents": 6, "tokens": 32}
    fewer = config(prior=gaussian("site:mathematics"), prompt=DEEP, train=held, capture=more)
    assert execute(fewer, tmp_path, workspace).id != run.id  # another cloud, another run
    train = TINY["train"]
    plain = execute(config(train=train), tmp_path, workspace)
    assert plain.id == execute(config(train=train, capture=more), tmp_path, workspace).id


@pytest.mark.slow
def test_a_prompt_is_kept_away_from_the_activations_of_its_own_sites(workspace, tmp_path):
    held = {"name": "repulsion", "space": "site:mathematics"}
    train = {**TINY["train"], "regulariser": held}
    sites = ["block.0", "block.1"]
    made = config(prior="xavier", prompt={**DEEP, "sites": sites}, train=train).placed(2)
    prompt = fit_and_draw(made, workspace)
    (regulariser,) = build_regularisers(made, workspace, prompt, None)
    params = config(prior=gaussian("site:mathematics")).prior.params
    cosines = [
        torch.cosine_similarity(prompt.values[site][:, None], points[None], dim=2).topk(10, dim=1)
        for site in sites
        for points in [spaces_of(made, workspace).read(params, site).points]
    ]
    expected = sum(found.values.mean() for found in cosines) / 2
    penalty = regulariser.penalty(prompt.values, targets=7)
    assert float(penalty.detach()) == pytest.approx(float(expected.detach()), abs=1e-5)
    stages = []
    run = execute(made, tmp_path, workspace, on_progress=lambda stage, *_: stages.append(stage))
    assert "capturing mathematics" not in stages  # one pass has both sites
    fewer = replace(made, capture=made.capture.model_copy(update={"documents": 5}))
    assert identify(fewer, workspace) != run.id  # other points, another run
    free = replace(made, regularisers=())
    assert identify(free, workspace) != run.id


@pytest.mark.slow
def test_a_posterior_is_fitted_to_the_prompts_of_earlier_runs(workspace, tmp_path):
    for seed in (0, 1):
        execute(config(seed=seed), tmp_path / "runs", workspace)
    space = f"runs:{tmp_path / 'runs'}"
    prior = {"name": "posterior", "space": space, "draw": "prompt"}
    prompt = fit_and_draw(config(prior=prior).placed(2), workspace)
    trained = [run.tensors()["final/embed"] for run in pp.runs.list_runs(tmp_path / "runs")]
    assert any(torch.equal(prompt.values["embed"].detach(), values) for values in trained)
    run = execute(config(prior=prior), tmp_path / "next", workspace)
    assert run.status == "done"
    with pytest.raises(pp.InputError, match="no finished run there has vectors of this model"):
        fit_and_draw(config(prior=prior, prompt=DEEP).placed(2), workspace)


def test_a_captured_store_is_a_space_and_one_of_another_model_is_refused(workspace, tmp_path):
    captured(workspace, tmp_path / "store")
    made = config(prior=gaussian(f"store:{tmp_path / 'store'}"), prompt=DEEP).placed(2)
    assert set(fit_priors(made, workspace)) == {"embed", "block.1"}
    manifest = tmp_path / "store" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"tiny 1"', '"another"'))
    with pytest.raises(pp.InputError, match=r"holds activations of tiny \(another\)"):
        fit_priors(made, Workspace())


@pytest.mark.slow
def test_a_capture_under_a_trained_prompt_knows_its_run(workspace, tmp_path):
    run = execute(config(), tmp_path / "runs", workspace)
    section = config(capture={"sites": ["block.1"], "out": str(tmp_path / "store")})
    wanted = CaptureConfig(section.model_spec, section.task, section.capture)
    execute_capture(wanted, workspace, run=run.id[:6], runs=tmp_path / "runs", on_progress=silent)
    store = Store(tmp_path / "store")
    assert store.manifest["prompt"] == run.id
    assert store.prompt_rows()["block.1"].shape == (4, 32)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"prior": gaussian("block.1")},
            "'block.1': expected 'vocabulary', 'tokens:",
        ),
        ({"prior": gaussian("blok.1:squad")}, "prior.space = 'blok.1:squad': expected"),
        ({"prior": gaussian("tokens:sqad")}, "unknown task 'sqad'. Did you mean 'squad'?"),
        ({"prior": gaussian([])}, "expected spaces, each once"),
        ({"prior": gaussian("tokens:c4", length_matched=True)}, "a list of at least two captured"),
        (
            {"prior": gaussian(["tokens:c4", "vocabulary"], length_matched=True)},
            "a list of at least two captured",
        ),
        ({"prior": {"name": "gaussian", "sites": 3}}, "prior.sites: expected sections"),
        (
            {"prior": {"name": "gaussian", "sites": {"block.1": {"name": "gausian"}}}},
            "unknown prior 'gausian'",
        ),
        ({"train": {"regulariser": "mapp"}}, "unknown regulariser 'mapp'. Did you mean 'map'?"),
        ({"train": {"regulariser": {"name": "map", "strenth": 1}}}, "Did you mean 'strength'?"),
        (
            {"train": {"regulariser": {"name": "repulsion", "space": "sight:c4"}}},
            "regulariser 'repulsion': space = 'sight:c4': expected 'vocabulary', ",
        ),
        ({"capture": {"tokens": 1}}, "capture.tokens = 1"),
        ({"capture": {"dtype": "float8"}}, "'float16' or 'float32'"),
    ],
)
def test_a_bad_config_is_refused_before_any_work(changes, message):
    with pytest.raises(pp.InputError) as error:
        config(**changes)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prior": gaussian("vocabulary", pool="mean")}, "a vocabulary has none"),
        ({"prior": gaussian("block.7:mathematics")}, "site 'block.7' does not exist in this model"),
        ({"prior": gaussian("store:nowhere")}, "nowhere is no store of activations"),
        ({"prior": gaussian("runs:nowhere")}, "nowhere: no such folder"),
        ({"prior": {**gaussian("vocabulary"), "sites": {"block.1": "xavier"}}}, "where the prompt"),
        ({"prior": gaussian("embed:mathematics"), "capture": {"split": "dev"}}, "capture.split"),
        (
            {"prior": gaussian("tokens:mathematics"), "capture": {"tokens": 4096}},
            "texts of 4096 tokens need 4096 positions",
        ),
        ({"prior": "vocabulary", "train": {"regulariser": "map"}}, "regulariser 'map' needs a"),
        ({"prior": {"name": "posterior"}}, "space = 'runs:DIR'"),
    ],
)
def test_what_the_model_or_the_data_lack_is_said_and_leaves_no_run(
    changes, message, workspace, tmp_path
):
    with pytest.raises(pp.InputError) as error:
        execute(config(**changes), tmp_path / "runs", workspace)
    assert message in str(error.value)
    assert not list((tmp_path / "runs").glob("*/config.toml"))
