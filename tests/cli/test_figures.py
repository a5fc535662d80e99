"""The command figures as a user meets it."""

import json

import pytest
import torch

from promptpriors.runs.pictures import Layer, Panel, Picture, write_picture


def stored(folder, *numbers):
    for number in numbers:
        layers = [
            Layer("cloud", "vocabulary", "data", torch.randn(50, 2)),
            Layer("marks", "trained", "trained", torch.randn(5, 2)),
            Layer("ways", "text 1", "question", torch.randn(6, 2)),
        ]
        panel = Panel("", ("first", "second"), layers)
        write_picture(folder, Picture(number, "A title", "A caption", [panel], {"p": 0.5}))


@pytest.mark.slow
def test_figures_are_drawn_from_what_is_stored(place, cli):
    stored(place / "runs" / "figures", 6, 12)
    status, out, _ = cli("figures", 6, 12, "--out", "drawn")
    assert (status, out.split()) == (0, ["drawn/fig06.png", "drawn/fig12.png"])
    assert (place / "drawn" / "fig06.png").read_bytes().startswith(b"\x89PNG")
    assert "A title" in (place / "drawn" / "fig12.svg").read_text()
    assert json.loads((place / "drawn" / "fig12.json").read_text())["numbers"] == {"p": 0.5}
    status, out, _ = cli("figures", 6, "--json")
    assert (status, json.loads(out)[0]["png"]) == (0, "runs/figures/fig06.png")


@pytest.mark.slow
def test_the_same_picture_gives_the_same_bytes(place, cli):
    stored(place / "runs" / "figures", 6)
    for folder in ("one", "two"):
        cli("figures", 6, "--out", folder)
    for kind in ("png", "json"):
        one, two = (place / folder / f"fig06.{kind}" for folder in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()


def test_what_can_not_be_drawn_is_answered(place, cli):
    status, _, err = cli("figures", 14)
    assert (status, err) == (2, "error: there is no figure 14; expected numbers from 1 to 13\n")
    status, _, err = cli("figures", 3)
    assert status == 2
    assert "promptpriors figures 3 --all configs/paper/figures.toml --runs runs" in err
    status, _, err = cli("figures", "--all", "nothing.toml")
    assert status == 2
    assert "nothing.toml" in err
