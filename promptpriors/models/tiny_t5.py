"""A random two-block T5 with a byte-level tokenizer: for tests and trials, never for results."""

import torch

from promptpriors.models.backbone import Backbone, freeze
from promptpriors.models.tiny import ROWS, byte_tokenizer, draw_weights

REVISION = "tiny-t5 1"
BLOCKS = 0
"""Blocks that take a deep prompt: none in an encoder–decoder."""


def load(*, dtype: torch.dtype) -> Backbone:
    """Build the model from its config; the weights are always the same ones."""
    from transformers.models.t5.configuration_t5 import T5Config
    from transformers.models.t5.modeling_t5 import T5ForConditionalGeneration

    tokenizer = byte_tokenizer()
    config = T5Config(
        vocab_size=ROWS,
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_heads=4,
        initializer_factor=1.5,  # lively enough for prompts to matter
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id,
    )
    config.decoder_start_token_id = 260  # a row that no token uses
    model = draw_weights(T5ForConditionalGeneration, config)
    model.shared.weight.data *= 0.2  # else a token repeats itself past all attention
    return freeze("tiny-t5", REVISION, model.to(dtype), tokenizer)
