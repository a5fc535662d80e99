"""Which models may be packed is found out by asking them."""

import warnings

import pytest
import torch
from transformers import AutoModelForCausalLM as Auto
from transformers import (
    BloomConfig,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoXConfig,
    MambaConfig,
    MistralConfig,
    Qwen3Config,
)

import promptpriors as pp
from promptpriors.models.backbone import freeze
from promptpriors.packing import encode, packs_exactly
from promptpriors.prompts import generate, token_losses
from promptpriors.prompts.losses import padded_losses
from tests.test_contracts import EXAMPLES, drawn

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
    "mistral": MistralConfig(**SMALL, **WIDE, **GROUPED, sliding_window=24),
    "gemma3": Gemma3TextConfig(
        **SMALL, **WIDE, **GROUPED, head_dim=8, layer_types=["full_attention"] * 2
    ),
    "bloom": BloomConfig(
        vocab_size=264, hidden_size=32, n_layer=2, n_head=4, initializer_range=0.2
    ),
    "mamba": MambaConfig(vocab_size=264, hidden_size=32, num_hidden_layers=2, state_size=4),
}
PADDED = {"mistral", "bloom", "mamba"}


@pytest.fixture(scope="module", params=CONFIGS)
def family(request, tiny):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Auto.from_config(CONFIGS[request.param])
    return freeze(request.param, "test", model, tiny.tokenizer)


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


def test_a_window_is_packed_only_while_everything_fits_into_it(tiny):
    model = Auto.from_config(CONFIGS["mistral"])
    backbone = freeze("mistral", "test", model, tiny.tokenizer)
    assert backbone.window == 24
    assert packs_exactly(backbone, longest=24)
    assert not packs_exactly(backbone, longest=25)


def test_a_model_that_does_not_qualify_says_so_once(tiny):
    backbone = freeze("bloom", "test", Auto.from_config(CONFIGS["bloom"]), tiny.tokenizer)
    with pytest.warns(UserWarning, match="runs as padded batches"):
        assert not packs_exactly(backbone)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not packs_exactly(backbone)
        pp.loss(backbone, None, EXAMPLES)
