"""Claims are judged by what is planted: each rule can confirm, refute and leave open."""

import json
import random
import tomllib
from pathlib import Path

import pytest

from promptpriors.errors import InputError
from promptpriors.files import write_json
from promptpriors.paper import claims_table, judge_claims, paper_claims, read_analysis
from promptpriors.paper.figure_rules import judge, judge_figures
from promptpriors.paper.values import check_address
from promptpriors.runs import Run
from promptpriors.runs.claims import read_claims, write_claims
from promptpriors.runs.positions import NullComparison, Position, write_positions
from tests.verdicts.studies import RATES, Study

ARMS = {"vocabulary": 0.0, "match": 0.0, "gaussian": 0.0}
SHIPPED = Path(__file__).resolve().parents[2] / "configs" / "paper" / "analysis.toml"


def claim(folder, rule, study="screening", **more):
    """One claim judged by one rule."""
    path = folder / "analysis.toml"
    lines = [f"{key} = {json.dumps(value)}" for key, value in more.items()]
    inner = ", ".join(f"{key} = {json.dumps(value)}" for key, value in rule.items())
    path.write_text(
        f'[[claims]]\nclaim = 2\nstudy = "{study}"\nstatistic = "one"\n'
        f'decides = "more seeds"\nrule = {{{inner}}}\n' + "\n".join(lines)
    )
    (found,) = judge_claims(read_analysis(path), folder)
    return found


def judged(folder, rule, study="screening", **more):
    """The study's evidence on one claim by one rule."""
    return claim(folder, rule, study, **more).study


def plant(folder, rows, value, field="kept"):
    """Write a position for each run of an arm: ``value`` of its row under a field."""
    for row in rows:
        if row["kind"] in {"arm", "positive", "negative"}:
            found = {("embed", "raw"): Position.model_validate({field: value(row)})}
            write_positions(Run(folder / row["id"], {}, None, None), found, {})


@pytest.mark.parametrize(
    ("mean", "verdict"), [(0.9, "confirmed"), (0.1, "refuted"), (0.5, "undecided")]
)
def test_a_level_is_judged_by_its_interval_over_seeds(tmp_path, mean, verdict):
    rows, noise = Study(ARMS).write(tmp_path), random.Random(0)
    plant(tmp_path, rows, lambda _: noise.gauss(mean, 0.05))
    rule = {"name": "level", "value": "position.kept", "at_least": 0.5}
    found = judged(tmp_path, rule)
    assert found.verdict == verdict
    assert found.interval[0] < found.value < found.interval[1]
    assert "4 seeds, 24 of 24 runs" in found.evidence
    other = judged(tmp_path, {**rule, "at_least": -1.0} | {"at_least": mean + 1})
    assert other.verdict == "refuted"


def test_rates_and_arms_of_a_seed_are_one_unit(tmp_path):
    rows = Study(ARMS).write(tmp_path)
    plant(tmp_path, rows, lambda row: float(row["seed"]))
    found = judged(tmp_path, {"name": "level", "value": "position.kept", "at_least": 0.0})
    mean, half = 1.5, 3.182446 * (5 / 3) ** 0.5 / 2  # t(3) of 0, 1, 2, 3
    assert found.value == pytest.approx(mean)
    assert found.interval == pytest.approx([mean - half, mean + half])


@pytest.mark.parametrize(("seeds", "verdict"), [([], "confirmed"), ([2, 3], "undecided")])
def test_nothing_is_said_while_a_fifth_of_an_arm_is_missing(tmp_path, seeds, verdict):
    lost = {("match", rate, seed) for rate in RATES[:1] for seed in seeds}
    rows, noise = Study(ARMS, lost=lost).write(tmp_path), random.Random(3)
    plant(tmp_path, rows, lambda _: noise.gauss(1.0, 0.05))
    rule = {"name": "level", "value": "position.kept", "at_least": 0.5}
    found = judged(tmp_path, rule, arms=["vocabulary", "match"])
    assert found.verdict == verdict
    assert ("of match 2 of 8 runs are missing" in found.evidence) == bool(seeds)
    assert judged(tmp_path, rule, arms=["vocabulary", "gaussian"]).verdict == "confirmed"


@pytest.mark.parametrize(
    ("effects", "more", "verdict"),
    [
        (ARMS, {"noise": 0.002, "draw": 0.002}, "confirmed"),
        ({**ARMS, "match": 0.4}, {}, "refuted"),
        (ARMS, {"noise": 0.3, "draw": 0.1, "positive": 5.0}, "undecided"),
        (ARMS, {"noise": 0.002, "draw": 0.002, "positive": 0.0}, "undecided"),  # a failed control
    ],
)
def test_equality_needs_power_and_controls(tmp_path, effects, more, verdict):
    Study(effects, seeds=6, **more).write(tmp_path)
    found = judged(tmp_path, {"name": "equal"})
    assert found.verdict == verdict
    if more.get("positive") == 0.0:
        assert "the positive control failed" in found.evidence
    assert ("What would decide it: more seeds" in found.evidence) == (verdict == "undecided")


def test_equality_of_some_arms_leaves_out_the_others(tmp_path):
    effects = {**ARMS, "match": 0.4}
    Study(effects, seeds=6, noise=0.002, draw=0.002).write(tmp_path)
    found = judged(tmp_path, {"name": "equal"}, arms=["vocabulary", "gaussian"])
    assert found.verdict == "confirmed"


@pytest.mark.parametrize(
    ("effect", "verdict"), [(0.5, "confirmed"), (-0.5, "refuted"), (0.0, "undecided")]
)
def test_a_difference_of_any_value_is_judged_against_a_bound(tmp_path, effect, verdict):
    rows, noise = Study(ARMS).write(tmp_path), random.Random(1)
    plant(tmp_path, rows, lambda row: noise.gauss(effect if row["arm"] == "match" else 0.0, 0.1))
    rule = {
        "name": "difference",
        "value": "position.kept",
        "reference": "vocabulary",
        "at_least": 0.0,
    }
    found = judged(tmp_path, rule, arms=["match"])
    assert found.verdict == verdict
    assert "match less vocabulary; 16 of 16 runs" in found.evidence


def test_a_difference_of_steps_counts_what_is_not_reached_in_full(tmp_path):
    Study({**ARMS, "match": 0.6}, noise=0.01, draw=0.01).write(tmp_path)
    rule = {
        "name": "difference",
        "value": "steps_to.1.7",
        "reference": "vocabulary",
        "at_least": 0.0,
    }
    found = judged(tmp_path, rule, arms=["match"])
    assert found.verdict == "confirmed"
    assert found.value > 0


@pytest.mark.parametrize(
    ("effect", "spread", "verdict"),
    [(1.0, 0.05, "confirmed"), (0.0, 0.01, "refuted"), (0.0, 2.0, "undecided")],
)
def test_changes_by_any_arm(tmp_path, effect, spread, verdict):
    rows, noise = Study(ARMS).write(tmp_path), random.Random(2)
    plant(
        tmp_path,
        rows,
        lambda row: noise.gauss(effect if row["arm"] == "gaussian" else 0.0, spread),
    )
    rule = {"name": "changes", "value": "position.kept", "reference": "vocabulary", "margin": 0.3}
    assert judged(tmp_path, rule).verdict == verdict


@pytest.mark.parametrize(
    ("slope", "spread", "verdict"),
    [(0.0, 0.01, "confirmed"), (0.5, 0.01, "refuted"), (0.0, 0.5, "undecided")],
)
def test_a_relation_within_cells_is_found_and_one_between_cells_is_not(
    tmp_path, slope, spread, verdict
):
    study = Study(ARMS, seeds=8)
    rows, noise = study.write(tmp_path), random.Random(3)
    offset = {"vocabulary": 0.0, "match": 5.0, "gaussian": -5.0}  # between arms all is related
    for row in rows:
        path = tmp_path / row["id"] / "result.json"
        if row["kind"] != "arm":
            continue
        x = noise.gauss(0, 1)
        result = json.loads(path.read_text())
        result["val_loss"] = offset[row["arm"]] + slope * x + noise.gauss(0, spread)
        path.write_text(json.dumps(result))
        moved = {("embed", "raw"): Position(kept=offset[row["arm"]] + x)}
        write_positions(Run(tmp_path / row["id"], {}, None, None), moved, {})
    rule = {"name": "unrelated", "value": "result.val_loss", "on": ["position.kept"], "margin": 0.1}
    found = judged(tmp_path, rule)
    assert found.verdict == verdict
    if slope:
        assert found.value == pytest.approx(slope, abs=0.15)


@pytest.mark.parametrize(
    ("spreads", "verdict"),
    [((0.01, 1.0), "confirmed"), ((1.0, 0.01), "refuted"), ((0.5, 0.5), "undecided")],
)
def test_the_steadiest_rate(tmp_path, spreads, verdict):
    study = Study(ARMS, seeds=6)
    rows, noise = study.write(tmp_path), random.Random(4)
    by_rate = dict(zip(study.rates, spreads, strict=True))
    plant(tmp_path, rows, lambda row: noise.gauss(0, by_rate[row["rate"]]))
    rule = {"name": "steadiest", "value": "position.kept", "rate": study.rates[0]}
    found = judged(tmp_path, rule)
    assert found.verdict == verdict
    rule["rate"] = "7 relative"
    assert judged(tmp_path, rule).verdict == "not testable"


@pytest.mark.parametrize(("reach", "verdict"), [(5.0, "confirmed"), (2.0, "not testable")])
def test_nothing_is_said_of_ends_that_were_out_of_reach(tmp_path, reach, verdict):
    rows = Study(ARMS).write(tmp_path)
    plant(tmp_path, rows, lambda row: reach + row["seed"] / 100, "reach_ratio")
    rule = {"name": "level", "value": "position.reach_ratio", "at_least": 0.0}
    found = judged(tmp_path, rule, reach=True)
    assert found.verdict == verdict
    assert judged(tmp_path, rule).verdict == "confirmed"


def test_effects_use_bridge_and_steps_are_read(tmp_path):
    rows = Study(ARMS).write(tmp_path)
    moved = lambda row: NullComparison(null=0.0, p=0.5, effect=1.0 + row["seed"] / 10)  # noqa: E731
    plant(tmp_path, rows, moved, "moved")
    for row in rows:
        for name, content in {
            "use.json": {"halves": {"embed": {"far": {"change": 2.0 + row["seed"]}}}},
            "bridge.json": {"change": -1.0 - row["seed"]},
        }.items():
            write_json(tmp_path / row["id"] / name, content)
    for value, mean in {
        "position.moved.effect": 1.15,
        "use.halves.embed.far.change": 3.5,
        "bridge.change": -2.5,
        "steps_to.100": 0.0,
    }.items():
        rule = {"name": "level", "value": value, "at_least": 0.0}
        assert judged(tmp_path, rule).value == pytest.approx(mean)


def test_what_is_not_there_is_not_testable_and_says_why(tmp_path):
    Study(ARMS).write(tmp_path)
    rule = {"name": "level", "value": "position.kept", "at_least": 0.0}
    found = judged(tmp_path, rule)
    assert found.verdict == "not testable"
    assert "no run of study 'screening' has position.kept" in found.evidence
    found = judged(tmp_path, rule | {"value": "result.val_los"})
    assert "has result.val_los. Did you mean 'val_loss'? There are: steps, seed" in found.evidence
    found = judged(tmp_path, rule, study="other")
    assert found.verdict == "not testable"
    assert "no study 'other'" in found.evidence
    found = judged(tmp_path, rule, arms=["nobody"])
    assert "has no arm 'nobody'" in found.evidence


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("position.kepd", "Did you mean 'position.kept'? position has: displacement, norm_start"),
        ("position:kept of the start", "Did you mean 'position.kept'? Expected position.FIELD"),
        ("reslt.val_loss", "no value 'reslt.val_loss'. Expected"),
        ("result", "no value 'result'. Expected position.FIELD, visible.FIELD, result.KEY"),
        ("steps_to.many", "expected nats, such as 'steps_to.1.1'"),
    ],
)
def test_an_unknown_address_is_refused_with_what_there_is(address, words):
    with pytest.raises(InputError) as caught:
        check_address(address)
    assert words in str(caught.value)


def test_each_command_keeps_what_the_other_found(tmp_path):
    """`compare --analysis` and `figures` write one claims.json, in either order."""
    Study(ARMS, seeds=6, noise=0.002, draw=0.002).write(tmp_path)
    by_study = claim(tmp_path, {"name": "equal"})
    both = {}
    for order in ("study first", "figures first"):
        folder = tmp_path / order
        folder.mkdir()
        steps = [[by_study], judge_figures(tmp_path)]
        for claims in steps if order == "study first" else steps[::-1]:
            write_claims(folder, claims)
        both[order] = read_claims(folder)
    assert both["study first"] == both["figures first"]
    assert [found.claim for found in both["study first"]] == list(range(1, 24))
    second = both["study first"][1]
    assert (second.study.verdict, second.figure.verdict) == ("confirmed", "undecided")
    assert second.verdict == "confirmed"
    table = claims_table(both["study first"])
    assert [row[table.columns.index("verdict")] for row in table.rows] == ["confirmed"]


def test_claims_stand_once_and_a_study_decides_those_that_need_several_runs():
    claims = paper_claims()
    assert list(claims) == list(range(1, 24))
    planned = {entry["claim"] for entry in tomllib.loads(SHIPPED.read_text())["claims"]}
    assert planned == {found.claim for found in read_analysis(SHIPPED)}
    assert {number for number, found in claims.items() if "study" in found.evidence} >= planned
    for found in judge({}):
        assert found.text == claims[found.claim].text
        assert found.figure.verdict in {"undecided", "not testable"}


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"name": "levle"}, ["unknown", "levle", "level"]),
        ({"name": "level", "valeu": "x"}, ["valeu", "no parameter"]),
        ({"name": "changes", "value": "x"}, ["changes", "needs"]),
        ({"name": "level", "value": "position.kepd"}, ["Did you mean 'position.kept'"]),
    ],
)
def test_bad_plans_are_answered(tmp_path, rule, words):
    Study(ARMS).write(tmp_path)
    with pytest.raises(InputError) as caught:
        judged(tmp_path, rule)
    assert all(word in str(caught.value) for word in words), str(caught.value)


PLANNED = (
    '[[claims]]\nclaim = 2\nstudy = "s"\nstatistic = "one"\ndecides = "d"\n'
    'rule = {name = "equal"}\n'
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (PLANNED * 2, "judges claim 2 twice"),
        (PLANNED.replace("= 2", "= 24"), "the paper has no claim 24; expected 1 to 23"),
        (PLANNED.replace("= 2", '= 2\ntext = "t"'), "no parameter 'text'"),
    ],
)
def test_an_analysis_names_each_claim_of_the_paper_once_by_its_number(tmp_path, text, words):
    path = tmp_path / "a.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        read_analysis(path)
