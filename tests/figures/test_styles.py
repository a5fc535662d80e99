"""Names, colours and lines of runs."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from promptpriors.figures.styles import PALETTE, run_styles
from promptpriors.runs import Run
from promptpriors.runs.labels import prior_of
from tests.report.sample import config

BLINDNESS = {
    "none": np.eye(3),
    "protanopia": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deuteranopia": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "tritanopia": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}
"""Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB."""

XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def linear(colour):
    value = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    x = XYZ @ np.clip(rgb, 0, 1) / XYZ.sum(1)
    f = np.where(x > 0.008856, np.cbrt(x), 7.787 * x + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def contrast(one, other):
    dark, bright = sorted(float(XYZ[1] @ linear(c)) + 0.05 for c in (one, other))
    return bright / dark


def run(named, name, **changes):
    return Run(Path(name), config(named, **changes), None, None)


@pytest.mark.parametrize("kind", BLINDNESS)
def test_colours_stay_apart_for_every_kind_of_eye(kind):
    seen = [lab(np.array(BLINDNESS[kind]) @ linear(colour)) for colour in PALETTE]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 20


@pytest.mark.parametrize("background", ["#fcfbf9", "#15171b"])
def test_colours_are_seen_on_both_of_the_pages_backgrounds(background):
    assert min(contrast(colour, background) for colour in PALETTE) >= 3


def test_seeds_of_a_prior_share_its_colour_and_line():
    runs = [run("gaussian", "a"), run("gaussian", "b", seed=1), run("xavier", "c")]
    style = run_styles(runs)
    assert style.style(runs[0]) == style.style(runs[1]) != style.style(runs[2])
    assert style.dashes["a"] == style.dashes["b"]
    assert list(style.names.values()) == [
        "gaussian · seed 0",
        "gaussian · seed 1",
        "xavier · seed 0",
    ]


def test_colours_do_not_depend_on_the_order_of_the_runs():
    runs = [run("gaussian", "a"), run("xavier", "c")]
    assert run_styles(runs).styles == run_styles(runs[::-1]).styles


def test_settings_of_one_prior_are_told_apart_by_what_differs():
    wide = {"name": "gaussian", "space": "vocabulary", "covariance": "diag"}
    runs = [run("gaussian", "a"), run("gaussian", "b"), run("gaussian", "c", prior=wide)]
    style = run_styles(runs)
    assert style.names["c"] == "gaussian · covariance=diag · seed 0"
    assert style.dashes["a"] == style.dashes["b"] != style.dashes["c"]


def test_runs_that_share_every_setting_are_told_apart_by_their_ids():
    names = run_styles([run("gaussian", "abcdef99"), run("gaussian", "123456ff")]).names
    assert list(names.values()) == ["gaussian · seed 0 · abcdef", "gaussian · seed 0 · 123456"]


def test_runs_on_another_task_lend_no_settings_to_a_name():
    longer = {"train": {"steps": 999}, "task": {"name": "squad"}}
    names = run_styles([run("gaussian", "a"), run("gaussian", "b", **longer)]).names
    assert set(names.values()) == {"gaussian · seed 0"}


def test_the_first_56_priors_differ_in_colour_or_marker():
    styles = run_styles([run(f"prior{i}", str(i)) for i in range(56)]).styles
    assert len(set(styles.values())) == 57


def test_a_prior_made_of_others_names_them():
    inner = {"name": "matched", "match": "rms", "prior": {"name": "isotropic", "sigma": 0.02}}
    assert prior_of(run("", "a", prior=inner)) == "matched(isotropic)"


def test_a_run_without_vectors_is_called_no_prompt():
    assert prior_of(run("gaussian", "a", mode="none")) == "no prompt"
