"""What `list` reads from source is what the tables hold."""

import json

import pytest

from promptpriors.cli.list import methods, read_methods
from promptpriors.data import TASKS
from promptpriors.priors import PRIORS
from tests.report.sample import build_runs, config, finished

OWN = {"name": "jsonl", "path": "my.jsonl"}
TRAIN = {"steps": 40, "lr": 0.01}


@pytest.mark.parametrize(
    ("package", "name", "table"), [("priors", "PRIORS", PRIORS), ("data", "TASKS", TASKS)]
)
def test_methods_read_from_source_are_those_of_the_table(package, name, table):
    assert read_methods(package, name) == methods(table)


def test_runs_are_listed_with_data_steps_rate_scores_and_time(cli, tmp_path):
    folder = build_runs(tmp_path / "runs")
    finished(folder, f"{20:016x}", config("xavier", task=OWN, train=TRAIN), None, 1.0, 4)
    status, out, _ = cli("list", "runs", "--runs", str(folder), "--json")
    assert status == 0
    rows = {row["id"]: row for row in json.loads(out)}
    own = rows[f"{20:016x}"]
    assert (own["task"], own["data"]) == ("jsonl", "my.jsonl")
    assert (own["steps"], own["rate"]) == (40, 0.01)
    assert own["exact_match"] is not None
    assert own["seconds"] > 0
    assert rows[f"{0:016x}"]["rate"] == "0.1 relative"
    _, shown, _ = cli("list", "runs", "--runs", str(folder))
    assert shown.splitlines()[0].split()[-2:] == ["accuracy", "seconds"]
