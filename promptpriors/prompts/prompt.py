"""A prompt: trained vectors by site. It does not know how it enters the network."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from promptpriors.errors import InputError
from promptpriors.types import Site


class Prompt(nn.Module):
    """Trained vectors at one site (soft) or several (deep).

    ``parameters()`` are float32, each ``[length, width]``, registered under the site's name with
    ``.`` written ``/``, since torch allows no dots.

    Args:
        mode: a row of ``MODES``.
        values: the start at each site, ``[length, width]``, copied.
        bos: whether the tokenizer's first token stands before the prompt, for models that need it.

    Raises:
        InputError: if the sites disagree about the length.
    """

    def __init__(self, mode: str, values: Mapping[Site, Tensor], *, bos: bool = False) -> None:
        super().__init__()
        lengths = {len(value) for value in values.values()}
        if len(lengths) > 1:
            raise InputError(f"a prompt has one length at all its sites, found {sorted(lengths)}")
        self.mode = mode
        self.bos = bos
        self.sites: tuple[Site, ...] = tuple(values)
        self.length: int = lengths.pop() if lengths else 0
        for site, value in values.items():
            start = value.detach().to("cpu", torch.float32).clone()
            self.register_parameter(site.replace(".", "/"), nn.Parameter(start))

    @property
    def values(self) -> dict[Site, nn.Parameter]:
        """Site to parameter, in the order of ``sites``."""
        return {site: self.get_parameter(site.replace(".", "/")) for site in self.sites}

    @property
    def before(self) -> int:
        """Positions that stand before the text: the prompt's and the first token's."""
        return self.length + self.bos

    def snapshot(self) -> dict[Site, Tensor]:
        """A detached copy of the values on the CPU."""
        return {site: value.detach().cpu().clone() for site, value in self.values.items()}

    def extra_repr(self) -> str:
        """Mode, length and sites."""
        return f"mode={self.mode!r}, length={self.length}, sites={self.sites}"
