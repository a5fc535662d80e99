"""Tiny models of other architectures than the table's."""

import pytest
import torch

from promptpriors.models import Backbone


@pytest.fixture(scope="session")
def gpt2(tiny):
    """A tiny model with learned positions."""
    from transformers import GPT2Config, GPT2LMHeadModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        config = GPT2Config(
            vocab_size=264, n_embd=32, n_layer=3, n_head=4, n_positions=128, initializer_range=0.2
        )
        model = GPT2LMHeadModel(config).eval().requires_grad_(False)
    return Backbone("gpt2-test", "1", model, tiny.tokenizer)


@pytest.fixture(scope="session")
def qwen3(tiny):
    """A tiny model with grouped queries whose heads are wider than dim / heads."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        config = Qwen3Config(
            vocab_size=264,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=3,
            num_attention_heads=6,
            num_key_value_heads=2,
            head_dim=8,
            initializer_range=0.2,
        )
        model = Qwen3ForCausalLM(config).eval().requires_grad_(False)
    return Backbone("qwen3-test", "1", model, tiny.tokenizer)
