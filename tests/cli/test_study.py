"""The command for studies: what it prints, what it refuses, and that Ray's bytes are its own."""

import json
import socket

import pytest

from promptpriors.runs import list_runs
from tests.study.samples import write_study


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_study(tmp_path)


@pytest.mark.slow
def test_dry_run_shows_runs_and_a_forecast_and_makes_nothing(study, cli, tmp_path):
    status, out, _ = cli("study", study, "--dry-run", "--json")
    shown = json.loads(out)
    assert status == 0
    assert [row["state"] for row in shown["runs"]] == ["missing"] * 5
    assert shown["forecast"]["runs"] == 5
    assert shown["forecast"]["hours"] > 0
    assert shown["forecast"]["memory_mib_per_worker"] > 50
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_a_study_runs_and_a_second_start_finds_it(study, cli, tmp_path):
    status, out, err = cli("study", study, "--json")
    assert (status, {row["state"] for row in json.loads(out)["runs"]}) == (0, {"done"})
    assert "5 runs: 5 missing" in err
    assert "[5/5]" in err
    status, out, err = cli("study", study)
    assert status == 0
    assert "5 runs: 5 done" in err
    assert "[1/" not in err
    assert len(list_runs(tmp_path / "runs")) == 5


@pytest.mark.ray
def test_workers_of_ray_give_the_same_bytes(study, cli, tmp_path):
    assert cli("study", study, "--runs", "here")[0] == 0
    status, out, err = cli("study", study, "--runs", "there", "--workers", 2, "--json")
    assert status == 0, err
    for row in json.loads(out)["runs"]:
        one, other = (tmp_path / where / row["id"] for where in ("here", "there"))
        name = "prompt.safetensors"
        assert (one / name).read_bytes() == (other / name).read_bytes()


@pytest.mark.slow
def test_a_failed_run_is_named_and_tried_again(study, cli, tmp_path):
    _, out, _ = cli("study", study, "--dry-run", "--json")
    folder = tmp_path / "runs" / json.loads(out)["runs"][1]["id"]
    (folder / "metrics.jsonl").mkdir(parents=True)  # where a file is to stand
    status, _, err = cli("study", study)
    assert status == 1
    assert "1 runs failed" in err
    assert "metrics.jsonl" in err, err
    status, _, err = cli("study", study)
    assert status == 1
    assert "5 runs: 4 done, 1 failed (tried again)" in err
    (folder / "metrics.jsonl").rmdir()
    status, _, err = cli("study", study)
    assert (status, "[1/1]" in err) == (0, True)


def test_a_space_that_is_not_there_is_found_before_any_run(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    prior = {"name": "points", "space": "store:nowhere"}
    study = write_study(tmp_path, arms={"bad": {"prior": prior}}, compare={})
    status, _, err = cli("study", study)
    assert status == 2
    assert "nowhere" in err
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_more_runs_than_the_limit_need_yes(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = write_study(tmp_path, resources={"cpus": 1, "limit": 4})
    status, _, err = cli("study", study)
    assert status == 2
    assert "5 runs, more than its limit of 4" in err
    assert not (tmp_path / "runs").exists()
    assert cli("study", study, "--yes")[0] == 0


@pytest.mark.ray
def test_an_address_where_no_ray_is_is_refused_in_seconds(study, cli, tmp_path):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        for address in (f"127.0.0.1:{port}", "127.0.0.1:1", "nonsense"):
            status, _, err = cli("study", study, "--ray", address)
            assert status == 2
            assert f"no Ray cluster answers at {address}" in err
            lines = err.strip().splitlines()
            assert len([line for line in lines if not line.startswith("note: ")]) <= 3
    assert not (tmp_path / "runs" / "maps").exists()


def test_workers_and_an_address_are_one_too_many(study, cli):
    status, _, err = cli("study", study, "--ray", "auto", "--workers", 2)
    assert status == 2
    assert "one of them" in err
