"""What a plan can show is said before its first run, and a metric that no run has is refused."""

import re

import pytest

from promptpriors.config.study import read_study
from promptpriors.errors import InputError
from promptpriors.running.workspace import Workspace
from promptpriors.study.plan import plan
from promptpriors.study.prospects import prospects
from tests.study.samples import write_study

WHOLE = {
    "baselines": ["none", "lora:2"],
    "grid": {"seed": [0, 1, 2]},
    "compare": {"reference": "vocabulary", "controls": True},
}


@pytest.fixture(scope="module")
def workspace():
    return Workspace()


def said(tmp_path, workspace, **changes):
    study = read_study(write_study(tmp_path, **changes))
    return prospects(study, plan(study, workspace))


@pytest.mark.parametrize(
    "metric", ["nope", "scores.f1", "seed", "versions.torch", "scores", "val_loss.x", "lr"]
)
def test_a_metric_that_no_run_will_have_is_refused_before_any_run(tmp_path, workspace, metric):
    compare = {"reference": "vocabulary", "controls": False, "metric": metric}
    with pytest.raises(
        InputError, match=r"task 'mathematics' has no such number.* It has: val_loss"
    ):
        plan(read_study(write_study(tmp_path, compare=compare)), workspace)


@pytest.mark.parametrize("metric", ["val_loss", "scores.exact_match", "scores_initial.loss"])
def test_a_metric_of_the_task_is_taken(tmp_path, workspace, metric):
    compare = {"reference": "vocabulary", "controls": False, "metric": metric}
    assert plan(read_study(write_study(tmp_path, compare=compare)), workspace)


def test_a_misspelt_metric_is_guessed(tmp_path, workspace):
    compare = {"reference": "vocabulary", "controls": False, "metric": "val_los"}
    with pytest.raises(InputError, match="Did you mean 'val_loss'"):
        plan(read_study(write_study(tmp_path, compare=compare)), workspace)


def test_a_whole_plan_can_reach_every_verdict_and_says_with_which_scatter(tmp_path, workspace):
    (line,) = said(tmp_path, workspace, **WHOLE)
    assert "with 3 seeds an arm, a power of 80% needs" in line


def without(**changes):
    return {**WHOLE, **changes}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (without(baselines=["none"]), "are all priors equal.*there is no ceiling run.*'lora:16'"),
        (without(baselines=["lora:2"], compare={"metric": "scores.loss"}), "there is no floor"),
        (without(grid={"seed": [0]}), "values leave nothing to tell the spread by"),
        (without(compare={"controls": True}), "the study names no reference"),
        (
            without(compare={"reference": "vocabulary", "controls": False}),
            "positive control, negative control .no runs.",
        ),
        (without(arms={"vocabulary": {"prior": "vocabulary"}}), "are all priors equal"),
    ],
)
def test_verdicts_that_a_plan_can_not_reach_are_said_with_the_reason(
    tmp_path, workspace, changes, words
):
    lines = said(tmp_path, workspace, **changes)
    assert any("there will be no verdict on" in line for line in lines)
    assert re.search(words, "\n".join(lines)), lines


def test_more_seeds_bear_more_scatter(tmp_path, workspace):
    few, many = (
        said(tmp_path, workspace, **without(grid={"seed": list(range(n))}))[0] for n in (2, 4)
    )
    numbers = [float(line.split("at most ")[1].split("%")[0]) for line in (few, many)]
    assert numbers[0] < numbers[1]
