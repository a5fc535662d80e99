"""Relative paths are found again from any folder, and what is found stays what it was."""

import json
import shutil
from pathlib import Path

import pytest

import promptpriors as pp
from promptpriors.config.run import parse_config, read_config
from promptpriors.config.sections import read_capture
from promptpriors.config.study import read_study
from promptpriors.data import build_task
from promptpriors.errors import InputError, Note
from promptpriors.running.run import execute
from promptpriors.running.spaces import Spaces
from promptpriors.running.workspace import Workspace
from promptpriors.runs import Run, read_run
from promptpriors.runs.places import anchored, config_of
from promptpriors.runs.trained import load_trained
from promptpriors.study.arms import compared

CONFIG = """
model = "my-folder"
task = {name = "jsonl", path = "my.jsonl", test_path = "test.jsonl", train = 4, validation = 2}
prior = {name = "mixture", first = {name = "posterior", space = "runs:old"}, second = "gaussian"}
train = {regulariser = [{name = "repulsion", space = "embed:jsonl:my.jsonl"}]}
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with a config and all that it names, seen from another folder."""
    folder = tmp_path / "project"
    for name in ("my-folder", "old", "runs/0123456789abcdef"):
        (folder / name).mkdir(parents=True)
    for name in ("my.jsonl", "test.jsonl"):
        rows = [json.dumps({"source": f"{name} {i}:", "targets": str(i)}) for i in range(20)]
        (folder / name).write_text("\n".join(rows))
    (folder / "run.toml").write_text(CONFIG)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return folder


def test_paths_are_found_beside_the_config(project):
    found = read_config(project / "run.toml")
    assert found.model == str(project / "my-folder")
    assert found.task.params["path"] == str(project / "my.jsonl")
    assert found.task.params["test_path"] == str(project / "test.jsonl")
    assert found.prior.params["first"].params["space"].plain() == f"runs:{project / 'old'}"
    assert found.regularisers[0].params["space"].plain() == f"embed:jsonl:{project / 'my.jsonl'}"
    assert len(build_task(found.task).splits["train"]) == 4


def test_paths_from_the_working_folder_stay_as_they_are_written(project, monkeypatch):
    monkeypatch.chdir(project)
    plain = read_config(Path("run.toml")).plain()
    assert plain["model"] == "my-folder"
    assert plain["task"]["path"] == "my.jsonl"
    assert plain["prior"]["first"]["space"] == "runs:old"


def test_captures_and_studies_find_them_as_well(project):
    assert read_capture(project / "run.toml").model.model == str(project / "my-folder")
    (project / "plans").mkdir()
    study = '[arms]\na = {}\nb = {prior = "xavier"}\n[grid]\nseed = [0]\n'
    (project / "plans" / "s.toml").write_text('base = "../run.toml"\n' + study)
    runs = compared(read_study(project / "plans" / "s.toml"))
    assert {run.config.model for run in runs} == {str(project / "my-folder")}


def run_of(project, **changes):
    config = {
        "model": "my-folder",
        "seed": 0,
        "task": {"name": "jsonl", "path": "my.jsonl"},
        "prior": {"name": "xavier"},
        "prompt": {"mode": "soft", "length": 1, "sites": ["embed"]},
        "train": {"steps": 1},
    }
    return Run(project / "runs" / "0123456789abcdef", config | changes, {}, None)


def test_paths_of_a_run_are_found_above_it(project):
    found = config_of(run_of(project))
    assert found["model"] == str(project / "my-folder")
    assert found["task"]["path"] == str(project / "my.jsonl")
    assert parse_config(found).task.params["path"] == str(project / "my.jsonl")
    assert run_of(project).config["model"] == "my-folder"  # which labels runs


def test_a_model_that_is_named_counts(project):
    assert config_of(run_of(project), "tiny")["model"] == "tiny"


def test_a_model_that_is_nowhere_is_said_with_where_it_was_looked_for(project):
    run = run_of(project, model="tinny")
    with pytest.raises(InputError, match=r"(?s)run 0123.*looked for in .*elsewhere, .*--model"):
        load_trained(run)


@pytest.mark.parametrize(
    "name", ["tiny", "no-such", "~nobody/x", "\0", "x" * 5000, "/absolute/none", "store:none"]
)
def test_what_is_nowhere_or_no_path_stays_as_it_is(project, name):
    config = {"model": name, "task": {"path": name}, "prior": {"space": name}, "train": 3}
    assert anchored(config, [project]) == config


def read_space(config):
    found = parse_config(config)
    spaces = Spaces(Workspace(), found.model_spec, found.task, found.capture, {})
    return spaces.read(found.prior.params)


@pytest.mark.parametrize(
    ("space", "words"),
    [
        ("block.1:jsonl", "needs the parameter 'path'; in a space such as 'block.13:jsonl:PATH'"),
        ("block.1:mathematics:a.jsonl", "has no parameter 'path'"),
        ("block.1:jsnl:a.jsonl", "unknown task 'jsnl'"),
        ("blok.1:jsonl:a.jsonl", "expected 'vocabulary'"),
    ],
)
def test_a_space_of_ones_own_data_needs_a_task_with_a_file(space, words):
    config = {"model": "tiny", "task": "mathematics", "prior": {"name": "gaussian"}}
    config["prior"]["space"] = space
    with pytest.raises(InputError) as error:
        read_space(config)
    assert words in str(error.value)


@pytest.mark.slow
def test_a_run_on_a_folder_can_be_used_from_elsewhere_and_after_the_model_moved(
    project, monkeypatch
):
    """Its id does not depend on where it was started, nor on how its paths were written."""
    backbone = pp.load_model("tiny")
    for part in (backbone.model, backbone.tokenizer):
        part.save_pretrained(project / "my-folder")
    (project / "run.toml").write_text(
        'model = "my-folder"\ntask = {name = "jsonl", path = "my.jsonl", train = 8, test = 1}\n'
        'prior = {name = "gaussian", space = "embed:jsonl:my.jsonl"}\nprompt = {length = 2}\n'
        "train = {steps = 1, batch = 2}\n"
    )
    runs = project / "runs"
    shutil.rmtree(runs)
    beside = execute(read_config(project / "run.toml"), runs, Workspace())
    monkeypatch.chdir(project)
    here = execute(read_config(Path("run.toml")), Path("again"), Workspace())
    assert here.id == beside.id
    assert here.config["model"] == "my-folder"
    monkeypatch.chdir("/")
    assert load_trained(read_run(project / "again" / here.id))[1].length == 2
    (project / "my-folder").rename(project.parent / "moved")
    run = read_run(project / "again" / here.id)
    with pytest.raises(InputError, match="say where the model is by --model"):
        load_trained(run)
    moved = load_trained(run, model=str(project.parent / "moved"))[0]
    assert moved.revision == run.metadata()["model"]
    with pytest.warns(Note, match="the prompt was trained at"):
        load_trained(run, model="tiny")
