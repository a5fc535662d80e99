"""A study's result: what its statistics say, each thing once."""

import pytest

from promptpriors.runs.study_results import QUESTIONS
from promptpriors.verdicts.outcomes import Setting, read_settings
from promptpriors.verdicts.results import study_result, study_results
from tests.verdicts.studies import CEILING, FLOOR, RATES, Study

ARMS = {"vocabulary": 0.0, "gaussian": 0.0, "xavier": 0.5}


def result_of(study, folder):
    study.write(folder)
    (setting,) = study_result(read_settings(folder)).settings
    return setting


def test_a_score_has_its_own_scale_and_margin(tmp_path):
    found = result_of(Study(ARMS, metric="scores.accuracy"), tmp_path)
    assert (found.unit, found.lower_is_better) == ("share", False)
    assert (found.scale.floor, found.scale.ceiling) == pytest.approx((0, 1 - CEILING / FLOOR))
    assert found.margin == pytest.approx(0.05 * (1 - CEILING / FLOOR))
    assert found.margin_share == 0.05


@pytest.mark.parametrize(
    ("metric", "unit"),
    [
        ("val_loss", "nats per target token"),
        ("val_loss_best", "nats per target token"),
        ("scores.f1", "share"),
        ("displacement", ""),
        ("val_objective", ""),
    ],
)
def test_a_metric_has_its_unit_where_it_is_known(tmp_path, metric, unit):
    Study(ARMS, seeds=2).write(tmp_path)
    (setting,) = read_settings(tmp_path)
    rules = setting.compare.model_copy(update={"metric": metric})
    assert Setting("study", "", rules, setting.runs).unit == unit


def test_without_a_scale_the_reason_is_there(tmp_path):
    found = result_of(Study(ARMS, ceiling=None), tmp_path)
    assert (found.scale, found.margin) == (None, None)
    assert "no ceiling run" in found.scale_reason
    assert found.controls.negative.state == "missing"
    assert found.controls.negative.reason == "there is no margin"


def test_every_question_has_one_answer_and_controls_say_what_their_answers_say(tmp_path):
    found = result_of(Study(ARMS), tmp_path)
    answers = {answer.question: answer for answer in found.verdicts}
    assert [answer.question for answer in found.verdicts] == list(QUESTIONS)
    for name in ("positive", "negative"):
        control, answer = getattr(found.controls, name), answers[f"{name}_control"]
        assert (control.state, control.p) == (answer.state, answer.value)
    assert (answers["priors_differ"].state, answers["priors_differ"].reason) == (
        "yes",
        "xavier higher",
    )
    assert answers["priors_equal"].state == found.all_pairs.verdict.state.replace("different", "no")


def test_what_is_missing_is_in_the_reason_and_not_in_the_state(tmp_path):
    lost = {("gaussian", RATES[1], seed) for seed in range(2)}
    found = result_of(Study(ARMS, lost=lost), tmp_path)
    arm = next(arm for arm in found.arms if arm.arm == "gaussian")
    assert [run.reason for run in arm.missing_runs] == [
        "Diverged: the loss became NaN at step 7"
    ] * 2
    contrast = next(c for c in found.contrasts if c.arm == "gaussian")
    assert contrast.difference is None
    assert contrast.verdict.state == "none"
    assert contrast.verdict.reason == "2 of 8 runs are missing"


@pytest.mark.slow
def test_studies_and_their_settings_keep_their_order(tmp_path):
    one, other = Study(ARMS, setting="deep", name="a"), Study(ARMS, setting="soft", name="a")
    rows = [*one.write(tmp_path), *other.write(tmp_path)]
    other.write(tmp_path / "x", runs=rows)
    (tmp_path / "x" / "studies" / "a.json").replace(tmp_path / "studies" / "a.json")
    Study(ARMS, name="b").write(tmp_path)
    found = study_results(read_settings(tmp_path))
    names = [(result.name, [setting.setting for setting in result.settings]) for result in found]
    assert names == [("a", ["deep", "soft"]), ("b", [""])]
