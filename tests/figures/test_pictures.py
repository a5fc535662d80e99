"""Pictures of the paper's figures as matplotlib draws them."""

import torch

from promptpriors.figures.pictures import draw
from promptpriors.runs.pictures import Layer, Panel, Picture


def test_a_grid_has_a_frame_for_each_panel_and_no_more():
    cloud = Layer("cloud", "C4", "data", torch.randn(20, 2))
    panels = [Panel(f"block.{i}", ("", ""), [cloud]) for i in range(4)]
    figure = draw(Picture(4, "A title", "A caption", panels, {}, columns=3))
    assert [axes.axison for axes in figure.axes] == [True] * 4 + [False] * 2
