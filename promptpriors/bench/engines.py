"""Engines that are timed: ours, and PEFT as its users run it."""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from promptpriors.errors import InputError
from promptpriors.models import Backbone
from promptpriors.packing import Encoded, pad
from promptpriors.prompts import Prompt, token_losses
from promptpriors.prompts.modes import block_of
from promptpriors.types import Site

RATE = 1e-3
"""Learning rate of both engines; speed does not depend on it."""


class Step(NamedTuple):
    """Time, tokens and loss of one update.

    Attributes:
        seconds: of packing or padding, forward, backward and the optimiser's step.
        examples: in the batch.
        tokens: that ran through the network, prompt and padding included.
        loss: mean nats per target token before the update.
    """

    seconds: float
    examples: int
    tokens: int
    loss: float


class Ours:
    """Our engine on packed rows."""

    def __init__(self, backbone: Backbone, prompt: Prompt, rate: float = RATE) -> None:
        self.backbone, self.prompt = backbone, prompt
        self.optimiser = torch.optim.AdamW(prompt.parameters(), lr=rate, weight_decay=0.0)

    def step(self, batch: Sequence[Encoded]) -> Step:
        """Update the prompt on a batch."""
        began = time.perf_counter()
        self.optimiser.zero_grad(set_to_none=True)
        losses = token_losses(self.backbone, self.prompt, batch)
        mean = losses.nats.mean()
        mean.backward()
        self.optimiser.step()
        loss = float(mean.detach())
        return Step(time.perf_counter() - began, len(batch), losses.computed, loss)

    def gradient(self, batch: Sequence[Encoded]) -> tuple[float, Tensor]:
        """Compute loss and gradient of a batch, a row a site; nothing is updated."""
        self.prompt.zero_grad(set_to_none=True)
        mean = token_losses(self.backbone, self.prompt, batch).nats.mean()
        mean.backward()
        found: list[Any] = [value.grad for value in self.prompt.parameters()]
        self.prompt.zero_grad(set_to_none=True)
        return float(mean.detach()), torch.stack(found)


class Peft:
    """PEFT's PromptTuning or PrefixTuning on padded batches, with our start.

    The base model is the backbone's own; prompt learning adds nothing to its modules.

    Raises:
        InputError: without PEFT, or for a mode that it does not have.
    """

    def __init__(self, backbone: Backbone, prompt: Prompt, rate: float = RATE) -> None:
        try:
            import peft
        except ImportError:
            raise InputError("the benchmark needs PEFT: pip install peft") from None
        kinds: dict[str, Any] = {"soft": peft.PromptTuningConfig, "kv": peft.PrefixTuningConfig}
        if prompt.mode not in kinds:
            raise InputError(f"PEFT has no mode {prompt.mode!r}; it has {', '.join(kinds)}")
        self.backbone = backbone
        self.rows = prompt.length if prompt.mode == "soft" else 0  # a prefix is not computed
        config = kinds[prompt.mode](task_type="CAUSAL_LM", num_virtual_tokens=prompt.length)
        self.model: Any = peft.get_peft_model(backbone.model, config)
        self.weight = next(p for p in self.model.parameters() if p.requires_grad)
        with torch.no_grad():
            self.weight.copy_(torch.cat(list(_in_order(prompt.values).values()), dim=1))
        self.optimiser = torch.optim.AdamW([self.weight], lr=rate, weight_decay=0.0)

    def step(self, batch: Sequence[Encoded]) -> Step:
        """Update the prompt on a batch."""
        began = time.perf_counter()
        self.optimiser.zero_grad(set_to_none=True)
        loss, tokens = self._forward(batch)
        loss.backward()
        self.optimiser.step()
        found = float(loss.detach())
        return Step(time.perf_counter() - began, len(batch), tokens, found)

    def gradient(self, batch: Sequence[Encoded]) -> tuple[float, Tensor]:
        """Compute loss and gradient of a batch, as ``Ours.gradient``."""
        self.weight.grad = None
        loss, _ = self._forward(batch)
        loss.backward()
        found: Any = self.weight.grad
        self.weight.grad = None
        sites = 1 if found.shape[1] == self.backbone.dim else len(self.backbone.blocks)
        return float(loss.detach()), torch.stack(found.chunk(sites, dim=1))

    def _forward(self, batch: Sequence[Encoded]) -> tuple[Tensor, int]:
        ids, mask, labels = _labelled(batch)
        out = self.model(input_ids=ids, attention_mask=mask, labels=labels)
        return out.loss, mask.numel() + len(mask) * self.rows


def _in_order(values: dict[Site, Any]) -> dict[Site, Any]:
    return dict(sorted(values.items(), key=lambda pair: block_of(pair[0])))


def _labelled(batch: Sequence[Encoded]) -> tuple[Tensor, Tensor, Tensor]:
    """Ids, mask and labels as a collator of PEFT's users makes them: padded on the right.

    The last token of a target is read as well: Hugging Face shifts labels inside the model.
    """
    box = pad([e._replace(target=(*e.target, 0)) for e in batch])
    labels = torch.full_like(box.tokens, -100)
    known = torch.arange(len(box.targets))
    last = torch.cat([box.line[1:] != box.line[:-1], torch.tensor([True])])
    kept = known[~last]  # the added token is no target
    labels[box.line[kept], box.read[kept] + 1] = box.targets[kept]
    return box.tokens, box.mask.long(), labels
