"""A study's figures: what lies where, what is left out of the frame, who has which colour."""

import json
import math

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from promptpriors.analysis.significance import t_interval
from promptpriors.figures import bands, forest, study
from promptpriors.figures.bands import MOST, Level, curve
from promptpriors.figures.forest import Effect, effects, frame, heights, ordered
from promptpriors.figures.styles import PALETTE, ArmStyle, RunStyles, Style, arm_styles
from promptpriors.figures.verdict_marks import mark
from tests.report.sample import SCRIPT

ROWS = [
    {"arm": "far", "difference": 0.2, "low": 0.1, "high": 0.3, "verdict": "different"},
    {"arm": "control", "difference": 2.0, "low": 1.9, "high": 2.1, "verdict": "different"},
    {"arm": SCRIPT, "difference": -0.01, "low": -0.05, "high": 0.03, "verdict": "equal"},
    {"arm": "alone", "difference": 0.05, "low": "needs 2 seeds", "high": None, "verdict": None},
    {"arm": "lost", "difference": None, "low": None, "high": None, "verdict": "undecided"},
    {"arm": "nan", "difference": math.nan, "low": 0.0, "high": 0.0, "verdict": "undecided"},
]
SHOWN = effects(ROWS, ["control"])
OPTIONS = {"reference": "vocabulary", "margin": 0.04, "axis": "loss"}
numbers = st.floats(-5, 5)


def drawn():
    return forest.forest(SHOWN, **OPTIONS)


def test_rows_without_a_difference_are_left_out_and_words_are_no_bounds():
    assert [effect.name for effect in SHOWN] == ["far", "control", SCRIPT, "alone"]
    assert SHOWN[3][1:5] == (0.05, None, None, "")


def test_arms_are_sorted_by_difference_and_controls_lie_below_them():
    rows = ordered(SHOWN)
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
    assert marks["alone"].error_x.array is None


def test_a_control_far_away_is_an_arrow_at_the_edge_that_says_how_far():
    figure = drawn()
    control = next(trace for trace in figure.data if trace.legendgroup == "control")
    assert control.marker.symbol == "triangle-right"
    assert control.x[0] == figure.layout.xaxis.range[1] < 1
    assert "+2.000" in control.text[0]


@given(st.lists(st.tuples(numbers, numbers, numbers), min_size=1, max_size=12), st.floats(0, 5))
def test_the_frame_holds_zero_the_margin_and_at_least_half_of_the_arms(rows, margin):
    shown = [Effect(str(i), *sorted(row)[1::-1], max(row)) for i, row in enumerate(rows)]
    low, high = frame(shown, margin)
    assert low < -margin <= margin < high
    inside = [low <= effect.low and effect.high <= high for effect in shown]
    assert sum(inside) >= len(shown) / 2


def test_a_difference_of_nothing_can_be_drawn():
    same = [Effect("a", 0.0, 0.0, 0.0), Effect("b", 0.0)]
    figure = forest.forest(same, reference="c", margin=None, axis="loss")
    assert figure.layout.xaxis.range == (-1, 1)
    study.forest(same, reference="c", margin=None, axis="loss")


def test_the_band_spans_the_margin_and_there_is_none_without_one():
    (band,) = [shape for shape in drawn().layout.shapes if shape.type == "rect"]
    assert (band.x0, band.x1) == (-0.04, 0.04)
    without = forest.forest(SHOWN, **OPTIONS | {"margin": None})
    assert not [shape for shape in without.layout.shapes if shape.type == "rect"]


def test_verdicts_and_names_are_written_as_text():
    texts = [note.text for note in drawn().layout.annotations]
    assert "≈ equal" in texts
    assert "≠ different" in texts
    assert "<i>controls</i>" in texts
    assert not any("<script" in text or "<b>" in text for text in texts)
    names = [trace.name for trace in drawn().data]
    assert SCRIPT.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") in names


def test_money_is_no_mathematics(tmp_path):
    names = ["text: It costs $5_ or $6^", "$\\frac$"]
    shown = [Effect(names[0], 0.1, 0.0, 0.2), Effect("b", 0.0, -0.1, 0.1)]
    figure = study.forest(shown, reference=names[1], margin=None, axis="loss")
    study.save(figure, {}, tmp_path / "forest")
    losses = [curve(name, "0.1", [{0: 3.0, 10: 2.0}]) for name in names]
    curves = study.bands(losses, [Level(names[1], 1.0, "floor")])
    study.save(curves, {}, tmp_path / "curves")
    assert (tmp_path / "forest.png").stat().st_size > 0


@pytest.mark.parametrize(
    ("verdict", "sign", "tone"),
    [
        ("none: control failed", "∅", "none"),
        ("Undecided", "?", "undecided"),
        ("equal", "≈", "equal"),
        ("not equal", "≠", "different"),
        ("not testable", "∅", "blank"),
        ("failed: not detected", "✕", "no"),
        ("not detected", "✕", "no"),
        ("detected", "✓", "yes"),
        ("equalled by nobody", "•", "other"),
        ("", "•", "other"),
    ],
)
def test_a_verdict_is_known_by_its_first_words(verdict, sign, tone):
    assert mark(verdict) == (sign, tone)


@given(st.lists(st.lists(st.floats(0, 10), min_size=3, max_size=3), min_size=2, max_size=5))
def test_a_curve_is_the_mean_with_its_t_interval_at_each_step(losses):
    found = curve("a", "0.1", [dict(enumerate(run)) for run in losses])
    assert found.steps == [0, 1, 2]
    for i in range(3):
        expected = t_interval(torch.tensor([run[i] for run in losses], dtype=torch.float64))
        got = (found.mean[i], found.low[i], found.high[i])
        assert got == pytest.approx((expected.estimate, expected.low, expected.high))


def test_a_curve_has_the_steps_that_all_its_runs_share():
    found = curve("a", "", [{0: 3.0, 10: 2.0, 20: 1.0}, {0: 1.0, 20: 3.0}])
    assert (found.steps, found.mean, found.runs) == ([0, 20], [2.0, 2.0], 2)
    assert curve("a", "", [{0: 1.0}, {1: 1.0}]) is None
    assert curve("a", "", []) is None


def test_one_run_has_no_band():
    found = curve("a", "0.1", [{0: 3.0, 10: 2.0}])
    assert found.low == found.high == []
    (line,) = bands.bands([found]).data
    assert list(line.y) == [3.0, 2.0]
    assert "no interval" in line.text[0]


def test_a_band_of_two_runs_does_not_stretch_the_frame():
    wide = curve("a", "", [{0: 3.0, 10: 2.0}, {0: 1.0, 10: 2.0}])
    three = curve("b", "", [{0: 3.0, 10: 2.0}, {0: 2.0, 10: 2.1}, {0: 2.5, 10: 1.9}])
    floor = bands.Level("floor", 3.5, "floor")
    assert wide.low[0] < -5
    low, high = bands.reach([wide, three], [floor])
    assert low == pytest.approx(min(2.0, *three.low), abs=0.1)
    assert high == pytest.approx(max(3.5, *three.high), abs=0.1)
    clip = bands.bands([wide, three], [floor]).layout.yaxis.autorangeoptions
    assert (clip.clipmin, clip.clipmax) == (low, high)
    axes = study.bands([wide, three], [floor]).axes[0]
    assert low <= axes.get_ylim()[0] < axes.get_ylim()[1] <= high


def test_long_curves_keep_their_ends():
    found = curve("a", "", [{step: float(step) for step in range(5000)}])
    assert len(found.steps) == MOST
    assert (found.steps[0], found.steps[-1]) == (0, 4999)
    assert found.mean == [float(step) for step in found.steps]


def test_a_band_goes_along_the_upper_edge_and_back_along_the_lower_one():
    found = curve("a", "0.1", [{0: 3.0, 10: 2.0}, {0: 4.0, 10: 2.5}])
    band, line = bands.bands([found], choices=[["best"]]).data
    assert list(band.x) == [0, 10, 10, 0]
    assert list(band.y) == pytest.approx([*found.high, *found.low[::-1]])
    assert band.meta["choices"] == line.meta["choices"] == ["best"]
    assert band.legendgroup == line.legendgroup == "a"


def test_levels_lie_across_the_whole_training():
    found = curve("a", "0.1", [{0: 3.0, 40: 2.0}])
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


def test_a_document_gets_the_same_intervals_and_the_same_order():
    axes = study.forest(SHOWN, **OPTIONS).axes[0]
    names = [tick.get_text() for tick in axes.get_yticklabels()]
    assert names[1:] == ["alone", "far", "control"]
    spans = [[float(x) for x in line.get_xdata()] for line in axes.lines]
    assert [0.1, 0.3] in spans
    assert [-0.05, 0.03] in spans
    assert not any(2.0 in span for span in spans)
    assert any("+0.200 (+0.100 to +0.300)   ≠ different" in t.get_text() for t in axes.texts)


def test_a_document_gets_the_same_curves():
    found = curve("a", "0.1", [{0: 3.0, 10: 2.0}, {0: 4.0, 10: 2.5}])
    axes = study.bands([found], [Level("ceiling: lora 16", 1.5, "ceiling")]).axes[0]
    assert list(axes.lines[0].get_ydata()) == [3.5, 2.25]
    assert list(axes.lines[1].get_ydata()) == [1.5, 1.5]
    edges = axes.collections[0].get_paths()[0].get_extents()
    assert (edges.y0, edges.y1) == pytest.approx((min(found.low), max(found.high)))


def test_a_saved_figure_is_the_same_each_time_and_has_its_numbers_beside_it(tmp_path):
    png, numbers = study.save(study.forest(SHOWN, **OPTIONS), {"rows": ROWS}, tmp_path / "a.b")
    again, _ = study.save(study.forest(SHOWN, **OPTIONS), {}, tmp_path / "sub" / "c")
    assert (png.name, numbers.name) == ("a.b.png", "a.b.json")
    assert png.read_bytes() == again.read_bytes()
    assert json.loads(numbers.read_text())["rows"][0]["arm"] == "far"
