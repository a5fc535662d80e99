"""Prompts go to PEFT and come back: the same vectors, the same numbers, the same answers."""

import copy
import json
import shutil
import sys
from dataclasses import replace

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file

import promptpriors as pp
from promptpriors.models import Backbone
from promptpriors.packing import encode, logits_of, pack
from promptpriors.prompts import Prompt, draw_prompt, generate, insert
from tests.helpers import cloud

QUESTION = "Question: 2 + 2?\nAnswer:"
CAUSAL = {"task_type": "CAUSAL_LM", "num_virtual_tokens": 3}
SEQ2SEQ = {"task_type": "SEQ_2_SEQ_LM", "num_virtual_tokens": 3}


def t5(blocks=2):
    from transformers import T5Config, T5ForConditionalGeneration

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        config = T5Config(
            vocab_size=60, d_model=16, d_kv=4, num_heads=4, d_ff=32, num_layers=blocks,
            decoder_start_token_id=0,
        )  # fmt: skip
        return T5ForConditionalGeneration(config).eval()


def wrapped(model, kind, **params):
    return peft.get_peft_model(copy.deepcopy(model), kind(**params))


def weight(model):
    return model.prompt_encoder["default"].embedding.weight


def vocabulary_prior(backbone):
    return pp.fit_prior("gaussian", pp.vocabulary(backbone))


def by_block(count, width):
    """A prior for each block, on keys and values."""
    return {f"block.{i}": pp.fit_prior("isotropic", cloud(width), sigma=1.0) for i in range(count)}


def kv_prompt(backbone, length=3):
    """Keys and values that are no soft prompt's."""
    priors = by_block(len(backbone.blocks), 2 * backbone.key_width)
    return draw_prompt(priors, length=length, mode="kv", backbone=backbone)


def soft_prompt(backbone, length=3):
    return draw_prompt(vocabulary_prior(backbone), length=length)


PROMPTS = {"soft": soft_prompt, "kv": kv_prompt}


def check_hand_over(backbone, prompt, folder, *, as_prefix=False):
    """The exported adapter gives PEFT our logits at answer positions, and our greedy answers."""
    pp.peft.save(prompt, folder, backbone=backbone, as_prefix=as_prefix)
    model = peft.PeftModel.from_pretrained(copy.deepcopy(backbone.model), folder).eval()
    examples = [
        pp.Example(id="1", source=(QUESTION,), targets=("4 or so",)),
        pp.Example(id="2", source=(QUESTION, " once more:"), targets=("no",)),
    ]
    encoded = encode(backbone, examples, before=prompt.before)
    row, inserted = pack(encoded), insert(backbone, prompt)
    with torch.no_grad():
        ours = logits_of(backbone, row, inserted.prefixes, shift=inserted.shift)[row.slot]
        theirs = []
        for example in examples:
            source = [t for piece in example.source for t in backbone.encode(piece)]
            target = [*backbone.encode(f" {example.targets[0]}"), backbone.end]
            ids = torch.tensor([[*source, *target]])
            logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0]
            theirs.append(logits[-len(target) - 1 : -1])
    torch.testing.assert_close(ours, torch.cat(theirs), rtol=1e-4, atol=1e-4)
    answers = generate(backbone, prompt, examples, max_new_tokens=6)
    for example, answer in zip(examples, answers, strict=True):
        ids = torch.tensor([[t for piece in example.source for t in backbone.encode(piece)]])
        written = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=6,
            do_sample=False,
            eos_token_id=backbone.end,
            pad_token_id=backbone.end,
        )
        assert backbone.decode(written[0, ids.shape[1] :].tolist()).strip() == answer
    back = pp.peft.load(folder)
    if as_prefix:
        assert (back.mode, back.length) == ("kv", prompt.before)
        return
    assert (back.mode, back.sites) == (prompt.mode, prompt.sites)
    assert all(torch.equal(back.values[site], prompt.values[site]) for site in prompt.sites)


@pytest.mark.parametrize("mode", PROMPTS)
@pytest.mark.parametrize("name", ["tiny", "gpt2", "qwen3"])
def test_an_exported_prompt_does_in_peft_what_it_does_here(name, mode, request, tmp_path):
    backbone = request.getfixturevalue(name)
    check_hand_over(backbone, PROMPTS[mode](backbone), tmp_path / "adapter")


def with_first_token(backbone):
    tokenizer = copy.deepcopy(backbone.tokenizer)
    tokenizer.bos_token = tokenizer.eos_token
    return replace(backbone, tokenizer=tokenizer)


@pytest.mark.parametrize("name", ["tiny", "gpt2", "qwen3"])
@pytest.mark.parametrize("case", ["soft", "kv", "deep", "deep with a first token", "a first token"])
def test_keys_and_values_of_a_prompt_do_in_peft_what_the_prompt_does(name, case, request, tmp_path):
    backbone = with_first_token(request.getfixturevalue(name))
    last = {"block.1": torch.full((3, backbone.dim), 0.1)}
    prompt = {
        "soft": lambda values: Prompt("soft", values),
        "kv": lambda _: kv_prompt(backbone),
        "deep": lambda values: Prompt("deep", values | last),
        "deep with a first token": lambda values: Prompt("deep", values | last, bos=True),
        "a first token": lambda values: Prompt("soft", values, bos=True),
    }[case](soft_prompt(backbone).snapshot())
    check_hand_over(backbone, prompt, tmp_path / "adapter", as_prefix=True)


@pytest.mark.parametrize(
    ("mode", "values"),
    [
        ("deep", {"block.1": (2, 32)}),
        ("deep-cut", {"embed": (2, 32)}),
        ("kv", {"block.0": (2, 32)}),
        ("none", {}),
    ],
)
def test_a_prompt_without_keys_in_some_blocks_is_no_prefix(tiny, mode, values, tmp_path):
    prompt = Prompt(mode, {site: torch.zeros(shape) for site, shape in values.items()})
    write = lambda: pp.peft.save(prompt, tmp_path / "x", backbone=tiny, as_prefix=True)  # noqa: E731
    assert f"mode {mode!r} at {', '.join(values) or 'no site'} is no prefix" in refusal(write)
    assert not list(tmp_path.iterdir())


def test_an_encoder_decoders_prompt_is_no_prefix(tmp_path):
    backbone = pp.load_model("tiny-t5")
    write = lambda: pp.peft.save(  # noqa: E731
        soft_prompt(backbone), tmp_path / "x", backbone=backbone, as_prefix=True
    )
    assert "keys and values of model 'tiny-t5' (t5) are not to be had" in refusal(write)


@pytest.mark.slow
@pytest.mark.parametrize("mode", PROMPTS)
def test_the_same_on_the_embedded_model(smollm2, mode, tmp_path):
    prior = vocabulary_prior(smollm2)
    prompt = draw_prompt(prior, length=5, mode=mode, backbone=smollm2)
    check_hand_over(smollm2, prompt, tmp_path / "adapter")


def test_prompt_tuning_starts_at_the_draw_of_draw_prompt_bit_for_bit(tiny):
    model = wrapped(tiny.model, peft.PromptTuningConfig, **CAUSAL)
    prior = vocabulary_prior(tiny)
    assert pp.peft.initialize(model, prior, seed=7) is None
    expected = draw_prompt(prior, length=3, seed=7).values["embed"]
    assert torch.equal(weight(model), expected)
    pp.peft.initialize(model, {"embed": prior}, seed=8)
    assert not torch.equal(weight(model), expected)


@pytest.mark.parametrize("kind", [peft.PrefixTuningConfig, peft.CartridgeConfig])
@pytest.mark.parametrize("name", ["tiny", "gpt2", "qwen3"])
def test_a_prefix_starts_at_the_keys_and_values_of_the_same_draw(name, kind, request):
    backbone = request.getfixturevalue(name)
    prior = vocabulary_prior(backbone)
    model = wrapped(backbone.model, kind, **CAUSAL)
    soft = wrapped(backbone.model, peft.PromptTuningConfig, **CAUSAL)
    model.train()
    pp.peft.initialize(model, prior, seed=7)
    pp.peft.initialize(soft, prior, seed=7)
    assert all(module.training for module in model.modules())
    kv = draw_prompt(prior, length=3, mode="kv", seed=7, backbone=backbone)
    assert torch.equal(weight(model), torch.cat(list(kv.values.values()), dim=1))
    ids = torch.tensor([backbone.encode(QUESTION)])
    with torch.no_grad():
        logits = [m.eval()(input_ids=ids).logits[0, -1] for m in (model, soft)]
    torch.testing.assert_close(*logits, rtol=1e-4, atol=1e-4)


def test_a_prior_for_each_block_draws_keys_and_values_themselves(tiny):
    model = wrapped(tiny.model, peft.PrefixTuningConfig, **CAUSAL)
    priors = by_block(2, 2 * tiny.key_width)
    pp.peft.initialize(model, priors, seed=3)
    kv = draw_prompt(priors, length=3, mode="kv", sites=("block.0", "block.1"), seed=3)
    assert torch.equal(weight(model), torch.cat(list(kv.values.values()), dim=1))


@pytest.mark.parametrize("kind", [peft.PromptTuningConfig, peft.PrefixTuningConfig])
def test_peft_trains_from_the_start_that_it_was_given(tiny, kind):
    model = wrapped(tiny.model, kind, **CAUSAL)
    pp.peft.initialize(model, vocabulary_prior(tiny))
    start = weight(model).detach().clone()
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    ids = torch.tensor([tiny.encode(QUESTION + " 4")])
    losses = []
    for _ in range(5):
        loss = model(input_ids=ids, labels=ids).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    assert not torch.equal(weight(model), start)


def test_an_adapter_that_peft_trained_and_saved_can_be_read_and_fitted(tiny, tmp_path):
    model = wrapped(tiny.model, peft.PromptTuningConfig, **CAUSAL)
    model.save_pretrained(tmp_path)
    prompt = pp.peft.load(tmp_path)
    assert prompt.mode == "soft"
    assert torch.equal(prompt.values["embed"], weight(model))
    space = pp.Space(site="embed", points=prompt.values["embed"].detach())
    prior = pp.fit_prior("isotropic", space)
    assert draw_prompt(prior, length=2).values["embed"].shape == (2, tiny.dim)


def test_a_prefix_of_peft_is_our_keys_and_values(qwen3, tmp_path):
    model = wrapped(qwen3.model, peft.PrefixTuningConfig, **CAUSAL)
    model.save_pretrained(tmp_path)
    prompt = pp.peft.load(str(tmp_path))
    assert (prompt.mode, prompt.sites) == ("kv", ("block.0", "block.1", "block.2"))
    ids = qwen3.encode(QUESTION + " 4")
    with torch.no_grad():
        logits = model.eval()(input_ids=torch.tensor([ids])).logits[0, -1]
        nats = float(torch.nn.functional.cross_entropy(logits[None], torch.tensor([qwen3.end])))
    example = pp.Example(id="1", source=(QUESTION + " 4",), targets=("",), continuation="")
    assert float(pp.loss(qwen3, prompt, [example]).detach()) == pytest.approx(nats, rel=1e-4)


CPT = {"cpt_token_ids": [5, 6, 7], "cpt_mask": [1] * 3, "cpt_tokens_type_mask": [1, 2, 3]}
LSTM = {"encoder_reparameterization_type": "LSTM", "encoder_dropout": 0.3}
SAVED = {
    "prompt": (peft.PromptTuningConfig, CAUSAL),
    "P-tuning by an MLP": (peft.PromptEncoderConfig, {**CAUSAL, "encoder_hidden_size": 8}),
    "P-tuning by an LSTM": (peft.PromptEncoderConfig, {**CAUSAL, "encoder_hidden_size": 8, **LSTM}),
    "context-aware": (peft.CPTConfig, {"task_type": "CAUSAL_LM", **CPT}),
    "multitask": (peft.MultitaskPromptTuningConfig, {**CAUSAL, "num_tasks": 3, "num_ranks": 2}),
    "prefix": (peft.PrefixTuningConfig, CAUSAL),
    "projected prefix": (
        peft.PrefixTuningConfig,
        {**CAUSAL, "prefix_projection": True, "encoder_hidden_size": 8},
    ),
    "cartridge": (peft.CartridgeConfig, CAUSAL),
    "cartridge, all frozen": (peft.CartridgeConfig, {**CAUSAL, "num_frozen_tokens": 3}),
}


def trained(model, kind, params):
    """A PEFT model whose weights are as if they had been trained."""
    model = wrapped(model, kind, **params)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        for parameter in model.prompt_encoder.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


@pytest.mark.parametrize("case", SAVED)
@pytest.mark.parametrize("name", ["tiny", "qwen3"])
def test_whatever_kind_of_prompt_peft_saved_has_here_the_loss_it_has_there(
    name, case, request, tmp_path
):
    backbone = request.getfixturevalue(name)
    kind, params = SAVED[case]
    model = trained(backbone.model, kind, params)
    model.save_pretrained(tmp_path)
    choice, task = (
        ({"task": 1}, {"task_ids": torch.tensor([1])}) if case == "multitask" else ({}, {})
    )
    prompt = pp.peft.load(tmp_path, **choice)
    source, target = backbone.encode(QUESTION), [*backbone.encode(" 4"), backbone.end]
    ids = torch.tensor([[*source, *target]])
    with torch.no_grad():
        logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), **task).logits[0]
        expected = torch.nn.functional.cross_entropy(
            logits[-len(target) - 1 : -1], torch.tensor(target)
        )
        found = pp.loss(backbone, prompt, [pp.Example("1", (QUESTION,), ("4",))])
    assert float(found) == pytest.approx(float(expected), abs=2e-6)


def test_one_of_several_tasks_has_to_be_chosen(tiny, tmp_path):
    model = trained(tiny.model, *SAVED["multitask"])
    model.save_pretrained(tmp_path)
    prompts = [pp.peft.load(tmp_path, task=i).values["embed"] for i in range(3)]
    assert not torch.equal(prompts[0], prompts[1])
    assert "prompts for 3 tasks; none was named" in refusal(lambda: pp.peft.load(tmp_path))
    for task in (3, -1, True):
        message = refusal(lambda t=task: pp.peft.load(tmp_path, task=t))
        assert f"found {task!r}\nName one, from 0 to 2" in message
    kind, params = SAVED["multitask"]
    trained(tiny.model, kind, params | {"num_tasks": 1}).save_pretrained(tmp_path / "one")
    assert pp.peft.load(tmp_path / "one").mode == "soft"
    folder = pp.peft.save(soft_prompt(tiny), tmp_path / "soft", backbone=tiny)
    message = refusal(lambda: pp.peft.load(folder, task=0))
    assert "(PROMPT_TUNING) has one prompt; leave it out" in message


@pytest.mark.parametrize("stacks", [1, 2])
def test_the_decoders_part_of_a_multitask_prompt_is_no_mode_of_ours(stacks, tmp_path):
    kind, params = SAVED["multitask"]
    params = params | {"task_type": "SEQ_2_SEQ_LM", "num_transformer_submodules": stacks}
    trained(t5(), kind, params).save_pretrained(tmp_path)
    read = lambda: pp.peft.load(tmp_path, task=2)  # noqa: E731
    if stacks == 1:
        assert read().values["embed"].shape == (3, 16)
    else:
        assert "has vectors for 2 stacks" in refusal(read)


def test_p_tuning_of_an_encoder_decoder_stands_before_the_encoders_text(tmp_path):
    params = {**SEQ2SEQ, "encoder_hidden_size": 8}
    model = trained(t5(), peft.PromptEncoderConfig, params)
    model.save_pretrained(tmp_path)
    prompt, ids = pp.peft.load(tmp_path).values["embed"], torch.arange(1, 6)[None]
    rows = torch.cat([prompt, model.word_embeddings(ids)[0]])[None]
    with torch.no_grad():
        found = model(input_ids=ids, decoder_input_ids=ids).logits
        plain = model.get_base_model()(inputs_embeds=rows, decoder_input_ids=ids).logits
    torch.testing.assert_close(found, plain)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("case", ["prompt", "multitask", "cartridge"])
def test_an_adapter_of_another_precision_is_read_as_peft_reads_it(tiny, case, dtype, tmp_path):
    trained(tiny.model, *SAVED[case]).save_pretrained(tmp_path)
    path = tmp_path / "adapter_model.safetensors"
    save_file({name: tensor.to(dtype) for name, tensor in load_file(path).items()}, path)
    model = peft.PeftModel.from_pretrained(copy.deepcopy(tiny.model), tmp_path)
    choice, tasks = ({"task": 2}, torch.tensor([2])) if case == "multitask" else ({}, None)
    prompt = pp.peft.load(tmp_path, **choice)
    if prompt.mode == "kv":
        expected = model.prompt_encoder["default"].weight
    else:
        expected = model.get_prompt(1, task_ids=tasks)[0]
    assert torch.equal(torch.cat(list(prompt.values.values()), dim=1), expected)


def test_an_encoder_decoders_prompt_stands_before_the_encoders_text(tmp_path):
    model = wrapped(t5(), peft.PromptTuningConfig, **SEQ2SEQ)
    prior = pp.fit_prior("isotropic", cloud(16), sigma=1.0)
    pp.peft.initialize(model, prior, seed=5)
    expected = draw_prompt(prior, length=3, seed=5).values["embed"]
    assert torch.equal(weight(model), torch.cat([expected, expected]))
    ids = torch.arange(1, 6)[None]
    rows = torch.cat([expected, model.word_embeddings(ids)[0]])[None]
    with torch.no_grad():
        found = model.eval()(input_ids=ids, decoder_input_ids=ids).logits
        plain = model.get_base_model()(inputs_embeds=rows, decoder_input_ids=ids).logits
    torch.testing.assert_close(found, plain)
    model.save_pretrained(tmp_path)
    assert torch.equal(pp.peft.load(tmp_path).values["embed"], expected)


def test_an_encoder_decoders_soft_prompt_is_exported_as_such(tiny, tmp_path):
    class Both(Backbone):
        seq2seq = True

    model = t5().requires_grad_(False)
    backbone = Both("t5-test", "a" * 40, model, tiny.tokenizer)
    prompt = draw_prompt(pp.fit_prior("isotropic", cloud(16), sigma=1.0), length=3)
    pp.peft.save(prompt, tmp_path / "a", backbone=backbone)
    config = json.loads((tmp_path / "a" / "adapter_config.json").read_text())
    assert (config["task_type"], config["revision"]) == ("SEQ_2_SEQ_LM", "a" * 40)
    loaded = peft.PeftModel.from_pretrained(copy.deepcopy(model), tmp_path / "a").eval()
    ids = torch.arange(1, 6)[None]
    rows = torch.cat([prompt.values["embed"], model.get_input_embeddings()(ids)[0]])[None]
    with torch.no_grad():
        found = loaded(input_ids=ids, decoder_input_ids=ids).logits
        plain = model(inputs_embeds=rows, decoder_input_ids=ids).logits
        written = loaded.generate(input_ids=ids, max_new_tokens=4, do_sample=False)
        expected = model.generate(inputs_embeds=rows, max_new_tokens=4, do_sample=False)
    torch.testing.assert_close(found, plain)
    assert torch.equal(written, expected)
    kv = Prompt("kv", {"block.0": torch.zeros(3, 32)})
    with pytest.raises(pp.InputError, match="mode 'kv' of an encoder–decoder has no counterpart"):
        pp.peft.save(kv, tmp_path / "b", backbone=backbone)


@pytest.mark.parametrize("blocks", [3, 4])
def test_decoder_block_i_of_an_encoder_decoder_reads_block_2i_of_the_prefix(blocks):
    model = wrapped(t5(blocks), peft.PrefixTuningConfig, **SEQ2SEQ)
    pp.peft.initialize(model, by_block(blocks, 32), seed=2)
    priors = by_block(blocks, 32)
    sites = tuple(priors)
    drawn = draw_prompt(priors, length=3, mode="kv", sites=sites, seed=2).values
    assert torch.equal(weight(model), torch.cat(list(drawn.values()), dim=1))
    cache = model.get_prompt(1).self_attention_cache
    for i, layer in enumerate(cache.layers):
        pair = torch.cat([x[0].transpose(0, 1).flatten(1) for x in (layer.keys, layer.values)], 1)
        assert torch.equal(pair, drawn[f"block.{2 * i % blocks}"])


def refusal(call):
    with pytest.raises(pp.InputError) as error:
        call()
    assert str(error.value).count("\n") <= 1
    return str(error.value)


REFUSED = {
    "a plain model": (None, {}, "expected a PEFT model with a prompt, found LlamaForCausalLM"),
    "another type": (
        peft.LoraConfig,
        {"target_modules": ["q_proj"]},
        "the model is of the PEFT type LORA; expected PROMPT_TUNING, PREFIX_TUNING or CARTRIDGE",
    ),
    "a prompt encoder": (
        peft.PromptEncoderConfig,
        {**CAUSAL, "encoder_hidden_size": 8},
        "the model is of the PEFT type P_TUNING",
    ),
    "a projected prefix": (
        peft.PrefixTuningConfig,
        {**CAUSAL, "prefix_projection": True},
        "the model's prefix is projected",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_model_without_a_prompt_to_fill_is_refused(tiny, case):
    kind, params, message = REFUSED[case]
    model = tiny.model if kind is None else wrapped(tiny.model, kind, **params)
    assert message in refusal(lambda: pp.peft.initialize(model, vocabulary_prior(tiny)))


def test_a_prior_of_another_width_or_for_other_sites_is_refused(tiny):
    soft = wrapped(tiny.model, peft.PromptTuningConfig, **CAUSAL)
    prefix = wrapped(tiny.model, peft.PrefixTuningConfig, **CAUSAL)
    narrow = pp.fit_prior("isotropic", cloud(3))
    found = "the prior draws vectors of 3 coordinates, this PEFT model takes 32 ("
    for model, prior in ((soft, narrow), (prefix, narrow), (prefix, by_block(2, 3))):
        before = weight(model).detach().clone()
        assert found in refusal(lambda m=model, p=prior: pp.peft.initialize(m, p))
        assert torch.equal(weight(model), before)
    message = refusal(lambda: pp.peft.initialize(prefix, by_block(3, 32)))
    assert "expected a prior for each of block.0 … block.1 (2), found block.0, block.1" in message
    message = refusal(lambda: pp.peft.initialize(soft, by_block(1, 32)))
    assert "expected a prior for each of embed (1), found block.0" in message


def test_one_prior_for_an_encoder_decoders_prefix_is_refused():
    model = wrapped(t5(), peft.PrefixTuningConfig, **SEQ2SEQ)
    prior = pp.fit_prior("isotropic", cloud(16))
    message = refusal(lambda: pp.peft.initialize(model, prior))
    assert "one prior can't fill the prefix of this model (t5)" in message
    assert "Give a prior for each block" in message


def test_without_the_library_its_extra_is_named(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    needs = "this needs the library peft: pip install promptpriors[peft]"
    assert refusal(lambda: pp.peft.initialize(tiny.model, vocabulary_prior(tiny))) == needs
    save = lambda: pp.peft.save(soft_prompt(tiny), tmp_path / "x", backbone=tiny)  # noqa: E731
    assert refusal(save) == needs
    assert not (tmp_path / "x").exists()


NO_COUNTERPART = {
    "deep": (
        lambda b: draw_prompt(vocabulary_prior(b), length=2, mode="deep", backbone=b),
        "'deep'",
    ),
    "deep-cut": (lambda b: Prompt("deep-cut", {"embed": torch.zeros(2, b.dim)}), "'deep-cut'"),
    "none": (lambda b: Prompt("none", {}), "mode 'none'"),
    "some blocks": (
        lambda b: Prompt("kv", {"block.1": torch.zeros(2, 2 * b.key_width)}),
        "mode 'kv' on 1 of 2 blocks",
    ),
    "bos": (lambda b: Prompt("soft", {"embed": torch.zeros(2, b.dim)}, bos=True), "bos = true"),
}


@pytest.mark.parametrize("case", NO_COUNTERPART)
def test_a_prompt_without_a_counterpart_in_peft_is_refused(tiny, case, tmp_path):
    make, message = NO_COUNTERPART[case]
    found = refusal(lambda: pp.peft.save(make(tiny), tmp_path / "x", backbone=tiny))
    assert message in found
    assert "has no counterpart in PEFT" in found
    assert "Exported can be, with bos = false: mode 'soft' (PROMPT_TUNING) and mode 'kv'" in found
    assert not list(tmp_path.iterdir())


def test_a_prompt_for_another_model_is_refused(tiny, tmp_path):
    prompt = Prompt("soft", {"embed": torch.zeros(2, 5)})
    found = refusal(lambda: pp.peft.save(prompt, tmp_path / "x", backbone=tiny))
    assert "have 5 coordinates, those of model 'tiny' 32" in found


def change(name, **changes):
    def apply(folder):
        path = folder / name
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return apply


def write(name, content):
    return lambda folder: (folder / name).write_bytes(content)


def pickled(folder):
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")


def rows(tensor):
    return lambda folder: save_file(
        {"prompt_embeddings": tensor}, folder / "adapter_model.safetensors"
    )


def with_more(folder):
    path = folder / "adapter_model.safetensors"
    save_file({**load_file(path), "score.weight": torch.zeros(2, 2)}, path)


JSON = "adapter_config.json"
PREFIX = {"peft_type": "PREFIX_TUNING"}
UNREADABLE = {
    "no config": (lambda f: (f / JSON).unlink(), "is not a PEFT adapter folder: it has no adapter"),
    "no JSON": (write(JSON, b"{"), "is not readable JSON"),
    "no text": (write(JSON, b"\xff\xfe{"), "is not readable JSON"),
    "no type": (write(JSON, b"[]"), "is not the config of a PEFT adapter: it has no peft_type"),
    "another type": (change(JSON, peft_type="LORA"), "is of the PEFT type LORA; expected PROMPT_"),
    "adaption": (change(JSON, peft_type="ADAPTION_PROMPT"), "of the PEFT type ADAPTION_PROMPT;"),
    "cartridge": (
        change(JSON, task_type="SEQ_2_SEQ_LM", peft_type="CARTRIDGE"),
        "an encoder–decoder's",
    ),
    "two stacks": (change(JSON, num_transformer_submodules=2), "has vectors for 2 stacks"),
    "half a stack": (change(JSON, num_transformer_submodules=0.5), "has vectors for 0.5 stacks"),
    "true": (change(JSON, num_virtual_tokens=True), "does not say how large the prompt is"),
    "no tasks": (
        change(JSON, peft_type="MULTITASK_PROMPT_TUNING"),
        "expected 3 tensors, prompt_embeddings, prefix_task_cols, prefix_task_rows, found prompt_",
    ),
    "not finite": (rows(torch.full((3, 32), float("nan"))), "holds NaN or infinity"),
    "integers": (rows(torch.zeros(3, 32, dtype=torch.long)), "expected one tensor, prompt_emb"),
    "decoder": (change(JSON, task_type="SEQ_2_SEQ_LM", **PREFIX), "an encoder–decoder's"),
    "no size": (change(JSON, token_dim=None), "does not say how large the prompt is"),
    "no blocks": (change(JSON, num_layers=None, **PREFIX), "does not say how large the prompt is"),
    "no weights": (
        lambda f: (f / "adapter_model.safetensors").unlink(),
        "adapter_model.safetensors: no such file",
    ),
    "a pickle": (pickled, "adapter_model.bin is a pickle, which is never read: save it again"),
    "cut off": (write("adapter_model.safetensors", b"\0" * 20), "is damaged or not a safetensors"),
    "another shape": (
        rows(torch.zeros(3, 31)),
        "its config tells of prompt_embeddings [3, 32], found [3, 31]",
    ),
    "more weights": (with_more, "expected one tensor, prompt_embeddings [tokens, width], found"),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_a_folder_that_is_no_prompt_of_peft_is_refused(tiny, case, tmp_path):
    folder = pp.peft.save(soft_prompt(tiny), tmp_path / "adapter", backbone=tiny)
    damage, message = UNREADABLE[case]
    damage(folder)
    assert message in refusal(lambda: pp.peft.load(folder))


def base_of(folder):
    return json.loads((folder / JSON).read_text())["base_model_name_or_path"]


def test_an_export_names_a_model_that_peft_can_load(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny.model.save_pretrained("here")
    prompt = soft_prompt(tiny)
    for name in ("here", "./here", "~/here"):
        monkeypatch.setenv("HOME", str(tmp_path))
        folder = pp.peft.save(prompt, tmp_path / "a", backbone=replace(tiny, name=name))
        assert base_of(folder) == str(tmp_path / "here")
    hub = replace(tiny, name="org/model", revision="a" * 40)
    assert base_of(pp.peft.save(prompt, tmp_path / "a", backbone=hub)) == "org/model"
    pp.peft.save(prompt, "a", backbone=hub, with_model=True)
    assert base_of(tmp_path / "a") == str(tmp_path / "a" / "model")
    assert json.loads((tmp_path / "a" / JSON).read_text())["revision"] is None


@pytest.mark.parametrize("name", ["tiny", "tiny-t5"])
def test_a_model_of_ours_is_taken_for_nobody_elses(name, tmp_path):
    backbone = pp.load_model(name)
    folder = pp.peft.save(soft_prompt(backbone), tmp_path / "a", backbone=backbone)
    auto = peft.AutoPeftModelForSeq2SeqLM if backbone.seq2seq else peft.AutoPeftModelForCausalLM
    with pytest.raises(OSError, match=f"'{name} of promptpriors: export with --with-model'"):
        auto.from_pretrained(folder)
    note = f"The model {name} is part of promptpriors and on no hub"
    assert note in (folder / "README.md").read_text()
    folder = pp.peft.save(soft_prompt(backbone), folder, backbone=backbone, with_model=True)
    model = auto.from_pretrained(folder).eval()
    ids = torch.tensor([backbone.encode(QUESTION)])
    own = peft.PeftModel.from_pretrained(copy.deepcopy(backbone.model), folder).eval()
    more = {"decoder_input_ids": ids} if backbone.seq2seq else {}
    with torch.no_grad():
        logits = [m(input_ids=ids, **more).logits for m in (model, own)]
    assert torch.equal(*logits)


def test_a_model_that_transformers_does_not_write_leaves_nothing(tiny, tmp_path):
    model = copy.deepcopy(tiny.model)
    model.generation_config.temperature = 0.5  # without sampling, which it calls invalid
    with pytest.raises(pp.InputError, match="transformers does not write model 'tiny': "):
        pp.peft.save(
            soft_prompt(tiny), tmp_path / "a", backbone=replace(tiny, model=model), with_model=True
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda f: (f / "model" / "mine.txt").touch(), "model/mine.txt"),
        (lambda f: (f / "README.md").write_text("mine"), "README.md, which was changed since"),
        (lambda f: (f / "model" / "sub").mkdir() or (f / "model/sub/x").touch(), "model/sub/x"),
        (lambda f: (f / "more").mkdir(), "more"),
        (
            lambda f: (f / "model").rename(f / "other") and (f / "model").symlink_to(f / "other"),
            "model",
        ),
    ],
)
def test_nothing_that_was_added_beside_an_export_is_lost(tiny, change, found, tmp_path):
    prompt, folder = soft_prompt(tiny), tmp_path / "a"
    for _ in range(2):
        pp.peft.save(prompt, folder, backbone=tiny, with_model=True)
    change(folder)
    before = sorted(folder.rglob("*"))
    message = refusal(lambda: pp.peft.save(prompt, folder, backbone=tiny))
    assert f"no earlier export of ours: it holds {found}\n" in message
    assert sorted(folder.rglob("*")) == before


def test_an_earlier_export_is_replaced_and_nothing_else_is(tiny, tmp_path):
    first, second = soft_prompt(tiny, 2), kv_prompt(tiny, 4)
    folder = pp.peft.save(first, tmp_path / "adapter", backbone=tiny)
    before = (folder / "adapter_model.safetensors").read_bytes()
    assert pp.peft.save(first, tmp_path / "adapter", backbone=tiny) == folder
    assert (folder / "adapter_model.safetensors").read_bytes() == before
    pp.peft.save(second, folder, backbone=tiny)
    assert pp.peft.load(folder).length == 4
    (tmp_path / "empty").mkdir()
    pp.peft.save(second, tmp_path / "empty", backbone=tiny)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["adapter", "empty"]

    (folder / "notes.txt").write_text("mine")
    again = lambda where: refusal(lambda: pp.peft.save(first, where, backbone=tiny))  # noqa: E731
    assert "no earlier export of ours: it holds notes.txt\nNothing was written" in again(folder)
    assert pp.peft.load(folder).length == 4
    shutil.rmtree(folder)
    wrapped(tiny.model, peft.PromptTuningConfig, **CAUSAL).save_pretrained(folder)
    (folder / "README.md").unlink()
    assert "no earlier export of ours: it holds adapter_config.json" in again(folder)
    (tmp_path / "file").write_text("x")
    assert "is a file; expected a folder" in again(tmp_path / "file")


def test_an_export_that_fails_leaves_what_was_there(tiny, tmp_path, monkeypatch):
    folder = pp.peft.save(soft_prompt(tiny, 2), tmp_path / "adapter", backbone=tiny)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    for name in ("adapter", "new"):
        with pytest.raises(OSError, match="No space left"):
            pp.peft.save(soft_prompt(tiny, 5), tmp_path / name, backbone=tiny)
    assert [p.name for p in tmp_path.iterdir()] == ["adapter"]
    assert pp.peft.load(folder).length == 2


def test_a_half_precision_model_takes_the_prompt_too(tiny, tmp_path):
    half = replace(tiny, model=copy.deepcopy(tiny.model).bfloat16())
    folder = pp.peft.save(soft_prompt(tiny), tmp_path / "a", backbone=half)
    assert (
        load_file(folder / "adapter_model.safetensors")["prompt_embeddings"].dtype == torch.float32
    )
