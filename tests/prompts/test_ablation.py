"""Masked vectors: nothing masked is the prompt, everything masked is no prompt, laws between."""

import pytest
import torch
from transformers import DynamicCache

import promptpriors as pp
from promptpriors.packing import encode
from promptpriors.prompts import Prompt, as_keys, draw_prompt
from promptpriors.prompts.ablation import ablated, compared, replaced, standing
from promptpriors.prompts.modes import split_keys
from promptpriors.rng import generator
from tests.models.test_visible import built as other_kind
from tests.prompts.test_modes import BLOCKS, DIM, EXAMPLES, LAST, LENGTH, built, prompt_of

EVERY = [[], *([i] for i in range(LENGTH)), [0, 2], list(range(LENGTH))]
MODES = {
    "soft": ["embed"],
    "deep": ["embed", "block.3"],
    "deep-cut": ["block.2", "block.4"],
    "kv": ["block.1", "block.3"],
}


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def deep(request, tiny):
    return built(request.param, tiny)


@pytest.fixture(scope="module")
def llama(tiny):
    return built("llama", tiny)


def prompted(backbone, mode, sites=None):
    sites = sites or MODES[mode]
    if mode != "kv":
        return prompt_of(mode, sites)
    width = 2 * backbone.key_width
    stream = generator(0, "keys")
    return Prompt("kv", {site: torch.randn(LENGTH, width, generator=stream) for site in sites})


def loss(backbone, prompt):
    with torch.no_grad():
        return pp.loss(backbone, prompt, EXAMPLES).double()


@pytest.mark.parametrize("mode", MODES)
def test_with_nothing_masked_it_is_the_loss(deep, mode):
    prompt = prompted(deep, mode)
    found = ablated(deep, prompt, EXAMPLES, EVERY)
    torch.testing.assert_close(found.losses[0], loss(deep, prompt), rtol=1e-6, atol=0)
    assert found.nats.shape == (len(EVERY), len(EXAMPLES))
    assert (found.losses[1:] - found.losses[0]).abs().min() > 1e-5


@pytest.mark.parametrize("mode", MODES)
def test_with_everything_masked_a_rotary_model_is_the_plain_model(llama, mode):
    found = ablated(llama, prompted(llama, mode), EXAMPLES, EVERY).losses
    torch.testing.assert_close(found[-1], loss(llama, None), rtol=1e-6, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["soft", "deep-cut"])
def test_so_is_the_embedded_model(smollm2, mode):
    prior = pp.fit_prior("gaussian", pp.vocabulary(smollm2))
    prompt = draw_prompt(prior, length=6, mode=mode, backbone=smollm2)
    found = ablated(smollm2, prompt, EXAMPLES, [[], range(6), [2]]).losses
    torch.testing.assert_close(found[0], loss(smollm2, prompt), rtol=1e-5, atol=0)
    torch.testing.assert_close(found[1], loss(smollm2, None), rtol=1e-5, atol=0)
    assert len({round(float(x), 4) for x in found}) == 3


def test_with_learned_positions_it_is_the_plain_model_whose_text_starts_later(tiny):
    gpt2 = built("gpt2", tiny)
    found = ablated(gpt2, prompted(gpt2, "soft"), EXAMPLES, [range(LENGTH)])
    for number, example in enumerate(encode(gpt2, EXAMPLES)):
        ids = torch.tensor([[*sum(example.pieces, ()), *example.target]])
        places = torch.arange(ids.shape[1] - 1)[None] + LENGTH
        logits = gpt2.model(input_ids=ids[:, :-1], position_ids=places).logits[0]
        count = len(example.target) - (not example.pieces)
        nats = -logits.log_softmax(-1).gather(1, ids[0, 1:, None])[-count:].sum()
        assert float(found.nats[0, number]) == pytest.approx(float(nats), rel=1e-4)
        assert int(found.targets[number]) == count


def literal_soft(backbone, prompt, example, gone):
    """Hugging Face's own call on prompt and text under a mask that hides keys from the text."""
    ids = torch.tensor([*sum(example.pieces, ()), *example.target])
    rows = torch.cat([prompt.values["embed"], backbone.embed(ids[:-1])])
    mask = torch.ones(len(rows), len(rows), dtype=torch.bool).tril()
    mask[prompt.length :, gone] = False
    logits = backbone.model(inputs_embeds=rows[None], attention_mask=mask[None, None]).logits[0]
    count = len(example.target) - (not example.pieces)
    return -logits.log_softmax(-1)[-count:].gather(1, ids[-count:, None]).sum()


@pytest.mark.parametrize("gone", [[1], [0, 3]])
def test_a_masked_vector_is_one_that_a_literal_mask_hides_from_the_text_alone(deep, gone):
    prompt = prompted(deep, "soft")
    found = ablated(deep, prompt, EXAMPLES, [gone]).nats[0]
    with torch.no_grad():
        expected = [literal_soft(deep, prompt, e, gone) for e in encode(deep, EXAMPLES)]
    torch.testing.assert_close(found, torch.stack(expected).double(), rtol=1e-5, atol=1e-5)


def test_masked_keys_are_missing_from_hugging_faces_cache(llama):
    prompt = prompted(llama, "kv", [f"block.{i}" for i in range(BLOCKS)])
    kept = [0, 2, 3]
    (example,) = encode(llama, EXAMPLES[4:5])
    ids = torch.tensor([[*sum(example.pieces, ()), *example.target]])
    cache = DynamicCache()
    for i, value in enumerate(prompt.values.values()):
        keys, values = split_keys(value, llama)
        cache.update(keys[None, :, kept], values[None, :, kept], i)
    with torch.no_grad():
        places = torch.arange(ids.shape[1] - 1)[None] + LENGTH
        logits = llama.model(ids[:, :-1], position_ids=places, past_key_values=cache).logits[0]
    count = len(example.target)
    expected = -logits.log_softmax(-1)[-count:].gather(1, ids[0, -count:, None]).sum()
    found = ablated(llama, prompt, EXAMPLES[4:5], [[1]])
    assert float(found.nats) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.slow
def test_the_laws_between_modes_hold_for_masked_vectors(llama):
    def losses(mode, sites):
        return ablated(llama, prompted(llama, mode, sites), EXAMPLES, EVERY).losses

    torch.testing.assert_close(losses("deep", ["embed"]), losses("soft", ["embed"]))
    torch.testing.assert_close(losses("deep", LAST), losses("deep-cut", LAST))
    keys = as_keys(llama, prompted(llama, "deep-cut", LAST))
    torch.testing.assert_close(
        ablated(llama, keys, EXAMPLES, EVERY).losses, losses("deep-cut", LAST)
    )


@pytest.mark.parametrize("mode", ["deep", "deep-cut", "kv"])
def test_one_site_may_be_masked_alone(llama, mode):
    prompt = prompted(llama, mode)
    first, second = prompt.sites
    found = [
        ablated(llama, prompt, EXAMPLES, [range(LENGTH)], site=s).losses for s in (first, second)
    ]
    blocks = [standing(prompt, BLOCKS, s) for s in (first, second)]
    assert not set(blocks[0]) & set(blocks[1])
    assert abs(found[0] - found[1]) > 1e-5
    if mode != "deep":  # where they are all that a site is
        alone = Prompt(mode, {second: prompt.values[second]})
        torch.testing.assert_close(found[0][0], loss(llama, alone), rtol=1e-6, atol=0)


def test_where_vectors_stand_follows_from_the_mode():
    deep = prompt_of("deep", ["block.1", "block.3"])
    assert standing(deep, 5) == {1: "block.1", 2: "block.1", 3: "block.3", 4: "block.3"}
    assert standing(deep, 5, "block.1") == {1: "block.1", 2: "block.1"}
    cut = prompt_of("deep-cut", ["embed", "block.3"])
    assert standing(cut, 5) == {0: "embed", 3: "block.3"}


@pytest.mark.parametrize("mode", ["soft", "deep", "deep-cut"])
def test_a_first_token_is_never_masked(llama, mode):
    llama.tokenizer.bos_token = llama.tokenizer.eos_token
    try:
        prompt = Prompt(mode, prompted(llama, mode).values, bos=True)
        found = ablated(llama, prompt, EXAMPLES, EVERY).losses
        torch.testing.assert_close(found[0], loss(llama, prompt), rtol=1e-6, atol=0)
        if mode == "soft":
            first = llama.embed(torch.tensor([llama.end]))
            whole = Prompt("soft", {"embed": torch.cat([first, prompt.values["embed"]])})
            later = [[i + 1 for i in group] for group in EVERY]
            torch.testing.assert_close(found, ablated(llama, whole, EXAMPLES, later).losses)
        assert abs(found[-1] - loss(llama, None)) > 1e-4
    finally:
        llama.tokenizer.bos_token = None


@pytest.mark.slow
def test_prompts_are_compared_on_the_same_examples(deep):
    for mode in MODES:
        one = prompted(deep, mode)
        other = Prompt(mode, {site: v.flip(0) * 1.5 for site, v in one.values.items()})
        mixed = replaced(one, other, [1, 2])
        found = compared(deep, [one, other, mixed], EXAMPLES)
        expected = torch.stack([loss(deep, prompt) for prompt in (one, other, mixed)])
        torch.testing.assert_close(found.losses, expected, rtol=1e-6, atol=0)
        for site, value in mixed.values.items():
            assert torch.equal(value[[0, 3]], one.values[site][[0, 3]])
            assert torch.equal(value[[1, 2]], other.values[site][[1, 2]])
    assert torch.equal(replaced(one, one, [0]).values["block.1"], one.values["block.1"])


def test_batches_of_many_rows_give_every_example_its_own_nats(llama, monkeypatch):
    prompt = prompted(llama, "deep-cut")
    whole = ablated(llama, prompt, EXAMPLES, [[], [1]])
    monkeypatch.setattr("promptpriors.prompts.ablation.BUDGET", 1)
    apart = ablated(llama, prompt, EXAMPLES, [[], [1]])
    torch.testing.assert_close(apart.nats, whole.nats, rtol=1e-5, atol=1e-5)
    assert torch.equal(apart.targets, whole.targets)


def test_what_can_not_be_masked_is_refused(llama, tiny):
    soft = prompted(llama, "soft")
    empty = Prompt("none", {})
    narrow = Prompt("soft", {"embed": torch.zeros(2, DIM + 2)})
    windowed = other_kind("mistral", tiny, sliding_window=6)
    for model, prompt, examples, params, words in [
        (llama, soft, EXAMPLES, {"groups": [[4]]}, "vector 4: the prompt has 0 … 3"),
        (llama, soft, EXAMPLES, {"groups": [[-1]]}, "vector -1"),
        (llama, soft, EXAMPLES, {"groups": [[]], "site": "block.1"}, "has vectors at embed"),
        (llama, soft, [], {"groups": [[]]}, "at least one example and a prompt with vectors"),
        (llama, empty, EXAMPLES, {"groups": [[]]}, "a prompt with vectors"),
        (llama, narrow, EXAMPLES, {"groups": [[]]}, "have 34 coordinates"),
        (windowed, soft, EXAMPLES, {"groups": [[]]}, "sees 6\nLeave out longer examples"),
    ]:
        with pytest.raises(pp.InputError, match=words):
            ablated(model, prompt, examples, **params)
