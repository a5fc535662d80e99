"""What a run trains, by which objective, on data in which order; and what its result says of it."""

import hashlib
import json

import pytest
import torch

import promptpriors as pp
from promptpriors.config.run import parse_config
from promptpriors.packing import encode
from promptpriors.prompts.objectives import mean_objective
from promptpriors.running.run import execute
from promptpriors.running.workspace import Workspace
from promptpriors.runs import list_runs
from tests.helpers import EXAMPLES

TINY = {
    "model": "tiny",
    "task": {"name": "mathematics", "train": 40, "validation": 10, "test": 4},
    "prior": {"name": "gaussian"},
    "prompt": {"length": 4},
}
TRAIN = {"steps": 6, "batch": 4, "evaluate_every": 2, "lr": 0.05}
EMPTY = {"prompt": {"mode": "none"}}
CHANGING = {"seconds", "peak_memory_mib", "tokens_per_second", "versions"}
"""What may differ between two runs of one config."""


@pytest.fixture(scope="module")
def workspace():
    return Workspace()


def config(train=TRAIN, **more):
    return parse_config({**TINY, "train": train, **more})


def ceiling(**more):
    return config({**TRAIN, "lr": 0.01, "lora": 4, **more}, **EMPTY)


def stable(run):
    """The bytes of a result but for times, memory and versions."""
    kept = {key: value for key, value in run.result.items() if key not in CHANGING}
    return json.dumps(kept, allow_nan=False)


def prompt_bytes(run):
    return (run.folder / "prompt.safetensors").read_bytes()


@pytest.mark.slow
def test_order_alone_decides_the_order_of_the_data_and_seed_alone_the_draw(tmp_path, workspace):
    text = {"name": "text", "text": "Answer: "}  # the same start for every seed

    def run(seed, order, prior):
        train = {**TRAIN, "order": order}
        return execute(config(train, prior=prior, seed=seed), tmp_path, workspace)

    assert prompt_bytes(run(0, None, text)) == prompt_bytes(run(5, 0, text))
    assert prompt_bytes(run(5, 0, text)) != prompt_bytes(run(5, None, text))
    drawn = [run(seed, 7, TINY["prior"]).tensors()["initial/embed"] for seed in (0, 1)]
    assert not drawn[0].equal(drawn[1])


@pytest.mark.slow
def test_a_result_names_the_bytes_of_its_prompt_and_repeats(tmp_path, workspace):
    runs = [execute(config(), tmp_path / name, workspace) for name in "ab"]
    for run in runs:
        assert run.result["prompt_sha256"] == hashlib.sha256(prompt_bytes(run)).hexdigest()
        assert run.result["objective"] == "answer"
        assert run.result["val_objective_initial"] == run.result["val_loss_initial"]
        assert run.result["val_objective"] == run.result["val_loss"]
    assert stable(runs[0]) == stable(runs[1])


@pytest.mark.slow
def test_a_misaligned_run_says_the_objective_and_the_answers_loss(tmp_path, workspace):
    train = {**TRAIN, "objective": "misaligned"}
    run = execute(config(train), tmp_path, workspace)
    backbone, task = workspace.backbone(config().model_spec), workspace.task(config().task)
    check = encode(backbone, task.splits["validation"])
    prompt = pp.load_prompt(run.folder)
    found = mean_objective("misaligned", backbone, prompt, check)
    assert run.result["objective"] == "misaligned"
    assert run.result["val_objective"] == pytest.approx(found, rel=1e-6)
    assert run.result["val_objective"] < run.result["val_objective_initial"]
    assert run.result["val_loss"] == pytest.approx(run.result["scores"]["loss"], rel=0.5)
    assert run.id != execute(config(), tmp_path, workspace).id


@pytest.mark.slow
def test_an_interrupted_misaligned_run_ends_with_the_same_result(tmp_path, workspace):
    train = {**TRAIN, "objective": "misaligned", "order": 3}
    whole = execute(config(train), tmp_path / "whole", workspace)

    def on_progress(stage, share, known):
        if known.get("step") == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(config(train), tmp_path / "cut", workspace, on_progress=on_progress)
    assert (list_runs(tmp_path / "cut")[0].folder / "state.safetensors").exists()
    again = execute(config(train), tmp_path / "cut", workspace)
    assert prompt_bytes(again) == prompt_bytes(whole)
    assert stable(again) == stable(whole)


@pytest.mark.slow
def test_the_plain_model_and_a_frozen_draw_have_the_objective_too(tmp_path, workspace):
    frozen = {"frozen": True, "objective": "misaligned"}
    for more in ({"prompt": {"mode": "none"}}, {}):
        run = execute(config(frozen, **more), tmp_path, workspace)
        assert run.result["val_objective"] == run.result["val_objective_initial"]
        assert run.result["val_objective"] != run.result["val_loss"]
        other = execute(config({"frozen": True}, **more), tmp_path, workspace)
        assert other.id != run.id
        assert other.result["val_loss"] == run.result["val_loss"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"prompt": {"mode": "deep"}}, "where mode 'deep' has none; expected one of none, soft"),
        ({"train": {"objective": "misalined"}}, "Did you mean 'misaligned'?"),
        ({"train": {"order": -1}}, "train.order = -1"),
    ],
)
def test_an_objective_that_does_not_go_with_the_rest_is_refused(more, message):
    with pytest.raises(pp.InputError) as error:
        config(**{"train": {"objective": "misaligned"}, **more})
    assert message in str(error.value)


def test_a_task_without_questions_leaves_no_folder(tmp_path, workspace):
    text = {"name": "text", "train": 3, "validation": 2, "test": 1}
    with pytest.raises(pp.InputError, match="needs a source before the answer"):
        execute(
            config({**TRAIN, "objective": "misaligned"}, task=text), tmp_path / "runs", workspace
        )
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_a_ceilings_run_looks_like_the_empty_prompts_and_says_its_rank(tmp_path, workspace):
    empty = execute(config({}, **EMPTY), tmp_path, workspace)
    run = execute(ceiling(), tmp_path, workspace)
    assert list(run.result) == [*list(empty.result)[:-4], "lora", *list(empty.result)[-4:]]
    assert run.result["lora"] == 4
    assert run.result["lr"] == {"adapter": 0.01}
    assert run.result["val_loss_none"] == empty.result["val_loss"]
    assert run.result["val_loss_initial"] == pytest.approx(empty.result["val_loss"], rel=1e-6)
    assert run.result["scores_initial"] == pytest.approx(empty.result["scores"], rel=1e-6)
    assert run.result["val_loss"] < run.result["val_loss_initial"]
    assert run.result["scores"]["loss"] < run.result["scores_initial"]["loss"]
    assert [row["step"] for row in run.metrics()] == list(range(7))
    assert list(run.metrics()[0]) == list(empty.metrics()[0])
    tensors, expected = run.tensors(), empty.tensors()
    assert list(tensors) == list(expected) == ["trajectory/steps"]
    assert tensors["trajectory/steps"].tolist() == [0, 2, 4, 6]
    assert run.metadata() == empty.metadata()
    assert {path.name for path in run.folder.iterdir()} == {
        "config.toml",
        "metrics.jsonl",
        "prompt.safetensors",
        "result.json",
    }


def test_a_resolved_config_of_a_ceiling_reads_back(tmp_path, workspace):
    plain = ceiling(order=3).plain()
    assert parse_config(plain).plain() == plain
    assert (plain["train"]["frozen"], plain["train"]["steps"]) == (False, 6)


@pytest.mark.slow
def test_runs_beside_it_are_not_touched(tmp_path, workspace):
    soft = {"prompt": {"length": 4}, "train": {"steps": 2, "batch": 4}}
    before = execute(config(**soft), tmp_path / "a", Workspace())
    execute(ceiling(), tmp_path / "b", workspace)
    after = execute(config(**soft), tmp_path / "b", workspace)
    assert prompt_bytes(after) == prompt_bytes(before)


@pytest.mark.slow
@pytest.mark.parametrize("step", [0, 3, 5])
def test_a_run_that_was_interrupted_ends_with_the_same_result(tmp_path, workspace, step):
    whole = execute(ceiling(), tmp_path / "whole", workspace)

    def on_progress(stage, share, known):
        if known.get("step") == step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(ceiling(), tmp_path / "cut", workspace, on_progress=on_progress)
    again = execute(ceiling(), tmp_path / "cut", workspace)
    assert stable(again) == stable(whole)
    assert prompt_bytes(again) == prompt_bytes(whole)
    strip = lambda rows: [{**row, "seconds": 0} for row in rows]  # noqa: E731
    assert strip(again.metrics()) == strip(whole.metrics())


def test_a_run_that_failed_leaves_the_model_as_it_was(tmp_path, workspace):
    backbone, some = workspace.backbone(ceiling().model_spec), EXAMPLES[:4]
    plain = pp.loss(backbone, None, some)

    def fail(stage, share, known):
        if known.get("step") == 3:
            raise MemoryError("out of memory")

    with pytest.raises(pp.WorkError, match="out of memory"):
        execute(ceiling(), tmp_path, workspace, on_progress=fail)
    assert list_runs(tmp_path)[0].status == "failed"
    assert torch.equal(pp.loss(backbone, None, some), plain)
