"""State of a training: all that is needed to go on from there."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from promptpriors.errors import InputError
from promptpriors.prompts import Prompt
from promptpriors.registry import check_call
from promptpriors.training.rates import Relative, rates
from promptpriors.training.settings import Settings


class Progress:
    """State of a training: all that is needed to go on from there.

    Args:
        prompt: what is trained.
        lr: absolute, or relative to the prompt's present values.
        weight_decay: decoupled, per unit of rate.
        adapter: weights in the model that are trained in place of the prompt's vectors. They are no
            part of a checkpoint.

    Attributes:
        trained: what is trained, by site; an adapter's weights as ``adapter``.
        step: steps taken.
        peak: the rate by site before schedule and warm-up.
        optimiser: AdamW over what is trained, one group a site.
        seconds: as ``Record.seconds``.
        training_seconds: of the steps alone.
        tokens: as ``Record.tokens``.
        useful: tokens of the examples trained on, each counted in full.
        ceiling: the loss above which training counts as diverged, known after the first evaluation.
    """

    def __init__(
        self,
        prompt: Prompt,
        lr: float | Relative,
        *,
        weight_decay: float = 0.0,
        adapter: Sequence[nn.Parameter] = (),
    ) -> None:
        check_call(Settings, "Progress", {"weight_decay": weight_decay})
        self.prompt = prompt
        self.trained = {site: [value] for site, value in prompt.values.items()}
        self.step = 0
        self.peak = rates(prompt, lr)
        if adapter:
            if isinstance(lr, Mapping):
                raise InputError("an adapter starts at zero, and so would a relative rate")
            self.trained, self.peak = {"adapter": list(adapter)}, {"adapter": float(lr)}
        groups = [{"params": part, "lr": self.peak[site]} for site, part in self.trained.items()]
        self.optimiser = torch.optim.AdamW(groups, weight_decay=weight_decay)
        self.seconds = self.training_seconds = 0.0
        self.tokens = self.useful = 0
        self.ceiling = math.inf

    @property
    def parameters(self) -> list[nn.Parameter]:
        """All that is trained."""
        return [value for part in self.trained.values() for value in part]

    def tensors(self) -> dict[str, Tensor]:
        """Values and moments by name, for a checkpoint."""
        found = {}
        for site, value in self.prompt.values.items():
            found[f"value/{site}"] = value.detach().clone()
            moments = self.optimiser.state.get(value, {})
            found |= {f"{key}/{site}": tensor for key, tensor in moments.items()}
        return found

    def counters(self) -> dict[str, Any]:
        """Everything else of a checkpoint."""
        names = ("step", "peak", "seconds", "training_seconds", "tokens", "useful", "ceiling")
        return {name: getattr(self, name) for name in names}

    def restore(self, tensors: Mapping[str, Tensor], counters: Mapping[str, Any]) -> None:
        """Go on from a checkpoint of ``tensors()`` and ``counters()``, on the prompt's device."""
        for name in self.counters():
            setattr(self, name, counters[name])
        self.peak = {site: self.peak[site] for site in self.trained}  # in the order of the sites
        for site, parameter in self.prompt.values.items():
            parameter.data.copy_(tensors[f"value/{site}"])
            for name in ("step", "exp_avg", "exp_avg_sq"):
                if f"{name}/{site}" in tensors:
                    device = "cpu" if name == "step" else parameter.device
                    self.optimiser.state[parameter][name] = tensors[f"{name}/{site}"].to(device)
