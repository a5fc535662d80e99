"""How a prompt enters the network: a table of modes.

A mode says what stands before the text. Of ``soft`` and ``none`` that is a root segment of input
embeddings, which runs through all blocks.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from promptpriors.errors import InputError, unknown
from promptpriors.models import Backbone
from promptpriors.types import Site


class Mode(NamedTuple):
    """One way to insert a prompt.

    Attributes:
        root: values by site and backbone to the input embeddings of the rows before the text.
        sites: the sites the mode can take, None for any.
        least: the smallest length.
        about: one line for people.
    """

    root: Callable[[Mapping[Site, Tensor], Backbone], Float[Tensor, "length dim"]]
    sites: tuple[Site, ...] | None
    least: int
    about: str


def _soft(values: Mapping[Site, Tensor], backbone: Backbone) -> Tensor:
    width = values["embed"].shape[1]
    if width != backbone.dim:
        raise InputError(
            f"the prompt's vectors have {width} coordinates, those of model {backbone.name!r} "
            f"{backbone.dim}; take the model that the prompt was drawn for"
        )
    return values["embed"].to(backbone.device)


def _none(values: Mapping[Site, Tensor], backbone: Backbone) -> Tensor:  # noqa: ARG001
    return torch.zeros(0, backbone.dim, device=backbone.device)


MODES: dict[str, Mode] = {
    "none": Mode(_none, (), 0, "nothing is trained: the plain model, a baseline"),
    "soft": Mode(_soft, ("embed",), 1, "embeddings at the input (Lester et al. 2021)"),
}


def check_mode(mode: str, length: int, sites: Sequence[Site]) -> Mode:
    """The row of a mode, if length and sites go with it.

    Raises:
        InputError: for an unknown mode, a length below its least, or sites it can't take.
    """
    if mode not in MODES:
        raise unknown("mode", mode, MODES)
    row = MODES[mode]
    if length < row.least:
        raise InputError(
            f"prompt length {length} with mode {mode!r}: expected at least {row.least} "
            "(for the empty prompt take mode 'none')"
        )
    if row.sites is not None and row.sites and tuple(sites) != row.sites:
        raise InputError(f"mode {mode!r} takes sites = {list(row.sites)}, found {list(sites)}")
    return row
