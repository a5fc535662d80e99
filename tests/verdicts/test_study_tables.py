"""A study's tables: what is planted is found, what is missing is said, controls decide."""

import json
import random

import pytest

from promptpriors.analysis.power import difference_power, equality_power
from promptpriors.compare import compare, write_tables
from promptpriors.errors import Note
from promptpriors.progress import silent
from promptpriors.running.workspace import Workspace
from promptpriors.runs.studies import Comparison, StudyRun
from promptpriors.runs.study_results import read_study_result
from promptpriors.verdicts.judge import judge
from promptpriors.verdicts.outcomes import (
    RunOutcome,
    Setting,
    read_settings,
)
from promptpriors.verdicts.results import study_results
from promptpriors.verdicts.study_tables import study_tables
from tests.verdicts.studies import FLOOR, RATES, Study

EQUAL = {"vocabulary": 0.0, "gaussian": 0.0, "xavier": 0.0}
APART = EQUAL | {"xavier": 0.5}


def records(tables):
    return {
        table.name: [dict(zip(table.columns, row, strict=True)) for row in table.rows]
        for table in tables
    }


def read_tables(folder):
    return study_tables(study_results(read_settings(folder)))


def tables_of(study, folder, **changes):
    study.write(folder, **changes)
    return records(read_tables(folder))


def setting_of(study):
    """The study's runs without a folder."""
    runs = [
        RunOutcome(StudyRun(**row), loss, "", None)
        for row, loss in study.planned()
        if (row["arm"], row["rate"], row["seed"]) not in study.lost
    ]
    rules = Comparison(
        reference=study.reference, margin=study.margin, metric="val_loss", controls=True
    )
    return Setting(study.name, study.setting, rules, runs)


def answers(found):
    return {row["question"]: row for row in found["verdicts"]}


@pytest.mark.slow
def test_a_planted_difference_is_found_and_none_where_none_is(tmp_path):
    found = tables_of(Study(APART), tmp_path)
    rows = {row["arm"]: row for row in found["differences"]}
    assert rows["xavier"]["verdict"] == "higher"
    assert rows["xavier"]["low"] < 0.5 < rows["xavier"]["high"]
    assert rows["gaussian"]["verdict"] == "equal"
    assert -rows["gaussian"]["margin"] < rows["gaussian"]["low"]
    assert rows["gaussian"]["high"] < rows["gaussian"]["margin"]
    assert [rows[arm]["kind"] for arm in rows] == ["arm", "arm", "positive", "negative"]
    assert rows["positive control"]["difference"] == pytest.approx(1, abs=0.1)
    said = answers(found)
    assert said["do priors differ?"]["verdict"] == "yes: xavier higher"
    assert said["do priors differ?"]["value"] == rows["xavier"]["p"]
    assert said["are all priors equal?"]["verdict"] == "no"
    pairs = {(row["first"], row["second"]): row["verdict"] for row in found["equality"]}
    assert pairs == {
        ("vocabulary", "gaussian"): "equal",
        ("vocabulary", "xavier"): "different",
        ("gaussian", "xavier"): "different",
        ("all pairs", ""): "different",
    }


def test_equal_arms_come_out_equal_with_their_controls(tmp_path):
    said = answers(tables_of(Study(EQUAL), tmp_path))
    assert {q: row["verdict"] for q, row in said.items()} == {
        "positive control": "passed",
        "negative control": "passed",
        "does the task decide anything?": "yes",
        "do priors differ?": "undecided",
        "are all priors equal?": "yes",
    }
    assert said["does the task decide anything?"]["value"] == pytest.approx(0.75, abs=0.05)


@pytest.mark.slow
def test_noise_as_large_as_the_margin_leaves_equality_undecided_and_the_control_failed(tmp_path):
    found = tables_of(Study(EQUAL, draw=0.15), tmp_path)
    said = answers(found)
    assert said["negative control"]["verdict"] == "failed"
    assert "the negative control failed" in said["are all priors equal?"]["verdict"]


@pytest.mark.parametrize(
    ("draw", "verdicts"), [(0.01, ["higher", "equal"]), (0.04, ["undecided", "undecided"])]
)
def test_an_arm_that_is_not_told_apart_is_equal_only_where_its_interval_lies_within_the_margin(
    tmp_path, draw, verdicts
):
    found = tables_of(Study(EQUAL | {"gaussian": 0.04}, draw=draw), tmp_path)
    rows = [row for row in found["differences"] if row["kind"] == "arm"]
    assert [row["verdict"] for row in rows] == verdicts


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"positive": 0.0}, "none: the positive control failed"),
        ({"negative": 0.5}, "none: the negative control failed"),
        ({"positive": None}, "none: the positive control missing (no runs)"),
        ({"negative": None}, "none: the negative control missing (no runs)"),
        (
            {"lost": {("positive control", RATES[0], seed) for seed in range(2)}},
            "none: the positive control missing (2 of 4 runs are missing)",
        ),
        (
            {"level": 2.75},
            "none: the best arm covers 12% of the way from floor to ceiling, less than a fifth",
        ),
        ({"ceiling": None}, "none: the negative control missing (there is no margin); there is no"),
        ({"ceiling": 3.5}, "the ceiling (3.5) is no better than the floor (3)"),
    ],
)
def test_without_its_controls_and_a_task_that_decides_a_study_has_no_verdict(
    tmp_path, changes, words
):
    found = tables_of(Study(APART, order=0.0, **changes), tmp_path)
    said = answers(found)
    rows = [said["do priors differ?"], said["are all priors equal?"]]
    rows += found["differences"] + found["equality"]
    assert all(row["verdict"].startswith("none: ") for row in rows)
    assert all(words in row["verdict"] for row in rows if row.get("p") is not None)
    assert found["differences"][1]["difference"] == pytest.approx(0.5, abs=0.1)


def test_without_a_ceiling_pairs_have_intervals_and_no_margin(tmp_path):
    found = tables_of(Study(EQUAL, ceiling=None), tmp_path)
    pair, *_, whole = found["equality"]
    assert pair["low"] < pair["difference"] < pair["high"]
    assert (pair["p"], pair["margin"], whole["p"]) == (None, None, None)
    assert found["power"][0]["residual sd"] > 0
    assert "no ceiling run" in found["power"][0]["note"]
    assert all(row["share"] is None for row in found["arms"])


def test_runs_that_diverged_are_counted_named_and_left_out_of_means(tmp_path):
    lost = {("xavier", RATES[1], 2)}
    study = Study(EQUAL, order=1.0, lost=lost)
    found = tables_of(study, tmp_path)
    row = next(row for row in found["arms"] if row["arm"] == "xavier")
    assert (row["runs"], row["missing"], row["seeds"]) == (7, 1, 3)
    assert row["missing runs"].endswith(": Diverged: the loss became NaN at step 7")
    difference = next(row for row in found["differences"] if row["arm"] == "xavier")
    assert abs(difference["difference"]) < 0.1  # the seeds differ by 1, and it has one less
    assert answers(found)["are all priors equal?"]["verdict"] == "yes"


@pytest.mark.slow
def test_an_arm_that_lacks_more_than_a_fifth_has_no_verdict_and_the_others_have(tmp_path):
    lost = {("gaussian", RATES[1], seed) for seed in range(2)}
    found = tables_of(Study(APART, lost=lost), tmp_path)
    rows = {row["arm"]: row for row in found["differences"]}
    assert rows["gaussian"]["verdict"] == "none: 2 of 8 runs are missing"
    assert rows["gaussian"]["difference"] is None
    assert rows["xavier"]["verdict"] == "higher"
    said = answers(found)
    assert said["do priors differ?"]["verdict"].startswith("yes: xavier higher (nothing is said of")
    whole = tables_of(Study(EQUAL, lost=lost, name="other"), tmp_path / "other")
    assert answers(whole)["are all priors equal?"]["verdict"] == (
        "none: of gaussian 2 of 8 runs are missing"
    )
    assert whole["equality"][-1]["verdict"].startswith("none: of gaussian")
    assert next(r for r in whole["arms"] if r["arm"] == "gaussian")["mean"] is not None


def test_a_reference_that_lacks_more_than_a_fifth_leaves_nothing(tmp_path):
    lost = {("vocabulary", RATES[1], seed) for seed in range(2)}
    found = tables_of(Study(APART, lost=lost), tmp_path)
    assert all(row["verdict"].startswith("none: ") for row in found["differences"])
    assert "of the reference 2 of 8" in answers(found)["do priors differ?"]["verdict"]


@pytest.mark.slow
def test_a_rate_that_an_arm_lacks_altogether_is_left_out_for_all_and_said(tmp_path):
    rates = tuple(f"{0.02 * i:g} relative" for i in range(1, 7))
    lost = {("xavier", rates[-1], seed) for seed in range(4)}
    found = tables_of(Study(EQUAL, rates=rates, lost=lost), tmp_path)
    arms = [row for row in found["arms"] if row["kind"] == "arm"]
    assert [(row["rates"], row["rates left out"]) for row in arms] == [(5, rates[-1])] * 3
    assert answers(found)["are all priors equal?"]["verdict"] == "yes"


def test_arms_have_their_best_rate_and_shares_of_the_way(tmp_path):
    found = tables_of(Study(EQUAL, noise=1e-3, draw=1e-3, order=1e-3), tmp_path)
    rows = {row["arm"]: row for row in found["arms"]}
    mine = rows["gaussian"]
    assert mine["low"] < mine["mean"] < mine["high"]
    assert (mine["mean"], mine["mean at the best rate"]) == pytest.approx((1.55, 1.5), abs=0.01)
    assert (mine["share"], mine["share at the best rate"]) == pytest.approx((0.725, 0.75), abs=0.01)
    assert mine["best rate"] == RATES[0]
    assert (rows["none"]["mean"], rows["none"]["share"]) == (FLOOR, 0)
    assert rows["lora 16"]["share at the best rate"] == 1
    assert rows["lora 16"]["best rate"] == "0.001"
    assert [row["kind"] for row in found["arms"]] == (
        ["arm"] * 3 + ["positive", "negative", "baseline", "baseline", "ceiling"]
    )


@pytest.mark.slow
def test_power_is_of_the_spread_that_the_runs_have(tmp_path):
    (row,) = tables_of(Study(EQUAL, draw=0.03, noise=0.04, seeds=40), tmp_path)["power"]
    assert row["residual sd"] == pytest.approx((0.03**2 + 0.04**2 / 2) ** 0.5, rel=0.2)
    assert (row["df"], row["margin"]) == (2 * 39, pytest.approx(0.1))
    given = {"sd": row["residual sd"], "units": 40, "arms": 3, "df": 78}
    assert row["power, equality"] == pytest.approx(equality_power(**given, margin=0.1))
    assert row["power, difference"] == pytest.approx(difference_power(**given, difference=0.1))
    for name, power in (("equality", equality_power), ("difference", difference_power)):
        word = "margin" if name == "equality" else "difference"
        seeds = row[f"runs for 80 %, {name}"] // 2

        def at(n, power=power, word=word):
            return power(**given | {"units": n, "df": 2 * (n - 1)}, **{word: 0.1})

        assert at(seeds) >= 0.8 > at(seeds - 1)


@pytest.mark.slow
def test_variance_is_put_down_to_where_it_was_planted(tmp_path):
    rows = tables_of(Study(EQUAL, order=0.5, draw=0.2, noise=0.02, seeds=30), tmp_path)
    found = {row["source"]: row["variance"] for row in rows["components"]}
    assert found["seed, all arms alike (order)"] == pytest.approx(0.25, rel=0.5)
    assert found["seed within an arm (draw)"] == pytest.approx(0.04, rel=0.5)
    assert found["residual"] == pytest.approx(0.0004, rel=0.5)
    assert found["rate"] == pytest.approx(0.005, rel=0.2)  # two rates 0.1 apart
    assert sum(row["share"] for row in rows["components"]) == pytest.approx(1)


@pytest.mark.slow
def test_draws_crossed_with_orders_are_told_apart_and_draws_are_the_units(tmp_path):
    study = Study(APART, crossed=5, seeds=4, order=0.5, draw=0.1)
    found = tables_of(study, tmp_path)
    variances = {row["source"]: row["variance"] for row in found["components"]}
    assert set(variances) == {"arm", "rate", "arm × rate", "order", "draw", "residual"}
    assert variances["draw"] == pytest.approx(0.01, rel=0.8)
    assert variances["residual"] == pytest.approx(0.0004, rel=0.3)
    row = next(row for row in found["arms"] if row["arm"] == "xavier")
    assert (row["runs"], row["seeds"], row["rates"]) == (40, 5, 8)
    assert found["power"][0]["df"] == 2 * 4
    assert found["differences"][1]["difference"] == pytest.approx(0.5, abs=0.2)


def test_curves_at_rest_and_steps_to_the_worst_arms_loss(tmp_path):
    study = Study(APART, order=0.0, noise=1e-3, draw=1e-3, falling=("gaussian",))
    rows = {row["arm"]: row for row in tables_of(study, tmp_path)["plateaus"]}
    assert {arm: row["runs at rest"] for arm, row in rows.items()} == {
        "vocabulary": 8, "gaussian": 0, "xavier": 8, "vocabulary, second name": 8,
    }  # fmt: skip
    loss = rows["xavier"]["loss"]
    assert loss == pytest.approx(1.5 + 0.5 + 0.05, abs=0.01)
    assert rows["vocabulary"]["steps to loss"] < rows["gaussian"]["steps to loss"]
    assert (rows["vocabulary"]["censored"], rows["xavier"]["censored"]) == (0, 4)
    assert rows["xavier"]["steps to loss"] > 30  # at the higher rate it never gets there
    for row in rows.values():
        assert row["low"] <= row["steps to loss"] <= row["high"] <= row["of steps"] == 60
    assert rows["vocabulary"]["less reference"] is None
    again = rows["vocabulary, second name"]
    assert again["less reference, low"] < 0 < again["less reference, high"]
    for arm in ("gaussian", "xavier"):
        row = rows[arm]
        more = row["steps to loss"] - rows["vocabulary"]["steps to loss"]
        assert row["less reference"] == pytest.approx(more)
        assert 0 < row["less reference, low"] < row["less reference"] < row["less reference, high"]


@pytest.mark.slow
def test_settings_and_studies_are_judged_each_by_itself(tmp_path):
    one, other = Study(APART, setting="deep", name="a"), Study(EQUAL, setting="soft", name="a")
    rows = [*one.write(tmp_path), *other.write(tmp_path)]
    other.write(tmp_path / "x", runs=rows)  # a record of both
    (tmp_path / "x" / "studies" / "a.json").replace(tmp_path / "studies" / "a.json")
    Study({"vocabulary": 0.0, "xavier": -0.5}, name="b").write(tmp_path)
    found = records(read_tables(tmp_path))["verdicts"]
    said = {
        (row["study"], row["setting"]): row["verdict"]
        for row in found
        if row["question"] == "do priors differ?"
    }
    assert said == {
        ("a", "deep"): "yes: xavier higher",
        ("a", "soft"): "undecided",
        ("b", ""): "yes: xavier lower",
    }


def test_scores_may_be_compared_where_more_is_better(tmp_path):
    found = tables_of(Study(APART, metric="scores.accuracy"), tmp_path)
    rows = {row["arm"]: row for row in found["differences"]}
    assert rows["xavier"]["verdict"] == "lower"
    assert rows["xavier"]["margin"] == pytest.approx(0.1 / FLOOR)
    assert next(r for r in found["arms"] if r["arm"] == "gaussian")["best rate"] == RATES[0]
    assert all(row["runs at rest"] is None for row in found["plateaus"])


def test_an_objective_is_better_the_lower_it_is():
    rules = Comparison(reference=None, margin=0.05, metric="val_objective", controls=True)
    assert Setting("study", "", rules, []).lower_is_better


def test_an_arm_that_is_the_positive_control_as_well_is_not_counted_beside_it():
    setting = setting_of(Study(APART | {"large": 1.0}))
    ids = {(r.plan.rate, r.plan.seed): r.plan.id for r in setting.runs if r.plan.arm == "large"}
    runs = [
        run._replace(plan=run.plan.model_copy(update={"id": ids[run.plan.rate, run.plan.seed]}))
        if run.plan.kind == "positive"
        else run
        for run in setting.runs
    ]
    shared = judge(Setting(setting.study, "", setting.compare, runs)).controls["positive"]
    without = [run for run in setting.runs if run.plan.arm != "large"]
    alone = judge(Setting(setting.study, "", setting.compare, without)).controls["positive"]
    assert shared.result.state == "passed"
    assert shared.row == alone.row


def test_one_seed_is_too_few_and_the_tables_say_so(tmp_path):
    found = tables_of(Study(APART, seeds=1), tmp_path)
    assert "expected 2 arms with 2 seeds" in found["power"][0]["note"]
    assert all(row["verdict"].startswith("none: ") for row in found["differences"])
    assert found["arms"][0]["mean"] is not None


def test_one_arm_alone_has_nothing_to_be_compared_with(tmp_path):
    found = tables_of(Study({"vocabulary": 0.0}), tmp_path)
    assert not found["equality"]
    said = answers(found)
    assert said["positive control"]["verdict"] == "passed"
    assert "nothing to compare" in said["do priors differ?"]["verdict"]
    assert said["are all priors equal?"]["verdict"] == "none: there is one arm"


@pytest.mark.slow
def test_equal_arms_are_called_different_in_few_studies():
    """Draws matter here, which runs of one seed share: about one study in twenty may be wrong."""
    wrong = right = 0
    for seed in range(100):
        judged = judge(setting_of(Study(EQUAL, draw=0.03, random=seed)))
        wrong += min(row.p for row in judged.differences.values()) <= 0.05
        right += judged.controls["positive"].result.state == "passed"
    assert wrong <= 12
    assert right == 100


@pytest.mark.slow
def test_a_run_that_is_not_there_or_half_done_or_damaged_is_named(tmp_path):
    rows = [row for row in Study(EQUAL, seeds=6).write(tmp_path) if row["arm"] == "xavier"]
    (tmp_path / rows[0]["id"] / "result.json").unlink()
    (tmp_path / rows[1]["id"] / "result.json").write_text("{")
    found = records(read_tables(tmp_path))["arms"]
    row = next(row for row in found if row["arm"] == "xavier")
    assert (row["runs"], row["missing"]) == (10, 2)
    assert f"{rows[0]['id']}: not finished" in row["missing runs"]
    assert "is not readable JSON" in row["missing runs"]
    (tmp_path / rows[2]["id"]).rename(tmp_path / "elsewhere")
    found = records(read_tables(tmp_path))["arms"]
    assert any(f"{rows[2]['id']}: not begun" in row["missing runs"] for row in found)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 9}, "has format 9, expected 1"),
        ({"compare": {"metric": "val_loss"}}, "needs the parameter"),
        ({"runs": [{"id": "../x"}]}, "should match pattern"),
        ({"runs": 3}, "runs"),
    ],
)
def test_a_damaged_record_is_left_out_by_name(tmp_path, change, words):
    Study(EQUAL, seeds=2).write(tmp_path, **change)
    with pytest.warns(Note, match=f"study 'screening' is left out: .*{words}"):
        assert read_settings(tmp_path) == []


def test_a_record_that_is_no_object_and_an_unknown_metric_cost_their_study_alone(tmp_path):
    Study(EQUAL, seeds=2, metric="val_los").write(tmp_path)
    record = (tmp_path / "studies" / "screening.json").read_text()
    other = record.replace('"screening"', '"other"').replace("val_los", "val_loss")
    (tmp_path / "studies" / "other.json").write_text(other)
    with pytest.warns(Note, match=r"'val_los' is no number .* they have .*val_loss"):
        assert {setting.study for setting in read_settings(tmp_path)} == {"other"}
    (tmp_path / "studies" / "screening.json").write_text("[]")
    with pytest.warns(Note, match="expected a JSON object"):
        assert {setting.study for setting in read_settings(tmp_path)} == {"other"}


@pytest.mark.slow
def test_compare_gives_a_studys_tables_without_any_vectors(tmp_path):
    Study(APART).write(tmp_path)
    with pytest.warns(
        Note,
        match=r"positions: 36 runs without the vectors of their start \(\w+, \w+, \w+, …\)",
    ):
        tables = compare(tmp_path, Workspace(), silent)
    names = [table.name for table in tables]
    assert names == [
        "position", "priors", "pairs", "use", "bridge", "arms", "differences", "equality", "power",
        "components", "plateaus", "verdicts",
    ]  # fmt: skip
    write_tables(tables, tmp_path)
    stored = {t["name"]: t for t in json.loads((tmp_path / "compare.json").read_text())["tables"]}
    assert len(stored["verdicts"]["rows"]) == 5
    assert (tmp_path / "compare" / "arms.csv").read_text().startswith("study,setting,arm,kind,runs")
    assert (
        read_study_result(tmp_path / "studies" / "screening.result.json")
        == study_results(read_settings(tmp_path)).pop()
    )
    assert read_settings(tmp_path)  # the result is taken for no record


def test_a_folder_without_studies_has_none_of_their_tables(tmp_path):
    assert read_tables(tmp_path) == []


def test_the_order_of_runs_in_the_record_changes_nothing():
    setting = setting_of(Study(APART))
    mixed = random.Random(0).sample(list(setting.runs), len(setting.runs))
    one, other = (
        judge(Setting(setting.study, "", setting.compare, runs)).differences["xavier"]
        for runs in (setting.runs, mixed)
    )
    assert one.model_dump() == pytest.approx(other.model_dump())
