"""Runs compared: what is planted is found, what can't be told is said, the rest goes on."""

import csv
import json
import shutil
from itertools import count

import pytest
import torch

import promptpriors as pp
from promptpriors.compare import compare, write_tables
from promptpriors.compare.tables import Measured, priors_table, use_table
from promptpriors.config.run import parse_config
from promptpriors.errors import Note
from promptpriors.figures.styles import run_styles
from promptpriors.files import write_json
from promptpriors.measure.position import Cloud, Ends, position
from promptpriors.progress import silent
from promptpriors.rng import generator
from promptpriors.running.run import execute
from promptpriors.running.workspace import Workspace
from promptpriors.runs import list_runs
from promptpriors.runs.positions import Position
from tests.report.sample import build_runs

TASK = {"name": "mathematics", "train": 16, "validation": 4, "test": 0}
TRAIN = {"steps": 2, "batch": 4, "evaluate_every": 1}


def config(prior, seed=0, **more):
    plain = {"model": "tiny", "task": TASK, "prior": prior, "seed": seed, "train": TRAIN}
    return parse_config({**plain, "prompt": {"length": 3}, **more})


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare") / "runs"
    workspace = Workspace()
    for seed in range(6):
        execute(config("gaussian", seed), folder, workspace)
    execute(config("vocabulary"), folder, workspace)
    deep = {"prompt": {"mode": "deep-cut", "length": 3, "sites": ["embed"]}}
    execute(config("gaussian", **deep), folder, workspace)
    return folder


@pytest.fixture(scope="module")
def tables(runs):
    return {table.name: table for table in compare(runs, Workspace(), silent)}


def records(table):
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


def test_priors_are_compared_by_scores_as_well_as_by_losses(tmp_path):
    listed = {run.id: run for run in list_runs(build_runs(tmp_path))}
    mine = [Measured(listed[f"{i:016x}"], {}, {("embed", "raw"): Position()}) for i in (0, 1)]
    table = priors_table({("setting", ""): {"gaussian": mine}})
    (row,) = records(table)
    scores = [found.run.result["scores"]["exact_match"] for found in mine]
    assert row["scores.exact_match"] == pytest.approx(sum(scores) / len(scores))


def test_a_damaged_measurement_costs_its_run_alone(tmp_path):
    one, other = list_runs(build_runs(tmp_path))[:2]
    change = {"change": 0.1, "low": None, "high": None}
    use = {
        "examples": 4,
        "loss": 2.0,
        "masked": {"vectors": [change], "all": change},
        "halves": {},
        "attention": {"answers": {"by_head": [[0.5]]}},
    }
    one.write_record("use.json", use)
    other.write_record("use.json", {**use, "masked": {"vectors": [], "all": change}})
    with pytest.warns(Note, match=r"left out: .*use.json, masked.vectors: List should have"):
        rows = records(use_table([one, other], run_styles([one, other])))
    assert [row["run"] for row in rows] == [one.id]


@pytest.mark.slow
def test_every_run_has_a_row_and_a_deep_one_is_seen_twice(tables):
    rows = records(tables["position"])
    kinds = [row["coordinates"] for row in rows]
    assert (kinds.count("raw"), kinds.count("visible")) == (8, 1)
    assert all(0 < row["displacement"] < 1 for row in rows)
    assert all(0 < row["p, moved"] <= 1 for row in rows)


@pytest.mark.slow
def test_a_prior_over_six_seeds_has_intervals_and_tests(tables):
    six = next(row for row in records(tables["priors"]) if row["runs"] == 6)
    low, high = (float(part) for part in six["val_loss, 95 %"].split(" to "))
    assert low < six["val_loss"] < high
    assert 0.9 < six["memory"] <= 1  # two steps leave prompts where they started
    assert six["p, memory"] <= 0.01
    assert 0 < six["p, nearest beyond moved"] <= 1


def test_too_few_seeds_say_how_many_are_needed(tables):
    one = next(row for row in records(tables["priors"]) if row["prior"] == "vocabulary")
    assert one["val_loss, 95 %"] == "needs 2 seeds"
    assert "expected 6 at least" in one["p, nearest beyond moved"]
    pair = next(row for row in records(tables["pairs"]) if row["runs"] == "6 and 1")
    assert "expected 4 at least" in pair["p"]


def test_a_loss_that_is_not_finite_is_left_out_of_its_mean(runs, tmp_path):
    folder = shutil.copytree(runs, tmp_path / "runs")
    (alone,) = (run for run in list_runs(folder) if run.config["prior"]["name"] == "vocabulary")
    (first, *_) = (run for run in list_runs(folder) if run.config["seed"] == 1)
    for run in (alone, first):
        write_json(run.folder / "result.json", {**run.result, "val_loss": None})
    found = {table.name: records(table) for table in compare(folder, Workspace(), silent)}
    by_runs = {row["runs"]: row for row in found["priors"] if row["prior"] == "gaussian"}
    assert by_runs[6]["val_loss"] > 0
    one = next(row for row in found["priors"] if row["prior"] == "vocabulary")
    assert (one["val_loss"], one["val_loss, 95 %"]) == (None, "not finite")
    assert one["val_loss_best"] > 0
    assert not found["pairs"]


def test_tables_are_stored_as_json_and_csv(tables, runs):
    write_tables(list(tables.values()), runs)
    stored = json.loads((runs / "compare.json").read_text())["tables"]
    assert [table["name"] for table in stored] == ["position", "priors", "pairs", "use", "bridge"]
    with (runs / "compare" / "position.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows[0] == tables["position"].columns
    assert float(rows[1][4]) == tables["position"].rows[0][4]


def test_unfinished_and_foreign_runs_are_named_and_the_rest_goes_on(runs, tmp_path):
    folder = tmp_path / "runs"
    shutil.copytree(runs, folder)
    some = sorted(folder.glob("*/result.json"))
    some[0].unlink()
    execute(parse_config({"model": "tiny", "task": {**TASK, "seed": 1}, "prior": "xavier",
                          "train": TRAIN}), folder, Workspace())  # fmt: skip
    with pytest.warns(Note) as said:
        found = compare(folder, Workspace(), silent)
    words = " ".join(str(warning.message) for warning in said)
    assert f"left out: run {some[0].parent.name} is unfinished" in words
    assert "mixes models or tasks" in words
    assert len({row[0] for row in found[0].rows}) == 8


def test_a_folder_without_finished_runs_is_refused(tmp_path):
    with pytest.raises(pp.InputError, match="no finished run with the vectors of a prompt"):
        compare(tmp_path, Workspace(), silent)


def test_a_prompt_planted_on_rows_is_found_and_a_random_move_is_not():
    cloud = torch.randn(500, 16, generator=generator(1))
    start = torch.randn(5, 16, generator=generator(2)) * 1.5
    prior = type("Fixed", (), {"sample": lambda self, n, *, generator: 1.5 * torch.randn(
        n, 16, generator=generator)})()  # fmt: skip
    numbers = count()

    def p(end):
        ends = Ends(f"run {next(numbers)}", "embed", start, end, [0.1] * 10)
        return position(ends, Cloud(cloud), prior, None).moved.p

    assert p(cloud[:5] + 0.01) == 0.01
    assert min(p(start + torch.randn(5, 16, generator=generator(3, i))) for i in range(5)) > 0.01


def test_positions_do_not_depend_on_a_vectors_length_as_a_block_sees_it(tiny):
    from promptpriors.models.visible import visible

    sight = visible(tiny, "block.1")
    start = torch.randn(4, 32, generator=generator(0))
    end = start + 0.3 * torch.randn(4, 32, generator=generator(1))
    found = [
        position(Ends("a", "block.1", c * start, c * end, []), None, None, sight).flat()
        for c in (1.0, 10.0)
    ]
    assert found[0] == pytest.approx(found[1], rel=1e-3)


@pytest.mark.slow
def test_what_vectors_do_is_measured_when_asked_and_shown_ever_after(runs, tmp_path):
    folder = tmp_path / "runs"
    for run in sorted(runs.glob("*/config.toml"))[:2]:
        shutil.copytree(run.parent, folder / run.parent.name)
    assert not compare(folder, Workspace(), silent)[-2].rows
    found = records(compare(folder, Workspace(), silent, use=4)[-2])
    assert len(found) == 2
    assert all(row["examples"] == 4 and 0 <= row["attention"] <= 1 for row in found)
    assert records(compare(folder, Workspace(), silent)[-2]) == found
    with pytest.warns(Note, match="has 4 examples; expected at least 5"):
        compare(folder, Workspace(), silent, use=5)


def test_whether_prompts_bridge_domains_is_measured_when_asked(runs, tmp_path):
    folder = tmp_path / "runs"
    run = sorted(runs.glob("*/config.toml"))[0].parent
    shutil.copytree(run, folder / run.name)
    texts = [json.dumps({"text": f"Text {i} tells of {i % 7} things."}) for i in range(40)]
    (tmp_path / "c4").mkdir()
    (tmp_path / "c4" / "some.jsonl").write_text("\n".join(texts))
    (found,) = records(compare(folder, Workspace(tmp_path), silent, bridge=12)[-1])
    assert (found["other domain"], found["documents"]) == ("c4", 12)
    assert 0 < found["separation"] < 2
    with pytest.warns(Note, match="the bridge of run .* left out: .* needs 8 documents, found 4"):
        compare(folder, Workspace(tmp_path), silent, bridge=4)
