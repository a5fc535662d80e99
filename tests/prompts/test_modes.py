"""The laws that tie the ways to insert a prompt together, each to float accuracy."""

import math

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig

import promptpriors as pp
from promptpriors.models.backbone import freeze
from promptpriors.packing import encode
from promptpriors.prompts import Prompt, draw_prompt, generate, insert
from promptpriors.prompts.losses import packed_losses
from promptpriors.prompts.modes import join_keys, split_keys
from promptpriors.rng import generator
from tests.helpers import EXAMPLES, drawn
from tests.literal import literal_losses

BLOCKS, DIM, LENGTH = 5, 32, 4
SHAPE = {"vocab_size": 264, "num_hidden_layers": BLOCKS, "initializer_range": 0.2}
CONFIGS = {
    "llama": LlamaConfig(
        **SHAPE,
        hidden_size=DIM,
        intermediate_size=48,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
    ),
    "gpt2": GPT2Config(
        vocab_size=264,
        n_layer=BLOCKS,
        n_embd=DIM,
        n_head=4,
        n_positions=256,
        initializer_range=0.2,
        bos_token_id=None,
    ),
}


def built(name, tiny):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(CONFIGS[name])
    return freeze(name, "test", model, tiny.tokenizer)


@pytest.fixture(scope="module", params=CONFIGS)
def deep(request, tiny):
    """A model of five blocks, with rotations or with learned positions."""
    return built(request.param, tiny)


@pytest.fixture(scope="module")
def llama(tiny):
    return built("llama", tiny)


def prompt_of(mode, sites, *, scale=1.0):
    values = {
        site: scale * torch.randn(LENGTH, DIM, generator=generator(0, "values", site))
        for site in sites
    }
    return Prompt(mode, values)


def nats_and_gradients(backbone, prompt):
    prompt.zero_grad(set_to_none=True)
    nats = packed_losses(backbone, prompt, encode(backbone, EXAMPLES)).nats
    nats.mean().backward()
    return nats.detach(), [p.grad for p in prompt.parameters()]


EVERY = ["embed", *(f"block.{i}" for i in range(1, BLOCKS))]
LAST = [f"block.{i}" for i in range(2, BLOCKS)]
DEEP = [["embed"], ["block.2"], LAST, EVERY, ["embed", "block.3"], ["block.1", "block.3"]]


@pytest.mark.parametrize("mode", ["deep", "deep-cut"])
@pytest.mark.parametrize("sites", DEEP, ids=["-".join(sites) for sites in DEEP])
def test_deep_prompts_equal_rows_that_literally_stand_in_place(llama, mode, sites):
    prompt = prompt_of(mode, sites)
    nats, gradients = nats_and_gradients(llama, prompt)
    prompt.zero_grad(set_to_none=True)
    expected = literal_losses(llama, prompt, encode(llama, EXAMPLES)).nats
    expected.mean().backward()
    torch.testing.assert_close(nats, expected.detach(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        gradients, [p.grad for p in prompt.parameters()], rtol=1e-4, atol=1e-6
    )


def test_deep_at_embed_is_soft(deep):
    soft, other = prompt_of("soft", ["embed"]), prompt_of("deep", ["embed"])
    torch.testing.assert_close(nats_and_gradients(deep, other), nats_and_gradients(deep, soft))


@pytest.mark.parametrize("sites", [LAST, EVERY, ["block.4"]], ids=["last", "every", "one"])
def test_deep_is_deep_cut_when_the_sites_are_consecutive_and_end_at_the_last_block(deep, sites):
    whole, cut = (nats_and_gradients(deep, prompt_of(m, sites)) for m in ("deep", "deep-cut"))
    torch.testing.assert_close(whole, cut)


def test_elsewhere_they_differ(deep):
    for sites in (["embed"], ["block.1", "block.3"]):
        whole, cut = (
            nats_and_gradients(deep, prompt_of(m, sites))[0] for m in ("deep", "deep-cut")
        )
        assert (whole - cut).abs().max() > 1e-3


def test_deep_cut_is_kv_with_the_keys_and_values_of_its_normalised_vectors(llama):
    cut = prompt_of("deep-cut", LAST)
    values = {}
    for site, rows in cut.values.items():
        block = llama.blocks[int(site[6:])]
        with torch.no_grad():
            normed = block.input_layernorm(rows[None])
            keys = block.self_attn.k_proj(normed).view(1, LENGTH, 2, -1).transpose(1, 2)
            cos, sin = llama.model.model.rotary_emb(normed, torch.arange(LENGTH)[None])
            half = keys.shape[-1] // 2
            turned = torch.cat([-keys[..., half:], keys[..., :half]], dim=-1)
            keys = keys * cos[:, None] + turned * sin[:, None]
            values[site] = torch.cat(
                [keys[0].transpose(0, 1).flatten(1), block.self_attn.v_proj(normed)[0]], dim=1
            )
    expected = nats_and_gradients(llama, Prompt("kv", values))[0]
    torch.testing.assert_close(nats_and_gradients(llama, cut)[0], expected)


def test_kv_starts_as_the_soft_prompt_it_was_drawn_as(deep):
    prior = pp.fit_prior("gaussian", pp.vocabulary(deep))
    soft = draw_prompt(prior, length=LENGTH, seed=3)
    kv = draw_prompt(prior, length=LENGTH, mode="kv", seed=3, backbone=deep)
    assert kv.sites == tuple(f"block.{i}" for i in range(BLOCKS))
    torch.testing.assert_close(
        nats_and_gradients(deep, kv)[0], nats_and_gradients(deep, soft)[0], rtol=1e-4, atol=1e-5
    )


def test_kv_may_have_a_prior_for_each_block(deep):
    width = 2 * deep.key_width
    cloud = pp.Space("block.1", torch.randn(50, width, generator=generator(0, "cloud")))
    priors = {site: pp.fit_prior("gaussian", cloud) for site in ("block.1", "block.3")}
    prompt = draw_prompt(priors, length=2, mode="kv", sites=list(priors), backbone=deep)
    assert all(value.shape == (2, width) for value in prompt.values.values())
    assert torch.isfinite(nats_and_gradients(deep, prompt)[0]).all()


def test_keys_and_values_are_joined_and_split_without_a_loss(llama):
    rows = torch.randn(LENGTH, 2 * llama.key_width)
    assert torch.equal(join_keys(split_keys(rows, llama)), rows)


def test_below_the_first_site_a_model_with_learned_positions_is_the_plain_model(tiny):
    gpt2 = built("gpt2", tiny)
    assert insert(gpt2, prompt_of("deep-cut", LAST)).shift == 0
    assert insert(gpt2, prompt_of("deep-cut", ["embed", *LAST])).shift == LENGTH
    llama = built("llama", tiny)
    assert insert(llama, prompt_of("deep-cut", LAST)).shift == LENGTH


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["soft", "deep", "deep-cut", "kv"])
@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_generation_equals_teacher_forcing(tiny, name, mode):
    backbone = built(name, tiny)
    prompt = drawn(backbone, mode)
    asked = EXAMPLES[:5]
    answers = generate(backbone, prompt, asked, max_new_tokens=8)
    for example, answer in zip(asked, answers, strict=True):
        ids: list[int] = []
        for _ in range(8):
            ids.append(next_token(backbone, prompt, example, ids))
            if ids[-1] == backbone.end:
                break
        assert answer == backbone.decode(ids).strip()


def next_token(backbone, prompt, example, ids):
    """The likeliest next token by the loss alone: of all targets of one token, the least nats."""
    (encoded,) = encode(backbone, [example])
    every = [encoded._replace(target=(*ids, token)) for token in range(264)]
    with torch.no_grad():
        found = packed_losses(backbone, prompt, every)
    last = torch.arange(1, 265) * (len(ids) + 1) - 1
    return int(found.nats[last].argmin())


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["deep", "deep-cut", "kv"])
def test_training_lowers_the_loss_and_changes_nothing_but_the_prompt(tiny, mode):
    backbone = built("llama", tiny)
    weights = {name: tensor.clone() for name, tensor in backbone.model.state_dict().items()}
    task = pp.Task("toy", 1, {"train": EXAMPLES, "validation": EXAMPLES}, lambda *_: {})
    prompt = drawn(backbone, mode)
    records = list(pp.train(backbone, prompt, task, steps=8, batch=6, lr={"relative": 0.2}))
    assert records[-1].val_loss < records[0].val_loss
    assert all(torch.equal(weights[k], v) for k, v in backbone.model.state_dict().items())


def losses_of(backbone, prompt, lr):
    task = pp.Task("toy", 1, {"train": EXAMPLES, "validation": EXAMPLES}, lambda *_: {})
    records = pp.train(backbone, prompt, task, steps=12, batch=3, lr=lr, evaluate_every=4)
    return [r.train_loss for r in records if r.train_loss is not None]


@pytest.mark.slow
def test_scale_and_rate_of_a_deep_cut_prompt_are_one_variable(llama):
    sites = LAST
    once = losses_of(llama, prompt_of("deep-cut", sites, scale=2.0), 0.05)
    eight = losses_of(llama, prompt_of("deep-cut", sites, scale=16.0), 0.4)
    assert max(abs(a / b - 1) for a, b in zip(once, eight, strict=True)) < 1e-4
    other = losses_of(llama, prompt_of("deep-cut", sites, scale=16.0), 0.05)
    assert max(abs(a / b - 1) for a, b in zip(once, other, strict=True)) > 1e-3


@pytest.mark.slow
def test_the_same_law_holds_on_the_embedded_model(smollm2):
    space = pp.vocabulary(smollm2)
    prior = pp.fit_prior("gaussian", space)
    sites = ["block.27", "block.28", "block.29"]
    start = draw_prompt(prior, length=8, mode="deep-cut", sites=sites, backbone=smollm2)
    values = {site: 30 * value.detach() for site, value in start.values.items()}
    once = losses_of(smollm2, Prompt("deep-cut", values), {"relative": 0.01})
    eight = Prompt("deep-cut", {site: 8 * value for site, value in values.items()})
    again = losses_of(smollm2, eight, {"relative": 0.01})
    assert max(abs(a / b - 1) for a, b in zip(once, again, strict=True)) < 1e-4


def hidden_part(backbone, site, rows):
    """The part of deep-cut vectors that their block's keys and values do not see, and the rest."""
    block = backbone.blocks[int(site[6:])]
    gain = block.input_layernorm.weight
    read = torch.cat([block.self_attn.k_proj.weight, block.self_attn.v_proj.weight]) * gain
    basis = torch.linalg.svd(read.double(), full_matrices=True).Vh
    unseen = basis[len(read) :]
    hidden = rows.double() @ unseen.T @ unseen
    return hidden, rows.double() - hidden, unseen


def redrawn(backbone, site, rows):
    """The same vectors with their invisible part drawn anew, of the same length."""
    hidden, seen, unseen = hidden_part(backbone, site, rows)
    noise = torch.randn(
        len(rows), len(unseen), generator=generator(1, "noise"), dtype=torch.float64
    )
    fresh = noise @ unseen
    return seen + fresh * (hidden.norm(dim=1) / fresh.norm(dim=1))[:, None], hidden


def wide(tiny):
    """A model whose keys and values see 16 of 32 coordinates."""
    config = LlamaConfig(**CONFIGS["llama"].to_diff_dict() | {"num_key_value_heads": 1})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config)
    return freeze("wide", "test", model, tiny.tokenizer)


def test_the_invisible_coordinates_of_a_deep_cut_prompt_change_nothing(tiny):
    backbone = wide(tiny)
    prompt = prompt_of("deep-cut", LAST)
    changed = {}
    for site, rows in prompt.values.items():
        fresh, hidden = redrawn(backbone, site, rows.detach())
        assert (fresh - rows).norm() > 0.5 * hidden.norm() > 0.1 * rows.norm()
        changed[site] = fresh.float()
    expected = nats_and_gradients(backbone, prompt)[0]
    torch.testing.assert_close(
        nats_and_gradients(backbone, Prompt("deep-cut", changed))[0], expected
    )
    moved = {site: rows.detach() * 1.0 + 0.5 for site, rows in prompt.values.items()}
    other = nats_and_gradients(backbone, Prompt("deep-cut", moved))[0]
    assert (other - expected).abs().max() > 1e-3


@pytest.mark.slow
def test_smollm2_sees_384_of_576_coordinates_of_a_deep_cut_vector(smollm2):
    prior = pp.fit_prior("gaussian", pp.vocabulary(smollm2))
    sites = ["block.28", "block.29"]
    prompt = draw_prompt(prior, length=6, mode="deep-cut", sites=sites, backbone=smollm2)
    changed = {}
    for site, rows in prompt.values.items():
        fresh, hidden = redrawn(smollm2, site, rows.detach())
        assert len(hidden_part(smollm2, site, rows.detach())[2]) == 576 - 384
        assert hidden.norm() > 0.1 * rows.norm()
        changed[site] = fresh.float()
    encoded = encode(smollm2, EXAMPLES)
    with torch.no_grad():
        here, there = (
            packed_losses(smollm2, p, encoded).nats for p in (prompt, Prompt("deep-cut", changed))
        )
    torch.testing.assert_close(here, there, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("mode", ["none", "soft", "deep", "deep-cut"])
def test_a_first_token_may_stand_before_a_prompt_of_any_mode_but_kv(llama, mode):
    llama.tokenizer.bos_token = llama.tokenizer.eos_token
    try:
        first = llama.embed(torch.tensor([llama.end]))
        prompt = drawn(llama, mode, bos=True)
        inserted = insert(llama, prompt)
        assert inserted.shift == prompt.length + 1
        whole = Prompt("soft", {"embed": first})
        keys = insert(llama, whole).prefixes
        for block, (key, _) in inserted.prefixes.items():
            torch.testing.assert_close(key[:, :1], keys[block][0])
        assert sorted(inserted.prefixes) == list(range(BLOCKS))
        assert math.isfinite(float(pp.loss(llama, prompt, EXAMPLES).detach()))
        with pytest.raises(pp.InputError, match="not with kv"):
            pp.loss(llama, drawn(llama, "kv", bos=True), EXAMPLES)
    finally:
        llama.tokenizer.bos_token = None


def test_checkpointing_changes_neither_loss_nor_gradient(deep):
    for mode in ("soft", "deep-cut", "deep", "kv"):
        prompt = drawn(deep, mode)
        expected = nats_and_gradients(deep, prompt)
        prompt.zero_grad(set_to_none=True)
        encoded = encode(deep, EXAMPLES)
        nats = packed_losses(deep, prompt, encoded, checkpointing=True).nats
        nats.mean().backward()
        found = nats.detach(), [p.grad for p in prompt.parameters()]
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("mode", ["soft", "deep-cut", "kv"])
def test_coarse_weights_train_a_prompt_of_float32(dtype, mode):
    backbone = pp.load_model("tiny", dtype=dtype)
    prompt = drawn(backbone, mode)
    task = pp.Task("toy", 1, {"train": EXAMPLES, "validation": EXAMPLES}, lambda *_: {})
    records = list(pp.train(backbone, prompt, task, steps=8, batch=6, lr={"relative": 0.3}))
    assert records[-1].val_loss < records[0].val_loss
    assert all(value.dtype == torch.float32 for value in prompt.parameters())


REFUSED = [
    ({"mode": "deep", "sites": ["block.7"]}, "site 'block.7' does not exist in this model"),
    ({"mode": "deep", "sites": ["normed"]}, "takes the sites embed, block.0, block.1 …; found"),
    ({"mode": "kv", "sites": ["embed"]}, "mode 'kv' takes the sites block.0, block.1 …"),
    ({"mode": "deep-cut", "sites": ["embed", "block.0"]}, "both the input of block 0"),
    ({"mode": "soft", "sites": ["block.1"]}, "mode 'soft' takes the sites embed"),
]


@pytest.mark.parametrize(("params", "message"), REFUSED)
def test_sites_that_do_not_go_with_mode_or_model_are_refused(llama, params, message):
    prior = pp.fit_prior("isotropic", pp.vocabulary(llama))
    with pytest.raises(pp.InputError) as error:
        draw_prompt(prior, backbone=llama, **params)
    assert message in str(error.value)
    assert str(error.value).count("\n") <= 1


@pytest.mark.parametrize("mode", ["soft", "deep", "kv"])
def test_a_prompt_of_another_width_is_refused(llama, mode):
    site = "embed" if mode == "soft" else "block.1"
    prompt = Prompt(mode, {site: torch.zeros(2, DIM + 6)})
    with pytest.raises(pp.InputError, match="have 38 coordinates, those of model 'llama' 32") as e:
        pp.loss(llama, prompt, EXAMPLES)
    assert "Take the model that the prompt was drawn for" in str(e.value)


def test_without_the_model_kv_and_default_sites_can_not_be_drawn(llama):
    prior = pp.fit_prior("isotropic", pp.vocabulary(llama))
    for params in ({"mode": "kv"}, {"mode": "kv", "sites": ["block.1"]}, {"mode": "deep"}):
        with pytest.raises(pp.InputError, match="give draw_prompt backbone="):
            draw_prompt(prior, **params)
