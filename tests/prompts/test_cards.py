"""What an export says about batches is so: in the ways in which other software makes them."""

import copy

import peft
import pytest
import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import MistralConfig, MistralForCausalLM

import promptpriors as pp
from promptpriors.models import Backbone
from promptpriors.packing import encode
from promptpriors.prompts import draw_prompt, generate
from promptpriors.prompts.cards import EMBEDDINGS, PREFIX, SEQ2SEQ, SOFT, notes
from promptpriors.prompts.losses import token_losses

TEXTS = [
    f"Question: {7 * i + 3} + {i * i}?{' Think first.' * (i % 2)}{' Please.' * (i % 5)}\nAnswer:"
    for i in range(24)
]
TOKENS = 5
WAYS = {"soft": False, "prefix": True}


def trained_prompt(backbone):
    return draw_prompt(pp.fit_prior("gaussian", pp.vocabulary(backbone)), length=6, seed=2)


def in_peft(backbone, folder, *, as_prefix):
    pp.peft.save(trained_prompt(backbone), folder, backbone=backbone, as_prefix=as_prefix)
    return peft.PeftModel.from_pretrained(copy.deepcopy(backbone.model), folder).eval()


def examples(texts):
    return [pp.Example(str(i), (text,), ("42",)) for i, text in enumerate(texts)]


def padded(rows, side, fill=0):
    rows = [torch.as_tensor(row) for row in rows]
    return pad_sequence(rows, batch_first=True, padding_value=fill, padding_side=side)


def answers_as_lm_eval(model, backbone, texts, size):
    """Greedy answers as lm-evaluation-harness has them: longest first, padded on the left."""
    order = sorted(range(len(texts)), key=lambda i: (-len(backbone.encode(texts[i])), texts[i]))
    found = {}
    for start in range(0, len(order), size):
        chosen = order[start : start + size]
        tokens = [backbone.encode(texts[i]) for i in chosen]
        ids = padded(tokens, "left", backbone.end)
        written = model.generate(
            input_ids=ids,
            attention_mask=padded([torch.ones(len(t), dtype=torch.long) for t in tokens], "left"),
            max_length=ids.shape[1] + TOKENS,
            do_sample=False,
            use_cache=True,
            pad_token_id=backbone.end,
            eos_token_id=backbone.end,
        )
        for i, row in zip(chosen, written[:, ids.shape[1] :].tolist(), strict=True):
            found[i] = backbone.decode(row).strip()
    return [found[i] for i in range(len(texts))]


def log_likelihoods_as_lm_eval(model, backbone, texts, target):
    """Of ``target`` after each text: padded on the right, no mask, counted from the end."""
    after = backbone.encode(target)
    lines = [[*backbone.encode(text), *after][:-1] for text in texts]
    ids = padded(lines, "right")
    with torch.no_grad():
        logits = model(ids).logits.log_softmax(-1)
    found = []
    for line, row in zip(lines, logits, strict=True):
        end = len(line) + len(row) - ids.shape[1]  # rows of the prompt stand before
        scored = row[end - len(after) : end]
        found.append(float(scored.gather(1, torch.tensor(after)[:, None]).sum()))
    return torch.tensor(found)


def ours(backbone, texts):
    return generate(backbone, trained_prompt(backbone), examples(texts), max_new_tokens=TOKENS)


@pytest.mark.parametrize("name", ["tiny", "gpt2", "qwen3"])
def test_a_prefix_answers_left_padded_batches_as_it_answers_one_text(name, request, tmp_path):
    backbone = request.getfixturevalue(name)
    model = in_peft(backbone, tmp_path / "a", as_prefix=True)
    assert answers_as_lm_eval(model, backbone, TEXTS, len(TEXTS)) == ours(backbone, TEXTS)


@pytest.mark.parametrize(("window", "right"), [(20, False), (200, True)])
def test_padding_before_a_text_takes_places_of_a_window(window, right, tiny, tmp_path):
    config = copy.deepcopy(tiny.model.config).to_dict() | {"sliding_window": window}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = MistralForCausalLM(MistralConfig(**config | {"model_type": "mistral"}))
    backbone = Backbone("mistral-test", "1", model.eval().requires_grad_(False), tiny.tokenizer)
    expected = ours(backbone, TEXTS)
    told, _ = notes("prefix", backbone, tmp_path, with_model=False)
    assert f"sees {window} tokens back: longer left-padded lines" in told
    model = in_peft(backbone, tmp_path / "a", as_prefix=True)
    assert (answers_as_lm_eval(model, backbone, TEXTS, len(TEXTS)) == expected) == right
    assert answers_as_lm_eval(model, backbone, TEXTS, 1) == expected
    rows = [torch.cat([trained_prompt(backbone).values["embed"], backbone.embed(torch.tensor(t))])
            for t in map(backbone.encode, TEXTS)]  # fmt: skip
    written = backbone.model.generate(
        inputs_embeds=padded([row.detach() for row in rows], "left"),
        attention_mask=padded([torch.ones(len(row), dtype=torch.long) for row in rows], "left"),
        max_new_tokens=TOKENS,
        do_sample=False,
    )
    assert [backbone.decode(row).strip() for row in written.tolist()] == expected


def test_a_soft_prompt_of_peft_answers_one_text_at_a_time(tiny, tmp_path):
    model, expected = in_peft(tiny, tmp_path / "a", as_prefix=False), ours(tiny, TEXTS)
    assert answers_as_lm_eval(model, tiny, TEXTS, 1) == expected
    assert sum(map(str.__eq__, answers_as_lm_eval(model, tiny, TEXTS, 24), expected)) < 12
    alike = [text for text in TEXTS if len(tiny.encode(text)) == len(tiny.encode(TEXTS[-1]))]
    alike.append(TEXTS[-1].replace("164", "461"))
    assert answers_as_lm_eval(model, tiny, alike, len(alike)) == ours(tiny, alike)


@pytest.mark.parametrize("way", WAYS)
def test_losses_are_right_where_batches_are_padded_on_the_right(tiny, way, tmp_path):
    model = in_peft(tiny, tmp_path / "a", as_prefix=WAYS[way])
    prompt, target = trained_prompt(tiny), tiny.encode(" 42")
    found = log_likelihoods_as_lm_eval(model, tiny, TEXTS, " 42")
    encoded = encode(tiny, examples(TEXTS), before=prompt.before)
    with torch.no_grad():
        nats = token_losses(tiny, prompt, encoded).nats.reshape(len(TEXTS), -1)
    torch.testing.assert_close(found, -nats[:, : len(target)].sum(1), rtol=1e-5, atol=1e-5)


def test_losses_of_a_prefix_on_left_padded_texts_need_positions(tiny, tmp_path):
    model = in_peft(tiny, tmp_path / "a", as_prefix=True)
    tokens = [tiny.encode(text) for text in TEXTS]
    mask = padded([torch.ones(len(t), dtype=torch.long) for t in tokens], "left")
    ids, positions = padded(tokens, "left"), (mask.cumsum(1) - 1).clamp(min=0)
    with torch.no_grad():
        alone = torch.stack([model(torch.tensor([t])).logits[0, -1] for t in tokens])
        counted = model(ids, attention_mask=mask, position_ids=positions).logits[:, -1]
        plain = model(ids, attention_mask=mask).logits[:, -1]
    torch.testing.assert_close(counted, alone, rtol=1e-4, atol=1e-4)
    assert (plain - alone).abs().max() > 0.01


def test_an_encoder_decoder_is_padded_on_the_right(tmp_path):
    backbone = pp.load_model("tiny-t5")
    model = in_peft(backbone, tmp_path / "a", as_prefix=False)
    tokens = [[*backbone.encode(text), backbone.end] for text in TEXTS]
    ids, start = padded(tokens, "right"), torch.full((len(tokens), 1), backbone.start)
    mask = padded([torch.ones(len(t), dtype=torch.long) for t in tokens], "right")
    with torch.no_grad():
        found = model(input_ids=ids, attention_mask=mask, decoder_input_ids=start).logits
        alone = [
            model(input_ids=torch.tensor([t]), decoder_input_ids=start[:1]).logits for t in tokens
        ]
    torch.testing.assert_close(found, torch.cat(alone), rtol=1e-4, atol=1e-4)


def test_the_notes_say_what_holds_for_each_kind(tiny, tmp_path):
    told = {kind: notes(kind, tiny, tmp_path, with_model=False) for kind in (*WAYS, "embeddings")}
    assert [told[kind][0] for kind in told] == [SOFT, PREFIX, EMBEDDINGS]
    assert "--to peft-prefix" in SOFT
    assert "--batch_size 1" in SOFT
    t5 = pp.load_model("tiny-t5")
    assert notes("soft", t5, tmp_path, with_model=False)[0] == SEQ2SEQ
    for way, as_prefix in WAYS.items():
        folder = pp.peft.save(
            trained_prompt(tiny), tmp_path / way, backbone=tiny, as_prefix=as_prefix
        )
        assert told[way][0] in (folder / "README.md").read_text()


@pytest.mark.slow
def test_the_same_ways_on_the_embedded_model(smollm2, tmp_path):
    texts, expected = TEXTS[::2], ours(smollm2, TEXTS[::2])
    model = in_peft(smollm2, tmp_path / "prefix", as_prefix=True)
    assert answers_as_lm_eval(model, smollm2, texts, len(texts)) == expected
    model = in_peft(smollm2, tmp_path / "soft", as_prefix=False)
    assert answers_as_lm_eval(model, smollm2, texts, len(texts)) != expected
    assert answers_as_lm_eval(model, smollm2, texts, 1) == expected
