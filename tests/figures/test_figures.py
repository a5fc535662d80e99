"""Figures show what is stored, all of it, and nothing else."""

import json

import numpy as np
import pytest
import torch

from promptpriors.analysis.projection import project
from promptpriors.figures import displacement, nearest, prior_of, validation_loss, vocabulary_map
from promptpriors.runs import list_runs, read_map
from tests.report.sample import NO_PROMPT, SCRIPT, config, finished


@pytest.fixture
def plane(folder):
    return read_map(folder / "maps" / "smollm2.safetensors")


def trained(runs):
    return [run for run in runs if run.status == "done" and prior_of(run) != "no prompt"]


def test_the_loss_figure_has_a_line_for_each_trained_run_and_its_stored_values(runs):
    figure = validation_loss(runs)
    lines = list(figure.data)
    assert len(lines) == len(trained(runs)) == 4
    for line, run in zip(lines, trained(runs), strict=True):
        stored = [r for r in run.metrics() if r["val_loss"] is not None]
        assert list(line.x) == [r["step"] for r in stored] == [0, 10, 20, 30, 40]
        assert list(line.y) == [r["val_loss"] for r in stored]


def test_the_loss_without_a_prompt_is_one_dashed_line(runs):
    (shape,) = validation_loss(runs).layout.shapes
    assert shape.line.dash == "dash"
    assert shape.y0 == shape.y1 == NO_PROMPT


def test_an_adapter_is_not_the_model_without_a_prompt(tmp_path):
    finished(tmp_path, f"{1:016x}", config("gaussian"), None, 0.5, 4)
    lora = config("gaussian", mode="none", train={"steps": 40, "lora": 16, "lr": 1e-3})
    run = finished(tmp_path, f"{2:016x}", lora, None, None, 4)
    stored = json.loads((run / "result.json").read_text())
    (run / "result.json").write_text(json.dumps(stored | {"val_loss": 1.0}))
    (shape,) = validation_loss(list_runs(tmp_path)).layout.shapes
    assert shape.y0 == NO_PROMPT


@pytest.mark.parametrize("draw", [validation_loss, displacement, nearest])
def test_failed_and_unfinished_runs_are_in_no_figure(runs, draw):
    assert {run.status for run in runs} == {"done", "failed", "unfinished"}
    assert "xavier" not in draw(runs).to_json()


def test_the_map_shows_every_row_of_the_vocabulary_where_it_is_stored(runs, plane):
    figure = vocabulary_map(plane, runs)
    cloud = figure.data[0]
    assert cloud.type == "scattergl"
    assert len(cloud.text) == len(plane.labels) == 300
    np.testing.assert_array_equal(np.stack([cloud.x, cloud.y], 1), plane.coordinates.numpy())
    assert "xavier" not in figure.to_json()


def test_starts_are_hollow_ends_filled_and_both_where_the_plane_puts_them(runs, plane):
    figure = vocabulary_map(plane, runs)
    mine = [run for run in trained(runs) if prior_of(run) == "gaussian"]
    _, starts, ends = (t for t in figure.data if t.legendgroup == "gaussian")
    assert starts.marker.symbol == f"{ends.marker.symbol}-open"
    assert starts.marker.color == ends.marker.color
    for trace, moment in ((starts, "initial"), (ends, "final")):
        points = torch.cat([run.tensors()[f"{moment}/embed"] for run in mine])
        expected = project(points, plane.mean, plane.components)
        np.testing.assert_array_equal(np.stack([trace.x, trace.y], 1), expected.numpy())
        assert len(trace.text) == len(points)


def test_each_way_begins_at_its_start_ends_at_its_end_and_is_joined_to_no_other(runs, plane):
    way, starts, ends = (
        t for t in vocabulary_map(plane, runs).data if t.legendgroup == "isotropic"
    )
    gaps = np.flatnonzero(np.isnan(way.x))
    assert len(gaps) == len(starts.x) == 4
    begins = np.concatenate([[0], gaps[:-1] + 1])
    np.testing.assert_array_equal(way.x[begins], starts.x)
    np.testing.assert_array_equal(way.y[gaps - 1], ends.y)


def test_prompts_at_another_site_leave_no_marks(runs, plane):
    elsewhere = plane._replace(site="block.3")
    assert [t.name for t in vocabulary_map(elsewhere, runs).data] == ["vocabulary"]


def test_a_baseline_leaves_no_marks(runs, plane):
    baseline = [run for run in runs if prior_of(run) == "no prompt"]
    assert len(vocabulary_map(plane, baseline).data) == 1
    assert len(displacement(baseline).data) == 0


def test_the_axes_of_the_map_have_one_scale_and_name_their_share(runs, plane):
    layout = vocabulary_map(plane, runs).layout
    assert layout.yaxis.scaleanchor == "x"
    assert f"{100 * plane.explained[0]:.1f} %" in layout.xaxis.title.text


def test_the_displacement_figure_shows_each_vectors_way_over_its_start(runs):
    for trace, run in zip(displacement(runs).data, trained(runs), strict=True):
        tensors = run.tensors()
        start, end = tensors["initial/embed"], tensors["final/embed"]
        expected = [(b - a).norm() / a.norm() for a, b in zip(start, end, strict=True)]
        np.testing.assert_allclose(trace.x, expected, rtol=1e-6)


@pytest.mark.parametrize(("spread", "axis"), [(0.6, "linear"), (60.0, "log")])
def test_a_wide_range_of_displacements_gets_a_logarithmic_axis(tmp_path, plane, spread, axis):
    finished(tmp_path, f"{1:016x}", config("gaussian"), plane, 0.5, 4)
    finished(tmp_path, f"{2:016x}", config("isotropic"), plane, spread, 4)
    layout = displacement(list_runs(tmp_path)).layout
    assert layout.xaxis.type == axis
    assert ("logarithmic" in layout.xaxis.title.text) == (axis == "log")


def test_nearest_tokens_stand_beside_the_null_values(runs, plane):
    figure = nearest(runs, plane.nulls)
    assert [shape.x0 for shape in figure.layout.shapes] == [0.64, 0.78]
    hollow, filled = figure.data[:2]
    assert hollow.marker.symbol.endswith("-open")
    stored = trained(runs)[0].result["nearest_tokens"]["embed"]
    assert list(filled.x) == [vector[0]["cosine"] for vector in stored["final"]]


def test_no_text_of_a_model_reaches_plotly_as_markup(runs, plane):
    for figure in (vocabulary_map(plane, runs), nearest(runs, plane.nulls)):
        texts = [text for trace in figure.data for text in trace.text or ()]
        assert any("&lt;/script&gt;" in text for text in texts)
        assert not any(SCRIPT[:9] in text or "<b>" in text for text in texts)
