"""Run folders: names by content, files whole or not at all, damage reported."""

import json

import pytest
import torch

import promptpriors as pp
from promptpriors.files import (
    read_json,
    read_json_lines,
    read_tensors,
    read_toml,
    write_bytes,
    write_json,
    write_tensors,
    write_toml,
)
from promptpriors.runs import Map, find_run, list_runs, read_map, run_id, write_map
from promptpriors.runs.folder import held

CONFIG = {
    "model": "m",
    "seed": 0,
    "task": {"name": "squad", "path": "a.json", "train": 3},
    "device": {"threads": 1},
}


def changed(**more):
    return run_id({**CONFIG, **more}, model="rev", task="hash")


def test_an_id_is_made_of_what_is_computed_not_of_where():
    base = changed()
    assert len(base) == 16
    assert int(base, 16) >= 0
    assert changed(device={"threads": 8}) == base
    assert changed(model="another path to it") == base
    assert changed(task={"name": "squad", "path": "b.json", "train": 3}) == base
    assert changed(seed=1) != base
    assert changed(device={"threads": 1, "dtype": "bfloat16"}) != base
    assert changed(device={"threads": 1, "dtype": "float32", "name": "cuda"}) == base
    assert changed(task={"name": "squad", "path": "a.json", "train": 4}) != base
    assert run_id(CONFIG, model="rev 2", task="hash") != base
    assert run_id(CONFIG, model="rev", task="hash 2") != base


def test_what_a_baseline_does_not_compute_is_no_part_of_its_id():
    empty = {"prompt": {"mode": "none"}, "train": {"frozen": True, "steps": 0}}
    one = changed(**empty, prior={"name": "xavier"}, seed=1)
    assert one == changed(**empty, prior={"name": "gaussian"}, seed=2)
    frozen = {"prompt": {"mode": "soft"}, "prior": {"name": "xavier"}}
    a, b = ({"frozen": True, "lr": lr} for lr in (0.1, 0.2))
    assert changed(**frozen, train=a) == changed(**frozen, train=b)
    assert changed(**frozen, train=a) != changed(**frozen, train={"frozen": False, "lr": 0.1})
    assert changed(**frozen, train=a, seed=1) != changed(**frozen, train=a, seed=2)


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_bytes(path, b"old")
    monkeypatch.setattr("os.fsync", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_same_tensors_give_the_same_bytes(tmp_path):
    tensors = {f"site/{i}": torch.full((2, 3), float(i)) for i in range(20)}
    metadata = {"b": 1, "a": {"d": 2, "c": 3}}
    write_tensors(tmp_path / "a", tensors, metadata)
    write_tensors(tmp_path / "b", dict(reversed(tensors.items())), dict(reversed(metadata.items())))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    found, read = read_tensors(tmp_path / "a")
    assert read == metadata
    assert torch.equal(found["site/7"], tensors["site/7"])


def test_json_has_no_nan(tmp_path):
    write_json(tmp_path / "a.json", {"x": float("nan"), "y": [float("inf"), 1.5]})
    assert read_json(tmp_path / "a.json") == {"x": None, "y": [None, 1.5]}


def test_toml_comes_back_without_its_nulls(tmp_path):
    write_toml(tmp_path / "a.toml", {"a": None, "b": {"c": [1, 2], "d": None}})
    assert read_toml(tmp_path / "a.toml") == {"b": {"c": [1, 2]}}


def test_a_last_line_cut_off_in_mid_write_is_left_out(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_text('{"step": 0}\n{"step": 1}\n{"st')
    assert read_json_lines(path) == [{"step": 0}, {"step": 1}]
    path.write_text('{"step": 0}\n{"st\n{"step": 2}\n')
    with pytest.raises(pp.InputError, match="is damaged"):
        read_json_lines(path)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\xff" * 100])
def test_a_damaged_safetensors_file_is_named(tmp_path, content):
    path = tmp_path / "prompt.safetensors"
    path.write_bytes(content)
    with pytest.raises(pp.InputError, match=r"prompt.safetensors is damaged"):
        read_tensors(path)


def test_a_foreign_or_missing_safetensors_file_is_named(tmp_path):
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, tmp_path / "foreign")
    with pytest.raises(pp.InputError, match="was not written by promptpriors"):
        read_tensors(tmp_path / "foreign")
    with pytest.raises(pp.InputError, match="no such file"):
        read_tensors(tmp_path / "missing")


def test_a_map_comes_back(tmp_path):
    plane = Map(
        "m",
        "embed",
        torch.rand(3, 2),
        torch.rand(4),
        torch.rand(2, 4),
        torch.rand(2),
        list("abc"),
        {},
    )
    write_map(tmp_path / "maps" / "x.safetensors", plane)
    found = read_map(tmp_path / "maps" / "x.safetensors")
    assert torch.equal(found.coordinates, plane.coordinates)
    assert (found.labels, found.model) == (plane.labels, "m")
    write_tensors(tmp_path / "y", {}, {"nothing": 1})
    with pytest.raises(pp.InputError, match="is not a map"):
        read_map(tmp_path / "y")


RESULT = dict.fromkeys(("val_loss_initial", "val_loss", "val_loss_best", "val_loss_none"), 1.5)


def fake(runs, name, result=True, error=None):
    folder = runs / name
    folder.mkdir(parents=True)
    sections = {"prior": {"name": "xavier"}, "prompt": {"mode": "soft"}, "train": {}}
    write_toml(folder / "config.toml", CONFIG | sections)
    if result:
        write_json(folder / "result.json", RESULT)
    if error:
        (folder / "error.txt").write_text(error)


def test_a_run_is_found_by_the_beginning_of_its_id(tmp_path):
    for name in ("abc1", "abd2"):
        fake(tmp_path, name)
    assert find_run("abc", tmp_path).id == "abc1"
    assert find_run(str(tmp_path / "abd2"), tmp_path).id == "abd2"
    with pytest.raises(pp.InputError, match="2 runs begin with 'ab'"):
        find_run("ab", tmp_path)
    with pytest.raises(pp.InputError, match="no run is called 'x'"):
        find_run("x", tmp_path)


def test_a_run_that_is_not_done_can_not_be_asked(tmp_path):
    fake(tmp_path, "half", result=False)
    fake(tmp_path, "bad", result=False, error="it broke")
    with pytest.raises(pp.InputError, match="is unfinished: start it again"):
        find_run("half", tmp_path)
    with pytest.raises(pp.InputError, match="is failed: it broke"):
        find_run("bad", tmp_path)
    assert {run.status for run in list_runs(tmp_path)} == {"unfinished", "failed"}


def test_runs_of_a_missing_folder_can_not_be_listed(tmp_path):
    with pytest.raises(pp.InputError, match="no such folder"):
        list_runs(tmp_path / "nowhere")


def test_a_run_is_held_by_one_process_at_a_time(tmp_path):
    with (
        held(tmp_path / "a"),
        pytest.raises(pp.InputError, match="another process"),
        held(tmp_path / "a"),
    ):
        pass
    with held(tmp_path / "a"):
        pass


def test_a_result_is_readable_json(tmp_path):
    fake(tmp_path, "abc")
    assert json.loads((tmp_path / "abc" / "result.json").read_text()) == RESULT


def test_a_run_of_an_adapter_has_no_prompt_to_load(tmp_path):
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "config.toml").write_text(
        'model = "tiny"\ntask = {name = "text"}\nprior = {name = "xavier"}\n'
        'prompt = {mode = "none"}\ntrain = {lora = 4}\n'
    )
    losses = ("val_loss_initial", "val_loss", "val_loss_best", "val_loss_none")
    (folder / "result.json").write_text(json.dumps(dict.fromkeys(losses, 1.0)))
    with pytest.raises(pp.InputError, match="an adapter of rank 4, a ceiling"):
        pp.load_prompt(folder)
