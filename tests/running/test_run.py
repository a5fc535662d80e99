"""A run: its folder, its reproducibility, resuming, and how it fails."""

import errno
import json
import os

import pytest
import torch

import promptpriors as pp
from promptpriors.config.run import parse_config
from promptpriors.errors import Note
from promptpriors.files import read_tensors, write_bytes, write_tensors
from promptpriors.progress import silent
from promptpriors.report import write_report
from promptpriors.running.doctor import examine, machine
from promptpriors.running.run import execute, note_control_tokens
from promptpriors.running.workspace import Workspace
from promptpriors.runs import list_runs

TINY = {
    "model": "tiny",
    "task": {"name": "mathematics", "train": 40, "validation": 10, "test": 6},
    "prior": {"name": "gaussian"},
    "prompt": {"length": 4},
    "train": {"steps": 6, "batch": 4, "evaluate_every": 2, "schedule": "cosine"},
}


@pytest.fixture(scope="module")
def workspace():
    return Workspace()


def config(**more):
    return parse_config({**TINY, **more})


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ({"length": 100_000}, "prompt.length = 100000 leaves no room for a text"),
        ({"length": 100_000, "mode": "deep"}, "model 'tiny' has 2048 positions"),
        ({"length": 2047, "mode": "kv"}, "leaves no room"),
        ({"length": 2040}, r"example '.*' needs \d+ positions .prompt 2040"),
        ({"length": 2040, "mode": "kv"}, r"example '.*' needs \d+ positions .prompt 2040"),
    ],
)
def test_lengths_are_checked_before_anything_is_fitted_or_drawn(
    tmp_path, workspace, prompt, words, monkeypatch
):
    def never(*_, **__):
        raise AssertionError("fitted or drawn before the lengths were checked")

    monkeypatch.setattr("promptpriors.running.run.fit_priors", never)
    monkeypatch.setattr("promptpriors.running.run.draw_start", never)
    with pytest.raises(pp.InputError, match=words):
        execute(config(prompt=prompt), tmp_path, workspace)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_run_folder_holds_what_was_promised(tmp_path, workspace):
    run = execute(config(), tmp_path, workspace)
    names = {path.name for path in run.folder.iterdir()}
    assert names == {"config.toml", "metrics.jsonl", "prompt.safetensors", "result.json"}
    result = run.result
    assert result["val_loss"] < result["val_loss_initial"]
    assert result["val_loss_best"] <= result["val_loss"]
    assert set(result["scores"]) >= {"loss", "token_accuracy", "accuracy", "exact_match"}
    assert result["eval_examples"] == {"validation": 10, "test": 6}
    assert result["displacement"] > 0
    assert [row["step"] for row in run.metrics()] == list(range(7))
    tensors = run.tensors()
    assert tensors["trajectory/steps"].tolist() == [0, 2, 4, 6]
    assert torch.equal(tensors["trajectory/embed"][0], tensors["initial/embed"])
    assert torch.equal(tensors["trajectory/embed"][-1], tensors["final/embed"])
    assert (tmp_path / result["map"]).is_file()
    assert len(result["nearest_tokens"]["embed"]["final"]) == 4


@pytest.mark.slow
def test_a_finished_run_is_not_repeated(tmp_path, workspace):
    first = execute(config(), tmp_path, workspace)
    stamp = (first.folder / "result.json").stat().st_mtime_ns
    stages = []
    again = execute(
        config(), tmp_path, workspace, on_progress=lambda stage, *_: stages.append(stage)
    )
    assert stages == ["done before"]
    assert (again.folder / "result.json").stat().st_mtime_ns == stamp


@pytest.mark.slow
def test_the_same_config_gives_the_same_bytes_in_a_new_process_state(tmp_path):
    folders = []
    for name in ("a", "b"):
        torch.manual_seed(len(folders))
        folders.append(execute(config(), tmp_path / name, Workspace()).folder)
    a, b = ((folder / "prompt.safetensors").read_bytes() for folder in folders)
    assert a == b
    assert folders[0].name == folders[1].name


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["deep", "deep-cut", "kv"])
def test_every_mode_has_runs_of_its_own_with_the_modes_sites(tmp_path, workspace, mode):
    run = execute(config(prompt={"mode": mode, "length": 4}), tmp_path, workspace)
    sites = ["block.0", "block.1"] if mode == "kv" else ["embed", "block.1"]
    assert run.config["prompt"]["sites"] == sites
    chosen = {"mode": mode, "length": 4, "sites": sites}
    assert execute(config(prompt=chosen), tmp_path, workspace).folder == run.folder
    assert run.result["val_loss"] < run.result["val_loss_initial"]
    assert set(run.result["displacement_by_site"]) == set(sites)
    assert pp.load_prompt(run.folder).sites == tuple(sites)
    assert write_report(tmp_path, tmp_path / "report.html").is_file()


@pytest.mark.slow
def test_a_deep_run_has_the_same_bytes_with_a_trunk_that_was_there_before(tmp_path, monkeypatch):
    monkeypatch.setenv("PROMPTPRIORS_CACHE", str(tmp_path / "cache"))
    deep = config(prompt={"mode": "deep-cut", "length": 4, "sites": ["block.1"]})
    folders = [execute(deep, tmp_path / name, Workspace()).folder for name in "ab"]
    a, b = ((folder / "prompt.safetensors").read_bytes() for folder in folders)
    assert a == b
    assert list((tmp_path / "cache" / "trunk").rglob("*.safetensors"))


@pytest.mark.slow
def test_an_interrupted_run_filled_by_tokens_ends_with_the_same_bytes(tmp_path, workspace):
    filled = config(train={**TINY["train"], "batch_tokens": 90})
    whole = execute(filled, tmp_path / "a", workspace)

    def on_progress(stage, share, known):
        if known.get("step") == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(filled, tmp_path / "b", workspace, on_progress=on_progress)
    again = execute(filled, tmp_path / "b", workspace)
    a, b = ((run.folder / "prompt.safetensors").read_bytes() for run in (whole, again))
    assert a == b


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["deep-cut", "kv"])
def test_the_doctor_examines_every_mode(workspace, mode):
    findings = {f.check: f for f in examine(config(prompt={"mode": mode}), workspace, silent)}
    assert findings["plain model"].passed
    assert findings["only the prompt changes"].passed
    assert "reach" in findings


@pytest.mark.slow
def test_a_saved_prompt_gives_the_loss_it_was_saved_with(tmp_path, workspace):
    run = execute(config(), tmp_path, workspace)
    backbone, task = workspace.backbone(config().model_spec), workspace.task(config().task)
    prompt = pp.load_prompt(run.folder)
    with torch.no_grad():
        found = float(pp.loss(backbone, prompt, task.splits["validation"]))
    assert found == pytest.approx(run.result["val_loss"], rel=1e-5)


@pytest.mark.slow
def test_a_run_that_another_process_ended_meanwhile_is_not_done_again(tmp_path, workspace):
    def other(stage, share, known):
        if stage == "loading" and not list_runs(tmp_path):
            execute(config(), tmp_path, Workspace())

    tmp_path.mkdir(exist_ok=True)
    run = execute(config(), tmp_path, workspace, on_progress=other)
    assert [row["step"] for row in run.metrics()] == list(range(7))
    assert {p.name for p in run.folder.iterdir()} == {
        "config.toml",
        "metrics.jsonl",
        "prompt.safetensors",
        "result.json",
    }


@pytest.mark.slow
def test_another_precision_is_another_run(tmp_path, workspace):
    one = execute(config(), tmp_path, workspace)
    other = execute(config(device={"dtype": "bfloat16"}), tmp_path, workspace)
    assert one.id != other.id
    assert one.result["val_loss"] != other.result["val_loss"]


def test_memory_that_runs_out_is_failed_work_with_a_reason(tmp_path, workspace):
    def full(stage, share, known):
        if known.get("step") == 3:
            raise MemoryError("out of memory")

    with pytest.raises(pp.WorkError, match="out of memory"):
        execute(config(), tmp_path, workspace, on_progress=full)
    assert list_runs(tmp_path)[0].status == "failed"


def cut_at(step):
    """Watch a run and pull the plug at a step."""

    def on_progress(stage, share, known):
        if known.get("step") == step:
            raise KeyboardInterrupt

    return on_progress


class Interrupted(Exception):
    """Stands for a power cut."""


@pytest.mark.slow
def test_an_interrupted_run_goes_on_and_ends_with_the_same_bytes(tmp_path, workspace):
    whole = execute(config(), tmp_path / "whole", workspace)

    with pytest.raises(KeyboardInterrupt):
        execute(config(), tmp_path / "cut", workspace, on_progress=cut_at(5))
    (half,) = list_runs(tmp_path / "cut")
    assert half.status == "unfinished"
    assert (half.folder / "state.safetensors").exists()
    steps = []
    run = execute(
        config(), tmp_path / "cut", workspace, on_progress=lambda *a: steps.append(a[2].get("step"))
    )
    assert [s for s in steps if s is not None] == [5, 6]
    assert (run.folder / "prompt.safetensors").read_bytes() == (
        whole.folder / "prompt.safetensors"
    ).read_bytes()
    strip = lambda rows: [{**row, "seconds": 0} for row in rows]  # noqa: E731
    assert strip(run.metrics()) == strip(whole.metrics())


@pytest.mark.slow
def test_a_damaged_checkpoint_is_said_and_the_run_starts_again(tmp_path, workspace):
    with pytest.raises(KeyboardInterrupt):
        execute(config(), tmp_path, workspace, on_progress=cut_at(5))
    (half,) = list_runs(tmp_path)
    write_bytes(half.folder / "state.safetensors", b"nonsense")
    stages = []
    run = execute(config(), tmp_path, workspace, on_progress=lambda stage, *_: stages.append(stage))
    assert "the checkpoint is damaged, starting again" in stages
    assert [row["step"] for row in run.metrics()] == list(range(7))


def test_a_full_disk_is_said_as_such(tmp_path, workspace, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "state.safetensors")

    monkeypatch.setattr("promptpriors.running.training_run.write_checkpoint", full)
    with pytest.raises(pp.WorkError) as error:
        execute(config(), tmp_path, workspace)
    assert str(error.value).startswith("state.safetensors: No space left on device\n")
    assert "the same command goes on" in str(error.value)


def test_a_cache_that_can_not_be_written_is_said_before_anything_is_scored(
    tmp_path, workspace, monkeypatch
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("PROMPTPRIORS_CACHE", str(tmp_path / "file" / "cache"))
    stages = []

    def on_progress(stage, share, known):
        stages.append(stage)

    deep = {"length": 3, "mode": "deep", "sites": ["block.1"]}
    with pytest.warns(Note, match="the trunk cache .* can't be written") as notes:
        execute(
            config(prompt=deep),
            tmp_path / "runs",
            workspace,
            on_progress=lambda stage, *_: stages.append((stage, len(notes))),
        )
    assert len(notes) == 1
    assert ("scoring the start", 1) in stages
    stages.clear()
    captured = config(prior={"name": "gaussian", "space": "embed:mathematics"})
    with pytest.raises(pp.InputError, match="the cache folder"):
        execute(captured, tmp_path / "runs", workspace, on_progress=on_progress)
    assert stages == ["loading"]
    execute(config(), tmp_path / "runs", workspace)  # needs no cache


def test_the_doctor_sees_a_busy_machine():
    assert "busy with other work" in machine(3.9, 2).found
    assert machine(0.4, 2).found == "load 0.4 on 2 cores"


def test_a_diverging_run_names_prior_rate_and_step_and_keeps_the_reason(tmp_path, workspace):
    grows = {"lr": 0.05, "weight_decay": 1e29}
    bad = config(train={**TINY["train"], **grows}, prior="isotropic")
    with pytest.raises(pp.WorkError) as error:
        execute(bad, tmp_path, workspace)
    message = str(error.value)
    assert "prior 'isotropic'" in message
    assert "rate 0.05" in message
    assert "at step" in message
    (run,) = list_runs(tmp_path)
    assert run.status == "failed"
    assert "diverged" in run.error
    assert not (run.folder / "result.json").exists()


@pytest.mark.slow
def test_a_failed_run_is_tried_again(tmp_path, workspace):
    def fail(stage, share, known):
        if known.get("step") == 3:
            raise Interrupted

    with pytest.raises(Interrupted):
        execute(config(), tmp_path, workspace, on_progress=fail)
    (failed,) = list_runs(tmp_path)
    assert failed.status == "failed"
    done = execute(config(), tmp_path, workspace)
    assert done.status == "done"
    assert done.error is None


def test_the_empty_prompt_is_a_run_without_training(tmp_path, workspace):
    run = execute(config(prompt={"mode": "none"}), tmp_path, workspace)
    assert run.result["val_loss"] == pytest.approx(run.result["val_loss_none"])
    assert run.result["displacement"] == 0
    assert run.result["scores"] == run.result["scores_initial"]
    assert [row["step"] for row in run.metrics()] == [0]
    assert pp.load_prompt(run.folder).length == 0


def test_a_frozen_prompt_is_the_draw_itself(tmp_path, workspace):
    run = execute(config(train={"frozen": True}), tmp_path, workspace)
    tensors = run.tensors()
    assert torch.equal(tensors["initial/embed"], tensors["final/embed"])
    assert run.result["steps"] == 0


def test_frequent_rows_are_counted_in_the_tasks_texts(tmp_path, workspace):
    prior = {"name": "vocabulary", "most_frequent": 5}
    run = execute(config(prior=prior, train={"frozen": True}), tmp_path, workspace)
    found = {row[0]["token"] for row in run.result["nearest_tokens"]["embed"]["final"]}
    assert found <= set("Question: \nAnswer0123456789e")


@pytest.mark.slow
@pytest.mark.parametrize("step", [0, 1, 2, 3, 4, 5])
def test_wherever_a_run_is_interrupted_it_ends_with_the_same_bytes(tmp_path, workspace, step):
    whole = execute(config(), tmp_path / "whole", workspace)

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            execute(config(), tmp_path / "cut", workspace, on_progress=cut_at(step))
    run = execute(config(), tmp_path / "cut", workspace)
    names = ("prompt.safetensors",)
    assert all((run.folder / n).read_bytes() == (whole.folder / n).read_bytes() for n in names)
    assert [row["step"] for row in run.metrics()] == list(range(7))


def mutate(path, change):
    tensors, metadata = read_tensors(path)
    change(tensors, metadata)
    write_tensors(path, tensors, metadata)


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        lambda tensors, metadata: tensors.pop("value/embed"),
        lambda tensors, metadata: tensors.update({"exp_avg/embed": torch.zeros(1)}),
        lambda tensors, metadata: tensors.update({"trajectory/embed": torch.zeros(1, 4, 32)}),
        lambda tensors, metadata: metadata["progress"].update(step=-1),
        lambda tensors, metadata: metadata["progress"].update(step=99),
        lambda tensors, metadata: metadata["progress"].pop("peak"),
        lambda tensors, metadata: metadata.update(scores_initial=3),
        lambda tensors, metadata: metadata.clear(),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_not_used(tmp_path, workspace, change):
    whole = execute(config(), tmp_path / "whole", workspace)

    with pytest.raises(KeyboardInterrupt):
        execute(config(), tmp_path / "cut", workspace, on_progress=cut_at(5))
    (half,) = list_runs(tmp_path / "cut")
    mutate(half.folder / "state.safetensors", change)
    stages = []
    run = execute(config(), tmp_path / "cut", workspace, on_progress=lambda s, *_: stages.append(s))
    assert "the checkpoint is damaged, starting again" in stages
    name = "prompt.safetensors"
    assert (run.folder / name).read_bytes() == (whole.folder / name).read_bytes()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            {"prior": {"name": "gaussian", "space": "block.1:sqad"}},
            "unknown task 'sqad'. Did you mean 'squad'?",
        ),
        ({"prompt": {"length": 2040}}, "and model 'tiny' has 2048"),
        ({"model": "./nowhere"}, "does not exist"),
        ({"prior": {"name": "text", "text": ""}}, "no tokens"),
    ],
)
def test_bad_input_leaves_no_folder(tmp_path, workspace, more, message):
    with pytest.raises(pp.InputError) as error:
        execute(config(**more), tmp_path / "runs", workspace)
    assert message in str(error.value)
    assert not (tmp_path / "runs").exists()


def test_a_run_says_that_its_data_spell_a_control_token_and_how_to_have_it_read_as_one(
    tmp_path, workspace
):
    rows = [{"source": f"<|end|> {i}:", "targets": "a"} for i in range(9)]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    task = {"name": "jsonl", "path": str(path)}
    backbone = workspace.backbone(config().model_spec)
    with pytest.warns(
        Note, match=r"spells the control token '<\|end\|>' .* read as text; task.con"
    ):
        note_control_tokens(backbone, workspace.task(config(task=task).task))
    marked = config(task=task | {"control_tokens": True})
    note_control_tokens(backbone, workspace.task(marked.task))


def test_an_output_folder_that_can_not_be_written_is_named(tmp_path, workspace):
    (tmp_path / "file").touch()
    with pytest.raises(pp.InputError, match="can't be written"):
        execute(config(), tmp_path / "file" / "runs", workspace)


def test_a_checkpoint_holds_the_moments_and_no_more_than_that(tmp_path, workspace):
    with pytest.raises(KeyboardInterrupt):
        execute(config(), tmp_path, workspace, on_progress=cut_at(3))
    (half,) = list_runs(tmp_path)
    tensors, metadata = read_tensors(half.folder / "state.safetensors")
    assert metadata["progress"]["step"] == 2
    assert {"value/embed", "exp_avg/embed", "exp_avg_sq/embed", "step/embed"} <= set(tensors)
    json.dumps(metadata, allow_nan=False)


@pytest.mark.slow
def test_the_doctor_passes_what_learns_and_names_what_does_not(workspace):
    learns = config(train={**TINY["train"], "lr": 0.05})
    found = {f.check: f for f in examine(learns, workspace, silent)}
    assert found["plain model"].passed
    assert found["only the prompt changes"].passed
    assert found["loss stays finite"].passed
    assert "tokens/s" in found["forecast"].found
    # a random model can't read: the check must be able to fail
    assert found["reads the question"].passed is False
    stuck = config(train={**TINY["train"], "lr": 1e-9})
    found = {f.check: f for f in examine(stuck, workspace, silent)}
    assert found["overfits one batch"].passed is False
    assert "not testable at this budget" in found["reach"].found


def test_the_doctor_says_that_training_diverges(workspace):
    grows = {"lr": 0.05, "weight_decay": 1e29}
    bad = config(train={**TINY["train"], **grows}, prior="isotropic")
    found = {f.check: f for f in examine(bad, workspace, silent)}
    assert found["loss stays finite"].passed is False
