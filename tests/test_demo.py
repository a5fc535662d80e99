"""The demo, played with the tiny model: four runs, one page, and nothing done twice."""

import json
import sys

import pytest

from promptpriors import demo
from promptpriors.cli import main
from promptpriors.runs import list_runs


@pytest.fixture
def small(monkeypatch, tmp_path):
    task = demo.BASE["task"] | {"train": 20, "validation": 6, "test": 3}
    train = demo.BASE["train"] | {"steps": 2, "evaluate_every": 1}
    monkeypatch.setattr(demo, "BASE", {**demo.BASE, "model": "tiny", "task": task, "train": train})
    monkeypatch.chdir(tmp_path)
    return tmp_path


def play(monkeypatch, capsys, *more):
    monkeypatch.setattr(sys, "argv", ["promptpriors", "demo", *more])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    return capsys.readouterr()


@pytest.mark.slow
def test_the_demo_says_what_it_will_take_and_ends_in_a_report(small, monkeypatch, capsys):
    out, err = play(monkeypatch, capsys)
    assert "min here" in err
    assert "tokens per second forward and backward" in err
    assert out.strip().endswith("demo/report.html")
    page = (small / "demo" / "report.html").read_text()
    runs = list_runs(small / "demo" / "runs")
    assert [run.status for run in runs] == ["done"] * len(demo.PRIORS)
    assert all(run.id in page for run in runs)


@pytest.mark.slow
def test_a_second_start_reuses_finished_runs(small, monkeypatch, capsys):
    play(monkeypatch, capsys)
    stamps = {p: p.stat().st_mtime_ns for p in small.glob("demo/runs/*/result.json")}
    out, err = play(monkeypatch, capsys, "--json")
    assert {p: p.stat().st_mtime_ns for p in stamps} == stamps
    assert "done before" in err
    assert len(json.loads(out)["runs"]) == len(demo.PRIORS)
