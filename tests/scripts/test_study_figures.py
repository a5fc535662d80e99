"""A study's figures in a document: what the page shows, drawn by matplotlib."""

import json

import pytest

from promptpriors.analysis.plateau import mean_curve
from promptpriors.figures import bands
from promptpriors.figures.bands import Level
from scripts import study_figures
from tests.figures.test_study import CONTRASTS, OPTIONS, contrast


@pytest.mark.slow
def test_money_is_no_mathematics(tmp_path):
    names = ["text: It costs $5_ or $6^", "$\\frac$"]
    shown = [
        contrast(names[0], (0.1, 0.0, 0.2), "higher"),
        contrast("b", (0.0, -0.1, 0.1), "undecided"),
    ]
    figure = study_figures.forest(shown, reference=names[1], margin=None, axis="loss")
    study_figures.save(figure, {}, tmp_path / "forest")
    losses = [mean_curve(name, "0.1", [{0: 3.0, 10: 2.0}]) for name in names]
    curves = study_figures.bands(losses, [Level(names[1], 1.0, "floor")])
    study_figures.save(curves, {}, tmp_path / "curves")
    assert (tmp_path / "forest.png").stat().st_size > 0


def test_a_document_gets_the_same_intervals_and_the_same_order():
    axes = study_figures.forest(CONTRASTS, **OPTIONS).axes[0]
    names = [tick.get_text() for tick in axes.get_yticklabels()]
    assert names[1:] == ["alone", "far", "control"]
    spans = [[float(x) for x in line.get_xdata()] for line in axes.lines]
    assert [0.1, 0.3] in spans
    assert [-0.05, 0.03] in spans
    assert not any(2.0 in span for span in spans)
    assert any("+0.200 (+0.100 to +0.300)   ↑ higher" in t.get_text() for t in axes.texts)


def test_a_document_gets_the_same_curves():
    found = mean_curve("a", "0.1", [{0: 3.0, 10: 2.0}, {0: 4.0, 10: 2.5}])
    axes = study_figures.bands([found], [Level("ceiling: lora 16", 1.5, "ceiling")]).axes[0]
    assert list(axes.lines[0].get_ydata()) == [3.5, 2.25]
    assert list(axes.lines[1].get_ydata()) == [1.5, 1.5]
    edges = axes.collections[0].get_paths()[0].get_extents()
    assert (edges.y0, edges.y1) == pytest.approx((min(found.low), max(found.high)))


def test_a_saved_figure_is_the_same_each_time_and_has_its_numbers_beside_it(tmp_path):
    png, numbers = study_figures.save(
        study_figures.forest(CONTRASTS, **OPTIONS), {"rows": [1]}, tmp_path / "a.b"
    )
    again, _ = study_figures.save(
        study_figures.forest(CONTRASTS, **OPTIONS), {}, tmp_path / "sub" / "c"
    )
    assert (png.name, numbers.name) == ("a.b.png", "a.b.json")
    assert png.read_bytes() == again.read_bytes()
    assert json.loads(numbers.read_text()) == {"rows": [1]}


def test_differences_of_nothing_can_be_drawn():
    same = [contrast(arm, (0.0, 0.0, 0.0), "equal") for arm in "ab"]
    axes = study_figures.forest(same, reference="c", margin=None, axis="loss").axes[0]
    assert axes.get_xlim() == (-1, 1)


def test_a_band_of_two_runs_does_not_stretch_the_frame():
    wide = mean_curve("a", "", [{0: 3.0, 10: 2.0}, {0: 1.0, 10: 2.0}])
    floor = Level("floor", 3.5, "floor")
    low, high = bands.reach([wide], [floor])
    axes = study_figures.bands([wide], [floor]).axes[0]
    assert wide.low[0] < low <= axes.get_ylim()[0] < axes.get_ylim()[1] <= high
