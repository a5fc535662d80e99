"""Which models may be packed is found out by asking them."""

import copy
import dataclasses
import warnings

import pytest
import torch
from transformers import AutoModelForCausalLM as Auto
from transformers import (
    BloomConfig,
    DynamicCache,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoXConfig,
    Lfm2Config,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    Qwen3Config,
)

import promptpriors as pp
from promptpriors.models.backbone import freeze
from promptpriors.packing import encode, entered, packs_exactly
from promptpriors.packing.attention import NAME
from promptpriors.prompts import generate, token_losses
from promptpriors.prompts.losses import packed_losses, padded_losses
from promptpriors.prompts.modes import split_keys
from tests.helpers import EXAMPLES, drawn

SMALL = {
    "vocab_size": 264,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "initializer_range": 0.2,
}
WIDE = {"intermediate_size": 64, "max_position_embeddings": 256}
GROUPED = {"num_key_value_heads": 2}
CONFIGS = {
    "gpt2": GPT2Config(
        vocab_size=264, n_embd=32, n_layer=2, n_head=4, n_positions=256, initializer_range=0.2
    ),
    "gpt_neox": GPTNeoXConfig(**SMALL, **WIDE),
    "qwen3": Qwen3Config(**SMALL, **WIDE, **GROUPED, head_dim=8),
    "mistral": MistralConfig(**SMALL, **WIDE, **GROUPED, sliding_window=9),
    "gemma3": Gemma3TextConfig(
        **SMALL,
        **WIDE,
        **GROUPED,
        head_dim=8,
        sliding_window=9,
        layer_types=["sliding_attention", "full_attention"],
    ),
    "gemma2": Gemma2Config(
        **SMALL,
        **WIDE,
        **GROUPED,
        head_dim=8,
        sliding_window=9,
        attn_logit_softcapping=5.0,
        final_logit_softcapping=8.0,
    ),
    "llama": LlamaConfig(**SMALL, **WIDE, **GROUPED),
    "lfm2": Lfm2Config(**SMALL, **WIDE, **GROUPED, layer_types=["conv", "full_attention"]),
    "bloom": BloomConfig(
        vocab_size=264, hidden_size=32, n_layer=2, n_head=4, initializer_range=0.2
    ),
    "mamba": MambaConfig(vocab_size=264, hidden_size=32, num_hidden_layers=2, state_size=4),
}
PADDED = {"bloom", "mamba", "lfm2"}


def built(name, tiny):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Auto.from_config(copy.deepcopy(CONFIGS[name]))
    return freeze(name, "test", model, tiny.tokenizer)


@pytest.fixture(scope="module", params=CONFIGS)
def family(request, tiny):
    return built(request.param, tiny)


def test_every_family_gives_the_padded_loss_whether_it_packs_or_not(family):
    prompt = drawn(family, "soft")
    encoded = encode(family, EXAMPLES)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = token_losses(family, prompt, encoded)
    single = [padded_losses(family, prompt, [one]).nats for one in encoded]
    torch.testing.assert_close(found.nats, torch.cat(single), rtol=1e-4, atol=1e-5)
    padded = padded_losses(family, prompt, encoded)
    torch.testing.assert_close(padded.nats, torch.cat(single), rtol=1e-4, atol=1e-5)
    assert (found.computed < padded.computed) == (family.name not in PADDED)


def test_every_family_generates_what_teacher_forcing_says(family):
    prompt = drawn(family, "soft")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        answers = generate(family, prompt, EXAMPLES[:5], max_new_tokens=6)
    for example, answer in zip(EXAMPLES[:5], answers, strict=True):
        ids = [i for piece in example.source for i in family.encode(piece)]
        start = torch.cat([prompt.values["embed"], family.embed(torch.tensor(ids))])
        for _ in range(6):
            logits = family.model(inputs_embeds=start[None]).logits[0, -1]
            if (token := int(logits.argmax())) == family.end:
                break
            ids.append(token)
            start = torch.cat([start, family.embed(torch.tensor([token]))])
        source = sum(len(family.encode(piece)) for piece in example.source)
        assert answer == family.decode(ids[source:]).strip()


PACKED = sorted(set(CONFIGS) - PADDED)


@pytest.mark.parametrize("name", PACKED)
def test_gradients_of_every_family_that_packs_equal_the_padded_ones(name, tiny):
    backbone = built(name, tiny)
    prompt = drawn(backbone, "soft")
    encoded = encode(backbone, EXAMPLES)
    found = []
    for method in (packed_losses, padded_losses):
        prompt.zero_grad()
        method(backbone, prompt, encoded).nats.mean().backward()
        found.append(prompt.values["embed"].grad.clone())
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", PACKED)
def test_keys_and_values_before_a_text_act_as_hugging_faces_cache_does(name, tiny):
    backbone = built(name, tiny)
    prompt = drawn(backbone, "kv")
    for example, encoded in zip(EXAMPLES, encode(backbone, EXAMPLES), strict=True):
        cache = DynamicCache()
        for i, value in enumerate(prompt.values.values()):
            keys, values = split_keys(value, backbone)
            cache.update(keys[None], values[None], i)
        ids = torch.tensor([[*sum(encoded.pieces, ()), *encoded.target]])
        logits = backbone.model(input_ids=ids, past_key_values=cache).logits[0, :-1]
        start = sum(map(len, encoded.pieces)) - 1 if encoded.pieces else 0
        expected = torch.nn.functional.cross_entropy(logits[start:], ids[0, 1:][start:])
        torch.testing.assert_close(pp.loss(backbone, prompt, [example]), expected)


def test_outside_of_our_calls_a_model_keeps_its_own_attention(tiny):
    for name in ("llama", "gemma2"):
        backbone = built(name, tiny)
        before = backbone.model.config._attn_implementation
        prompt = drawn(backbone, "deep")
        pp.loss(backbone, prompt, EXAMPLES).backward()
        generate(backbone, prompt, EXAMPLES[:2], max_new_tokens=2)
        assert backbone.model.config._attn_implementation == before
        assert not any("forward" in vars(block) for block in backbone.blocks)


def test_an_attention_that_fails_leaves_the_model_as_it_was(tiny):
    backbone = built("llama", tiny)
    prompt = drawn(backbone, "deep-cut")
    with pytest.raises(RuntimeError, match="boom"), entered(backbone.model):
        raise RuntimeError("boom")
    before = backbone.model.config._attn_implementation
    backbone = dataclasses.replace(backbone, attention="no such kernel")
    assert not _quiet(lambda: packs_exactly(backbone))
    assert backbone.model.config._attn_implementation == before != NAME
    assert not any("forward" in vars(block) for block in backbone.blocks)
    assert prompt.length


def _quiet(call):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call()


def test_our_attention_is_never_called_without_a_tree(tiny):
    backbone = built("llama", tiny)
    with entered(backbone.model), pytest.raises(ValueError, match="without a tree"):
        backbone.model(input_ids=torch.tensor([[5, 6, 7, 8]]))


def test_a_model_that_does_not_qualify_says_so_once(tiny):
    backbone = freeze("bloom", "test", Auto.from_config(CONFIGS["bloom"]), tiny.tokenizer)
    with pytest.warns(UserWarning, match="runs as padded batches"):
        assert not packs_exactly(backbone)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not packs_exactly(backbone)
        pp.loss(backbone, None, EXAMPLES)
