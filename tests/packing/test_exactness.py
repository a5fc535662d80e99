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
    MptConfig,
    OPTConfig,
    Phi3Config,
    Qwen2MoeConfig,
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


LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 1e4,
    "short_factor": [1.0] * 4,
    "long_factor": [4.0] * 4,
    "original_max_position_embeddings": 64,
}


@pytest.fixture(scope="module")
def phi(tiny):
    """Phi-3 whose rotations switch after 64 positions."""
    config = Phi3Config(
        **SMALL,
        **WIDE,
        **GROUPED,
        rope_parameters=LONGROPE,
        original_max_position_embeddings=64,
        pad_token_id=0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return freeze("phi", "test", Auto.from_config(config), tiny.tokenizer)


SIDES = [
    pp.Example("short", ("Who?",), ("me",)),
    pp.Example("long", ("Many words. " * 7,), ("more of them",)),
    pp.Example("edge", ("x" * 59,), ("word",)),
]


@pytest.mark.parametrize("mode", ["none", "soft"])
def test_rotations_that_switch_with_the_length_of_a_call_are_each_texts_own(phi, mode):
    prompt = drawn(phi, mode)
    root = prompt.values["embed"] if mode == "soft" else torch.zeros(0, phi.dim)
    expected = []
    for one in encode(phi, SIDES):
        ids = torch.tensor([*sum(one.pieces, ()), *one.target])
        hidden = torch.cat([root, phi.embed(ids)])[None]
        logits = phi.model(inputs_embeds=hidden, use_cache=False).logits[
            0, -len(one.target) - 1 : -1
        ]
        target = torch.tensor(one.target)
        expected.append(torch.nn.functional.cross_entropy(logits, target, reduction="none"))
    torch.testing.assert_close(pp.loss(phi, prompt, SIDES), torch.cat(expected).mean())
    for example, nats in zip(SIDES, expected, strict=True):
        torch.testing.assert_close(pp.loss(phi, prompt, [example]), nats.mean())


def test_an_answer_that_grows_beyond_a_switch_is_what_calls_without_a_cache_say(phi):
    prompt = drawn(phi, "soft")
    asked = [pp.Example(str(n), ("y" * n,), ("",)) for n in (3, 52, 57, 80)]
    answers = generate(phi, prompt, asked, max_new_tokens=12)
    for example, answer in zip(asked, answers, strict=True):
        ids = phi.encode(example.source[0])
        for _ in range(12):
            hidden = torch.cat([prompt.values["embed"], phi.embed(torch.tensor(ids))])[None]
            token = int(phi.model(inputs_embeds=hidden, use_cache=False).logits[0, -1].argmax())
            if token == phi.end:
                break
            ids.append(token)
        assert answer == phi.decode(ids[len(example.source[0]) :]).strip()


@pytest.mark.parametrize("mode", ["deep", "deep-cut", "kv"])
def test_keys_of_one_side_of_a_switch_are_not_put_before_a_text_of_the_other(phi, mode):
    prompt = drawn(phi, mode)
    assert torch.isfinite(pp.loss(phi, prompt, SIDES[:1]))
    message = "rotates texts of more than 64 positions otherwise; example 'long' needs"
    for call in (pp.loss, generate):
        with pytest.raises(pp.InputError, match=message):
            call(phi, prompt, SIDES[:2])
    task = pp.Task("own", 1, {"train": SIDES, "validation": SIDES[:1]}, lambda *_: {})
    with pytest.raises(pp.InputError, match=message):
        next(pp.train(phi, prompt, task, steps=1))


@pytest.mark.parametrize("mode", ["soft", "deep-cut"])
def test_long_segments_may_be_checkpointed(tiny, mode):
    some = [pp.Example("a", ("x" * 290, "Question?"), ("yes",)), EXAMPLES[0]]
    prompt, encoded, found = drawn(tiny, mode), encode(tiny, some), []
    for checkpointing in (False, True):
        prompt.zero_grad()
        packed_losses(tiny, prompt, encoded, checkpointing=checkpointing).nats.mean().backward()
        found.append([value.grad.clone() for value in prompt.values.values()])
    torch.testing.assert_close(*found)


def test_an_answer_needs_no_room_for_the_answer_that_is_known(phi):
    known = pp.Example("a", ("y" * 40,), ("z" * 60,))
    prompt = drawn(phi, "kv")
    bare = generate(phi, prompt, [known._replace(targets=("",))], max_new_tokens=4)
    assert generate(phi, prompt, [known], max_new_tokens=4) == bare
    with pytest.raises(pp.InputError, match="example 'a' needs 75 positions"):
        generate(phi, prompt, [known], max_new_tokens=30)


def test_texts_are_answered_together_as_they_are_alone(tiny):
    asked = [pp.Example(str(n), ("Shared.\n", "a" * n), ("",)) for n in (1, 2, 2, 9, 30, 31)]
    together = generate(tiny, drawn(tiny, "kv"), asked, max_new_tokens=40, stop="q")
    alone = [
        generate(tiny, drawn(tiny, "kv"), [one], max_new_tokens=40, stop="q")[0] for one in asked
    ]
    assert together == alone
    assert len({len(answer) for answer in together}) > 1


def test_an_answer_ends_at_every_end_that_the_generation_config_names(tiny):
    asked, prompt = EXAMPLES[:1], drawn(tiny, "soft")
    whole = generate(tiny, prompt, asked, max_new_tokens=12)[0]
    token = tiny.encode(whole)[4]
    settings = tiny.model.generation_config
    backbone = dataclasses.replace(tiny, name="more ends")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "eos_token_id", [tiny.end, token])
        assert backbone.ends == {tiny.end, token}
        cut = generate(backbone, prompt, asked, max_new_tokens=12)[0]
    assert cut == tiny.decode(tiny.encode(whole)[: tiny.encode(whole).index(token)]).strip()


def test_rounding_of_experts_is_no_difference(tiny):
    config = Qwen2MoeConfig(
        vocab_size=264,
        hidden_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=64,
        moe_intermediate_size=64,
        shared_expert_intermediate_size=64,
        num_experts=8,
        num_experts_per_tok=2,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Auto.from_config(config)
    for dtype in (torch.float32, torch.bfloat16):
        backbone = freeze("moe", "test", copy.deepcopy(model).to(dtype), tiny.tokenizer)
        assert packs_exactly(backbone, longest=200)


@pytest.mark.parametrize("mode", ["deep-cut", "deep", "kv"])
def test_a_mode_that_needs_blocks_is_refused_where_none_are_known(tiny, mode):
    config = OPTConfig(
        vocab_size=264, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, ffn_dim=64,
        max_position_embeddings=256, word_embed_proj_dim=32,
    )  # fmt: skip
    opt = freeze("opt", "test", Auto.from_config(config), tiny.tokenizer)
    with pytest.raises(pp.InputError, match=f"mode '{mode}' is for decoder-only models whose"):
        drawn(opt, mode)
    chosen = pp.Prompt(mode, {"block.0" if mode == "kv" else "embed": torch.zeros(2, 32)})
    with pytest.raises(pp.InputError, match=f"mode '{mode}' is for decoder-only models whose"):
        pp.loss(opt, chosen, EXAMPLES)


def test_a_model_that_fails_under_our_attention_runs_otherwise(tiny):
    config = MptConfig(vocab_size=264, d_model=32, n_layers=2, n_heads=4, max_seq_len=128)
    mpt = freeze("mpt", "test", Auto.from_config(config), tiny.tokenizer)
    assert mpt.context == 128
    with pytest.warns(UserWarning, match="runs as padded batches"):
        found = pp.loss(mpt, None, EXAMPLES[:4])
    single = [padded_losses(mpt, None, [one]).nats for one in encode(mpt, EXAMPLES[:4])]
    torch.testing.assert_close(found, torch.cat(single).mean())


def test_a_model_that_does_more_to_tokens_than_embed_them_is_refused(tiny):
    class Second(torch.nn.Module):
        def __init__(self, model):
            super().__init__()
            self.inner, self.config = model, model.config

        def get_input_embeddings(self):
            return self.inner.get_input_embeddings()

        def forward(self, input_ids=None, **given):
            logits = self.inner(input_ids=input_ids, **given).logits
            if input_ids is not None:
                logits = logits + input_ids[..., None] / 100
            return type("Out", (), {"logits": logits})

    backbone = freeze("second", "test", Second(built("llama", tiny).model), tiny.tokenizer)
    with pytest.raises(pp.InputError, match="does more to tokens than look up their embeddings"):
        pp.loss(backbone, None, EXAMPLES)
