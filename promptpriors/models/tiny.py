"""A random two-block Llama with a byte-level tokenizer: for tests, never for results."""

from typing import Any

import torch

from promptpriors.models.backbone import Backbone, freeze

REVISION = "tiny 1"
BLOCKS = 2
ROWS = 264
"""Embeddings: 256 bytes, one end token, seven rows that no token uses."""


def load(*, dtype: torch.dtype) -> Backbone:
    """Build the model from its config; the weights are always the same ones."""
    from transformers.models.llama.configuration_llama import LlamaConfig
    from transformers.models.llama.modeling_llama import LlamaForCausalLM

    tokenizer = byte_tokenizer()
    config = LlamaConfig(
        vocab_size=ROWS,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=BLOCKS,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        initializer_range=0.2,  # lively enough for prompts to matter
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id,
    )
    return freeze("tiny", REVISION, draw_weights(LlamaForCausalLM, config).to(dtype), tokenizer)


def draw_weights(architecture: Any, config: Any) -> Any:
    """The model of a config, its weights drawn without the global generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return architecture._from_config(config, attn_implementation="sdpa")


def byte_tokenizer() -> Any:
    """One token a byte, and an end token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers.tokenization_utils_tokenizers import PreTrainedTokenizerFast

    symbols = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={s: i for i, s in enumerate(symbols)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    end = "<|end|>"
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=end, pad_token=end)
