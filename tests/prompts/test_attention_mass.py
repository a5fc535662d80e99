"""Shares of attention: they sum to one, vanish where nothing stands, and are Hugging Face's own."""

from copy import deepcopy

import pytest
import torch
from transformers import AutoModelForCausalLM

import promptpriors as pp
from promptpriors.packing import encode
from promptpriors.prompts import Prompt, as_keys
from promptpriors.prompts.attention_mass import attention_mass
from tests.models.test_visible import built as other_kind
from tests.prompts.test_ablation import MODES, prompted
from tests.prompts.test_modes import BLOCKS, EXAMPLES, LAST, LENGTH, built


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def deep(request, tiny):
    return built(request.param, tiny)


@pytest.fixture(scope="module")
def llama(tiny):
    return built("llama", tiny)


def literal(backbone, prompt, example):
    """Hugging Face's eager attention on prompt and text as one input: [blocks, heads, all, all]."""
    with torch.random.fork_rng():
        model = AutoModelForCausalLM.from_config(
            deepcopy(backbone.model.config), attn_implementation="eager"
        ).eval()
    model.load_state_dict(backbone.model.state_dict())
    ids = torch.tensor([*sum(example.pieces, ()), *example.target[:-1]])
    rows = torch.cat([prompt.values["embed"], backbone.embed(ids)])[None]
    with torch.no_grad():
        return torch.cat(model(inputs_embeds=rows, output_attentions=True).attentions)


def agrees(backbone, prompt):
    found = attention_mass(backbone, prompt, EXAMPLES)
    for number, example in enumerate(encode(backbone, EXAMPLES)):
        weights = literal(backbone, prompt, example)[:, :, prompt.length :]
        on_prompt = weights[..., : prompt.length]
        torch.testing.assert_close(found.text[number], on_prompt.mean(dim=2))
        asking = len(example.target) - (not example.pieces)
        torch.testing.assert_close(found.answers[number], on_prompt[:, :, -asking:].mean(dim=2))


def test_for_a_soft_prompt_it_is_what_hugging_face_reports_of_the_literal_input(deep):
    agrees(deep, prompted(deep, "soft"))


def test_soft_caps_are_part_of_it(tiny):
    capped = other_kind("gemma2", tiny, attn_logit_softcapping=0.5)
    agrees(capped, Prompt("soft", {"embed": prompted(capped, "soft").values["embed"]}))


@pytest.mark.slow
def test_it_is_on_the_embedded_model_too(smollm2):
    config = smollm2.model.config
    prompt = Prompt("soft", {"embed": pp.vocabulary(smollm2).points[[500, 900, 1300]]})
    found = attention_mass(smollm2, prompt, EXAMPLES[:2])
    shape = (2, config.num_hidden_layers, config.num_attention_heads, 3)
    assert found.answers.shape == found.text.shape == shape
    for number, example in enumerate(encode(smollm2, EXAMPLES[:2])):
        weights = literal(smollm2, prompt, example)[:, :, 3:, :3]
        torch.testing.assert_close(found.text[number], weights.mean(dim=2), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_what_falls_on_the_vectors_and_on_the_text_is_everything(deep, mode):
    found = attention_mass(deep, prompted(deep, mode), EXAMPLES)
    total = found.answers.sum(dim=-1) + found.rest
    torch.testing.assert_close(total, torch.ones_like(total))
    standing = [i for i in range(BLOCKS) if found.answers[:, i].abs().sum() > 0]
    expected = {"soft": range(BLOCKS), "deep": range(BLOCKS), "deep-cut": [2, 4], "kv": [1, 3]}
    assert standing == list(expected[mode])
    assert (found.answers[:, standing] > 0).all()


@pytest.mark.parametrize("mode", MODES)
def test_a_masked_vector_has_none_of_it_and_the_others_share_it(deep, mode):
    prompt = prompted(deep, mode)
    whole, some = (attention_mass(deep, prompt, EXAMPLES, gone=gone) for gone in ([], [1, 3]))
    assert (some.answers[..., [1, 3]] == 0).all()
    total = some.answers.sum(dim=-1) + some.rest
    torch.testing.assert_close(total, torch.ones_like(total))
    first = next(i for i in range(BLOCKS) if whole.text[:, i].abs().sum() > 0)
    assert (some.text[:, first][..., [0, 2]] > whole.text[:, first][..., [0, 2]]).all()
    none = attention_mass(deep, prompt, EXAMPLES, gone=range(LENGTH))
    assert (none.text == 0).all()
    torch.testing.assert_close(none.rest, torch.ones_like(none.rest))


def test_the_laws_between_modes_hold(llama):
    def mass(mode, sites):
        return attention_mass(llama, prompted(llama, mode, sites), EXAMPLES)

    torch.testing.assert_close(mass("deep", ["embed"]), mass("soft", ["embed"]))
    torch.testing.assert_close(mass("deep", LAST), mass("deep-cut", LAST))
    keys = as_keys(llama, prompted(llama, "deep-cut", LAST))
    torch.testing.assert_close(attention_mass(llama, keys, EXAMPLES), mass("deep-cut", LAST))


def test_a_first_token_is_no_vector(llama):
    llama.tokenizer.bos_token = llama.tokenizer.eos_token
    try:
        first = llama.embed(torch.tensor([llama.end]))
        vectors = prompted(llama, "soft").values["embed"]
        found = attention_mass(llama, Prompt("soft", {"embed": vectors}, bos=True), EXAMPLES)
        literal = Prompt("soft", {"embed": torch.cat([first, vectors])})
        expected = attention_mass(llama, literal, EXAMPLES)
        torch.testing.assert_close(found.answers, expected.answers[..., 1:])
        missing = 1 - found.rest - found.answers.sum(dim=-1)
        torch.testing.assert_close(missing, expected.answers[..., 0])
    finally:
        llama.tokenizer.bos_token = None


def test_examples_keep_their_order_whatever_travels_together(llama, monkeypatch):
    prompt, mixed = prompted(llama, "deep-cut"), [*EXAMPLES[3:], *EXAMPLES[:3]]
    mixed = [mixed[i] for i in (3, 0, 4, 1, 5, 2)]
    whole = attention_mass(llama, prompt, mixed)
    monkeypatch.setattr("promptpriors.prompts.attention_mass.BUDGET", 1)
    torch.testing.assert_close(attention_mass(llama, prompt, mixed), whole)


def test_the_model_has_its_own_attention_again(llama):
    before = llama.model.config._attn_implementation
    attention_mass(llama, prompted(llama, "soft"), EXAMPLES)
    assert llama.model.config._attn_implementation == before


def test_a_prompt_without_vectors_is_refused(llama):
    with pytest.raises(pp.InputError, match="a prompt with vectors"):
        attention_mass(llama, Prompt("none", {}), EXAMPLES)
