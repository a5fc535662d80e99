"""PEFT's LoRA in a frozen model: the ceiling of the scale of quality."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from promptpriors.models import Backbone
from promptpriors.rng import derive

ALPHA = 2
"""LoRA's alpha over its rank, so that BA is always added twice. PEFT's default is alpha = 8 for
every rank: at rank 16 it adds half of BA, and the best rate would change with the rank."""
NAME = "ceiling"


@contextmanager
def adapted(backbone: Backbone, rank: int, *, seed: int) -> Iterator[list[nn.Parameter]]:
    """A model with LoRA (Hu et al. 2021) in it for the length of a ``with``.

    W x becomes W x + 2 B A x with A [rank, in], B [out, rank], in PEFT's default modules of the
    model's architecture (Llama's: queries and values), in all linear ones where PEFT has none. B
    starts at zero, so the start is the plain model. The modules are replaced inside
    ``backbone.model``, so everything that calls the model, packed or padded, finds the adapter.
    Afterwards, also after an error, the modules that were there before are back.

    Args:
        backbone: the frozen model; its weights are not changed.
        rank: of the update.
        seed: of A.

    Yields:
        The adapter's weights, float32, which take gradients.
    """
    import peft
    from peft.functional import cast_adapter_dtype
    from transformers.pytorch_utils import Conv1D

    model: Any = backbone.model
    known = peft.LoraModel.target_module_mapping
    config = peft.LoraConfig(
        r=rank,
        lora_alpha=ALPHA * rank,
        target_modules=None if model.config.model_type in known else "all-linear",
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "lora"))
        tuner = peft.LoraModel(model, config, NAME)
    try:
        cast_adapter_dtype(model, NAME)
        model.eval()
        yield [weight for weight in model.parameters() if weight.requires_grad]
    finally:
        tuner.unload()
