"""What is stored of a figure is what is read, and what is missing says how it is made."""

import json

import pytest
import torch

import promptpriors as pp
from promptpriors.files import write_json
from promptpriors.runs.pictures import (
    Layer,
    Panel,
    Picture,
    check_figure,
    read_picture,
    write_picture,
)

WAY = torch.tensor([[0.0, 1.0], [2.0, 3.0], [torch.nan, torch.nan]])


def picture(number=6):
    layers = [
        Layer("cloud", "vocabulary", "data", torch.randn(50, 2)),
        Layer("ways", "a <b>text</b>", "trained", WAY),
    ]
    return Picture(number, "Title", "Caption", [Panel("left", ("x", "y"), layers)], {"p": 0.5})


def test_a_picture_is_read_as_it_was_written(tmp_path):
    written = picture()
    write_picture(tmp_path, written)
    found = read_picture(tmp_path, 6)
    assert (found.title, found.caption, found.numbers) == ("Title", "Caption", {"p": 0.5})
    for one, other in zip(written.panels[0].layers, found.panels[0].layers, strict=True):
        assert one[:3] == other[:3]
        torch.testing.assert_close(one.points, other.points, equal_nan=True)
    assert json.loads((tmp_path / "fig06.json").read_text())["numbers"] == {"p": 0.5}


def test_a_figure_without_data_says_which_command_makes_them(tmp_path):
    with pytest.raises(pp.InputError, match=r"figure 3 has no data .*promptpriors figures 3 --all"):
        read_picture(tmp_path, 3)


def test_a_damaged_picture_is_refused(tmp_path):
    write_picture(tmp_path, picture())
    path = tmp_path / "fig06.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(pp.InputError, match="fig06"):
        read_picture(tmp_path, 6)


def test_a_figure_replaces_figures_alone(tmp_path):
    check_figure(tmp_path, 1)
    (tmp_path / "fig01.png").write_bytes(b"mine")
    with pytest.raises(pp.InputError, match=r"fig01\.png exists and is no figure of ours"):
        check_figure(tmp_path, 1)
    (tmp_path / "fig01.json").write_text('{"a": 1}')
    with pytest.raises(pp.InputError, match=r"fig01\.json exists and is no figure's file of ours"):
        check_figure(tmp_path, 1)
    write_json(tmp_path / "fig01.json", {"figure": 1, "title": ""})
    check_figure(tmp_path, 1)
