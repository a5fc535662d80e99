"""A study's figures: what lies where, what is left out of the frame, who has which colour."""

from typing import get_args

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from promptpriors.analysis.plateau import mean_curve
from promptpriors.figures import bands, forest
from promptpriors.figures.bands import Level
from promptpriors.figures.forest import Effect, frame, heights, ordered
from promptpriors.figures.styles import MARKS, PALETTE, ArmStyle, RunStyles, Style, arm_styles
from promptpriors.runs.study_results import (
    AnswerState,
    Contrast,
    ContrastState,
    ControlState,
    Difference,
    PairState,
    Verdict,
)
from tests.report.sample import SCRIPT


def contrast(arm, numbers, state, kind="arm", reason=""):
    difference = numbers and dict(zip(("value", "low", "high"), numbers, strict=True))
    return Contrast(
        arm=arm,
        kind=kind,
        difference=difference and Difference(**difference),
        verdict=Verdict[ContrastState](state=state, reason=reason),
    )


CONTRASTS = [
    contrast("far", (0.2, 0.1, 0.3), "higher"),
    contrast("control", (2.0, 1.9, 2.1), "higher", "positive"),
    contrast(SCRIPT, (-0.01, -0.05, 0.03), "equal"),
    contrast("alone", (0.05, 0.02, 0.08), "none", reason=f"a control failed {SCRIPT}"),
    contrast("lost", None, "none", reason="2 of 4 runs are missing"),
]
EQUAL = Verdict[ContrastState](state="equal")
OPTIONS = {"reference": "vocabulary", "margin": 0.04, "axis": "loss"}
numbers = st.floats(-5, 5)


def drawn():
    return forest.forest(CONTRASTS, **OPTIONS)


def test_arms_are_sorted_by_difference_and_controls_lie_below_them():
    rows = ordered(CONTRASTS)
    assert [effect.name for effect in rows] == [SCRIPT, "alone", "far", "control"]
    *arms, control = heights(rows)
    assert arms == [0, -1, -2]
    assert control < -3


def test_a_mark_and_its_bar_lie_where_the_table_has_them():
    marks = {trace.legendgroup: trace for trace in drawn().data}
    far = marks["far"]
    assert far.x[0] == 0.2
    assert (far.x[0] - far.error_x.arrayminus[0], far.x[0] + far.error_x.array[0]) == (
        pytest.approx(0.1),
        pytest.approx(0.3),
    )
    assert "lost" not in marks


def test_a_control_far_away_is_an_arrow_at_the_edge_that_says_how_far():
    figure = drawn()
    control = next(trace for trace in figure.data if trace.legendgroup == "control")
    assert control.marker.symbol == "triangle-right"
    assert control.x[0] == figure.layout.xaxis.range[1] < 1
    assert "+2.000" in control.text[0]


@given(st.lists(st.tuples(numbers, numbers, numbers), min_size=1, max_size=12), st.floats(0, 5))
def test_the_frame_holds_zero_the_margin_and_at_least_half_of_the_arms(rows, margin):
    shown = [Effect(str(i), *sorted(row)[1::-1], max(row), EQUAL) for i, row in enumerate(rows)]
    low, high = frame(shown, margin)
    assert low < -margin <= margin < high
    inside = [low <= effect.low and effect.high <= high for effect in shown]
    assert sum(inside) >= len(shown) / 2


def test_a_difference_of_nothing_can_be_drawn():
    same = [contrast(arm, (0.0, 0.0, 0.0), "equal") for arm in "ab"]
    figure = forest.forest(same, reference="c", margin=None, axis="loss")
    assert figure.layout.xaxis.range == (-1, 1)


def test_the_band_spans_the_margin_and_there_is_none_without_one():
    (band,) = [shape for shape in drawn().layout.shapes if shape.type == "rect"]
    assert (band.x0, band.x1) == (-0.04, 0.04)
    without = forest.forest(CONTRASTS, **OPTIONS | {"margin": None})
    assert not [shape for shape in without.layout.shapes if shape.type == "rect"]


def test_verdicts_and_names_are_written_as_text():
    texts = [note.text for note in drawn().layout.annotations]
    assert "≈ equal" in texts
    assert "↑ higher" in texts
    assert "∅ none" in texts
    assert "<i>controls</i>" in texts
    assert not any("<script" in text or "<b>" in text for text in texts)
    names = [trace.name for trace in drawn().data]
    assert SCRIPT.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") in names


def test_one_run_has_no_band():
    found = mean_curve("a", "0.1", [{0: 3.0, 10: 2.0}])
    assert found.low == found.high == []
    (line,) = bands.bands([found]).data
    assert list(line.y) == [3.0, 2.0]
    assert "no interval" in line.text[0]


def test_a_band_of_two_runs_does_not_stretch_the_frame():
    wide = mean_curve("a", "", [{0: 3.0, 10: 2.0}, {0: 1.0, 10: 2.0}])
    three = mean_curve("b", "", [{0: 3.0, 10: 2.0}, {0: 2.0, 10: 2.1}, {0: 2.5, 10: 1.9}])
    floor = Level("floor", 3.5, "floor")
    assert wide.low[0] < -5
    low, high = bands.reach([wide, three], [floor])
    assert low == pytest.approx(min(2.0, *three.low), abs=0.1)
    assert high == pytest.approx(max(3.5, *three.high), abs=0.1)
    clip = bands.bands([wide, three], [floor]).layout.yaxis.autorangeoptions
    assert (clip.clipmin, clip.clipmax) == (low, high)


def test_a_band_goes_along_the_upper_edge_and_back_along_the_lower_one():
    found = mean_curve("a", "0.1", [{0: 3.0, 10: 2.0}, {0: 4.0, 10: 2.5}])
    band, line = bands.bands([found], choices=[["best"]]).data
    assert list(band.x) == [0, 10, 10, 0]
    assert list(band.y) == pytest.approx([*found.high, *found.low[::-1]])
    assert band.meta["choices"] == line.meta["choices"] == ["best"]
    assert band.legendgroup == line.legendgroup == "a"


def test_levels_lie_across_the_whole_training():
    found = mean_curve("a", "0.1", [{0: 3.0, 40: 2.0}])
    *_, line = bands.bands([found], [Level("floor: no prompt", 2.5, "floor")]).data
    assert (list(line.x), list(line.y)) == ([0, 40], [2.5, 2.5])
    assert line.text[1] == "floor: no prompt 2.500"


LOOK = RunStyles(
    {f"prior{i}": Style(PALETTE[i], "circle") for i in range(3)}
    | {"no prompt": Style("#80838a", "circle")},
    {},
    {},
)


def test_the_first_arm_of_a_prior_has_its_colour_and_the_others_have_free_ones():
    priors = {"a": "prior1", "b": "prior1", "c": "prior0", "d": "unknown"}
    styles = arm_styles(priors, LOOK)
    assert (styles["a"].colour, styles["c"].colour) == (PALETTE[1], PALETTE[0])
    assert {styles[arm].colour for arm in "bd"}.isdisjoint(PALETTE[:3])
    assert len(set(styles.values())) == 4


def test_a_control_has_its_priors_colour_and_a_line_of_its_own():
    priors = {"a": "prior1", "a, second name": "prior1", "positive control": "prior2"}
    styles = arm_styles(priors, LOOK, ["a, second name", "positive control"])
    assert styles["a, second name"] == ArmStyle(PALETTE[1], "circle-open", "dot")
    assert styles["positive control"].colour == PALETTE[2]
    assert styles["a"].dash == "solid"


@given(st.lists(st.sampled_from([*LOOK.styles, "unknown"]), min_size=1, max_size=24))
def test_no_two_arms_look_alike(priors):
    assume("no prompt" not in priors)
    styles = arm_styles({str(i): prior for i, prior in enumerate(priors)}, LOOK)
    assert len(set(styles.values())) == len(priors)


@pytest.mark.parametrize("states", [ContrastState, PairState, ControlState, AnswerState])
def test_every_state_of_a_verdict_has_a_mark(states):
    assert set(get_args(states)) <= set(MARKS)


def test_claims_have_marks_and_a_missing_verdict_looks_like_none():
    assert {"confirmed", "refuted", "undecided", "not testable"} <= set(MARKS)
    assert MARKS["missing"] == MARKS["none"] != MARKS["failed"]
    assert len({MARKS[state] for state in get_args(ContrastState)}) == 5
