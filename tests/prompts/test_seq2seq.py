"""Encoder–decoders: the prompt stands in the encoder, the target comes from the decoder."""

import copy
import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import MarianConfig, MarianMTModel, T5Config, T5ForConditionalGeneration

import promptpriors as pp
from promptpriors.config.run import parse_config
from promptpriors.models import count_blocks
from promptpriors.models.backbone import freeze
from promptpriors.packing import encode, packs_exactly
from promptpriors.progress import silent
from promptpriors.prompts import Prompt, generate, token_losses
from promptpriors.prompts.seq2seq import answers
from promptpriors.running.doctor import examine
from promptpriors.running.export import export
from promptpriors.running.run import execute
from promptpriors.running.workspace import Workspace
from tests.helpers import EXAMPLES, drawn

ASKED = EXAMPLES[:5]
STOPS = {188, 203}
"""Tokens that some of the answers come to."""
KINDS = {
    "t5": {"feed_forward_proj": "relu"},
    "t5-v1.1": {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
}


def built(kind, end):
    """A small T5, seeded, lively enough for prompts to matter."""
    config = T5Config(
        vocab_size=264,
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_heads=4,
        initializer_factor=1.5,
        pad_token_id=end,
        eos_token_id=end,
        decoder_start_token_id=260,  # a row that no token uses
        n_positions=16,
        **KINDS[kind],
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = T5ForConditionalGeneration._from_config(config, attn_implementation="sdpa")
        model.shared.weight.data *= 0.2  # else a token repeats itself past all attention
        if kind == "t5-v1.1":  # its head is no copy of its embeddings
            model.lm_head.weight = torch.nn.Parameter(0.2 * torch.randn(264, 32))
    return model


@pytest.fixture(scope="module", params=KINDS)
def backbone(request, tiny):
    return freeze(request.param, "test", built(request.param, tiny.end), tiny.tokenizer)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, backbone):
    place = tmp_path_factory.mktemp("t5")
    backbone.model.save_pretrained(place)
    backbone.tokenizer.save_pretrained(place)
    return place


def source_of(example, backbone):
    return [*(i for piece in example.source for i in backbone.encode(piece)), backbone.end]


def target_of(example, backbone):
    return [*backbone.encode(f" {example.targets[0]}"), backbone.end]


def rows_of(example, backbone, prompt):
    """Prompt, source and end token as one line of embeddings, without padding."""
    text = backbone.embed(torch.tensor(source_of(example, backbone)))
    return torch.cat([prompt.values["embed"], text])[None]


def literal_nats(example, backbone, prompt):
    target = target_of(example, backbone)
    given = torch.tensor([[backbone.start, *target[:-1]]])
    hidden = rows_of(example, backbone, prompt)
    logits = backbone.model(inputs_embeds=hidden, decoder_input_ids=given).logits[0]
    return torch.nn.functional.cross_entropy(logits, torch.tensor(target), reduction="none")


def test_without_a_prompt_the_loss_is_hugging_faces_own_with_labels(backbone):
    for example in ASKED:
        ids = torch.tensor([source_of(example, backbone)])
        labels = torch.tensor([target_of(example, backbone)])
        with torch.no_grad():
            expected = backbone.model(input_ids=ids, labels=labels).loss
        for empty in (None, drawn(backbone, "none")):
            torch.testing.assert_close(pp.loss(backbone, empty, [example]), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_loss_and_gradient_of_a_soft_prompt_equal_the_literal_computation(backbone, dtype):
    backbone = replace(backbone, model=copy.deepcopy(backbone.model).to(dtype))
    prompt = drawn(backbone, "soft")
    found = token_losses(backbone, prompt, encode(backbone, ASKED))
    found.nats.mean().backward()
    gradient = prompt.values["embed"].grad.clone()
    prompt.zero_grad(set_to_none=True)
    expected = torch.cat([literal_nats(example, backbone, prompt) for example in ASKED])
    expected.mean().backward()
    assert gradient.abs().max() > 1e-4
    error = 1e-5 if dtype == torch.float32 else 1e-6
    torch.testing.assert_close(found.nats, expected.float(), rtol=error, atol=error)
    torch.testing.assert_close(gradient, prompt.values["embed"].grad, rtol=10 * error, atol=error)


def test_a_batch_equals_its_examples_one_by_one(backbone):
    prompt = drawn(backbone, "soft")
    encoded = encode(backbone, ASKED)
    with torch.no_grad():
        batch = token_losses(backbone, prompt, encoded)
        single = [token_losses(backbone, prompt, [one]) for one in encoded]
    assert batch.owner.tolist() == [i for i, e in enumerate(encoded) for _ in e.target]
    torch.testing.assert_close(batch.nats, torch.cat([one.nats for one in single]))
    assert torch.equal(batch.correct, torch.cat([one.correct for one in single]))


def test_what_is_computed_counts_prompt_and_padding_of_both_sides(backbone):
    encoded = encode(backbone, ASKED)
    width = max(sum(map(len, e.pieces)) for e in encoded) + 1
    out = max(len(e.target) for e in encoded)
    for prompt, before in ((None, 0), (drawn(backbone, "soft"), 5)):
        found = token_losses(backbone, prompt, encoded).computed
        assert found == len(encoded) * (before + width + out)


def test_every_target_token_counts_the_first_one_too(backbone):
    encoded = encode(backbone, ASKED)
    found = token_losses(backbone, None, encoded)
    assert len(found.nats) == sum(len(e.target) for e in encoded)


def test_rows_of_a_text_are_that_text_in_front_of_the_source(backbone):
    text = "Answer briefly.\n"
    prior = pp.fit_prior("text", pp.vocabulary(backbone), text=text)
    prompt = pp.draw_prompt(prior, length=len(text), backbone=backbone)
    behind = [example._replace(source=(text, *example.source)) for example in ASKED]
    with torch.no_grad():
        found = pp.loss(backbone, prompt, ASKED)
    torch.testing.assert_close(found, pp.loss(backbone, None, behind))
    assert generate(backbone, prompt, ASKED, max_new_tokens=5) == generate(
        backbone, None, behind, max_new_tokens=5
    )


@torch.no_grad()
def test_generation_equals_teacher_forcing_token_by_token(backbone):
    prompt = drawn(backbone, "soft")
    encoded = encode(backbone, ASKED)
    written = answers(backbone, prompt, encoded, 8, lambda ids: ids[-1] in STOPS)
    assert {len(ids) for ids in written} > {8}  # some end early
    assert len(set(map(tuple, written))) > 3
    for example, found in zip(ASKED, written, strict=True):
        hidden, ids = rows_of(example, backbone, prompt), [backbone.start]
        while len(ids) <= 8 and ids[-1] not in STOPS:
            given = torch.tensor([ids])
            out = backbone.model(inputs_embeds=hidden, decoder_input_ids=given, use_cache=False)
            ids.append(int(out.logits[0, -1].argmax()))
        assert found == ids[1:]


def test_without_a_prompt_it_generates_what_hugging_face_does(backbone):
    found = generate(backbone, None, ASKED, max_new_tokens=6)
    for example, answer in zip(ASKED, found, strict=True):
        ids = torch.tensor([source_of(example, backbone)])
        mask = torch.ones_like(ids)
        written = backbone.model.generate(
            ids, attention_mask=mask, do_sample=False, max_new_tokens=6
        )[0]
        assert answer == backbone.decode(written[1:].tolist()).strip()


def test_an_answer_ends_before_the_stop_text_and_has_white_space_removed(backbone):
    whole = generate(backbone, None, ASKED, max_new_tokens=8)
    stop = next(c for text in whole for c in text[1:] if c.isascii() and not c.isspace())
    cut = generate(backbone, None, ASKED, max_new_tokens=8, stop=stop)
    assert cut == [text.split(stop)[0].strip() for text in whole]
    assert cut != whole


@pytest.mark.slow
def test_training_lowers_the_loss_and_changes_nothing_but_the_prompt(backbone):
    prompt = drawn(backbone, "soft")
    start = prompt.snapshot()["embed"]
    weights = copy.deepcopy(backbone.model.state_dict())
    task = pp.Task("toy", 1, {"train": ASKED, "validation": ASKED}, lambda *_: {})
    records = list(pp.train(backbone, prompt, task, steps=30, batch=5, evaluate_every=30))
    assert records[-1].val_loss < records[0].val_loss - 0.2
    assert not torch.equal(start, prompt.snapshot()["embed"])
    assert all(torch.equal(weights[k], v) for k, v in backbone.model.state_dict().items())
    assert all(weight.grad is None for weight in backbone.model.parameters())
    assert not backbone.model.training


def test_evaluation_gives_the_loss_and_the_scores_of_answers(backbone):
    task = pp.Task("toy", 1, {"test": ASKED}, lambda answer, _: {"length": float(len(answer))}, 4)
    scores = pp.evaluate(backbone, drawn(backbone, "soft"), task)
    assert set(scores) == {"loss", "token_accuracy", "length"}
    prompt = drawn(backbone, "soft")
    assert scores["loss"] == pytest.approx(float(pp.loss(backbone, prompt, ASKED).detach()))


def test_an_encoder_decoder_takes_prompts_at_its_input_alone_and_has_no_limit(backbone):
    assert backbone.seq2seq
    inner = [site for site in backbone.sites if site != "embed"]
    assert all(site.startswith("encoder.") for site in inner)
    assert backbone.blocks == []
    assert backbone.context is None
    assert backbone.model.config.n_positions == 16
    assert not packs_exactly(backbone)


def test_a_decoders_positions_are_not_an_encoders(backbone, monkeypatch):
    """Where positions are limited, prompt and source share one limit, the target has its own."""
    source = len(source_of(ASKED[4], backbone))
    for limit in ("context", "answer_context"):
        monkeypatch.setattr(type(backbone), limit, source + 5)
    encode(backbone, ASKED[4:5], before=5, more=source + 5)
    with pytest.raises(pp.InputError, match=rf"needs {source + 6} positions \(prompt 6\)"):
        encode(backbone, ASKED[4:5], before=6)
    with pytest.raises(pp.InputError, match=rf"needs {source + 6} positions"):
        encode(backbone, ASKED[4:5], before=5, more=source + 6)


def test_an_example_without_a_source_is_refused(backbone):
    for call in (pp.loss, generate):
        with pytest.raises(pp.InputError) as error:
            call(backbone, None, EXAMPLES)
        assert str(error.value) == (
            "example '5' has no source; expected a source, since an encoder–decoder can't model "
            "plain text\nTake a task with questions, or a decoder-only model"
        )


@pytest.mark.parametrize("mode", ["deep", "deep-cut", "kv"])
def test_modes_that_enter_blocks_are_refused(backbone, mode):
    prior = pp.fit_prior("gaussian", pp.vocabulary(backbone))
    by_hand = Prompt(mode, {"block.0": torch.zeros(3, 32)})
    for call in (
        lambda: pp.draw_prompt(prior, mode=mode, backbone=backbone),
        lambda: pp.loss(backbone, by_hand, ASKED),
        lambda: generate(backbone, by_hand, ASKED),
    ):
        with pytest.raises(pp.InputError) as error:
            call()
        assert str(error.value) == (
            f"mode '{mode}' is for decoder-only models; '{backbone.name}' (t5) is an "
            "encoder–decoder\nTake mode 'soft', whose vectors stand before the encoder's text, or "
            "another model"
        )


def test_a_first_token_that_the_tokenizer_does_not_have_is_refused(backbone):
    with pytest.raises(pp.InputError, match="has no first token"):
        pp.loss(backbone, drawn(backbone, "soft", bos=True), ASKED)


def test_a_prompt_of_another_width_is_refused(backbone):
    with pytest.raises(pp.InputError, match="have 7 coordinates"):
        pp.loss(backbone, Prompt("soft", {"embed": torch.zeros(3, 7)}), ASKED)


def test_in_bfloat16_the_loss_is_close_and_the_gradient_float32(folder, backbone):
    loaded = pp.load_model(str(folder), dtype="bfloat16")
    prompt = drawn(backbone, "soft")
    found = pp.loss(loaded, prompt, ASKED)
    found.backward()
    assert prompt.values["embed"].grad.dtype == torch.float32
    torch.testing.assert_close(found, pp.loss(backbone, prompt, ASKED), rtol=0.05, atol=0.05)


def test_a_saved_folder_loads_as_the_model_it_holds(folder, backbone):
    loaded = pp.load_model(str(folder))
    assert loaded.seq2seq
    assert count_blocks(str(folder)) == 0
    with torch.no_grad():
        for prompt in (None, drawn(backbone, "soft")):
            expected = pp.loss(backbone, prompt, ASKED)
            torch.testing.assert_close(pp.loss(loaded, prompt, ASKED), expected)


def config_of(folder, tmp_path, **more):
    path = tmp_path / "questions.jsonl"
    rows = ({"source": f"Question: {n}?\nAnswer:", "targets": [f"no. {n}"]} for n in range(24))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = {"name": "jsonl", "path": str(path), "train": 12, "validation": 6, "test": 4}
    sections = {
        "model": str(folder),
        "task": task,
        "prior": "gaussian",
        "prompt": {"length": 4},
        "train": {"steps": 4, "batch": 4, "evaluate_every": 2},
    }
    return parse_config(sections | more)


@pytest.mark.slow
def test_a_run_ends_with_a_result(folder, tmp_path):
    workspace = Workspace()
    run = execute(config_of(folder, tmp_path), tmp_path, workspace)
    result = run.result
    assert result["val_loss"] < result["val_loss_initial"]
    assert set(result["scores"]) >= {"loss", "token_accuracy", "exact_match", "accuracy"}
    assert result["tokens"] > result["tokens_useful"] > 0
    assert len(result["nearest_tokens"]["embed"]["final"]) == 4
    empty = execute(config_of(folder, tmp_path, prompt={"mode": "none"}), tmp_path, workspace)
    assert empty.result["val_loss"] == pytest.approx(result["val_loss_none"])


@pytest.mark.slow
def test_the_doctor_compares_the_plain_loss_with_labels(folder, tmp_path):
    findings = {}
    for finding in examine(config_of(folder, tmp_path), Workspace(), silent):
        findings[finding.check] = finding
    assert findings["shared prefixes"].found == (
        "none: an encoder looks both ways, so batches are padded"
    )
    assert findings["plain model"].passed
    assert findings["only the prompt changes"].passed
    assert "loss stays finite" in findings


def test_a_run_with_a_mode_that_enters_blocks_or_without_sources_leaves_no_folder(folder, tmp_path):
    runs = tmp_path / "runs"
    for mode in ("deep", "deep-cut", "kv"):
        deep = config_of(folder, tmp_path, prompt={"mode": mode})
        with pytest.raises(pp.InputError, match=f"mode '{mode}' is for decoder-only models"):
            execute(deep, runs, Workspace())
    chosen = config_of(folder, tmp_path, prompt={"mode": "kv", "sites": ["block.0"]})
    with pytest.raises(pp.InputError, match=r"site 'block\.0' does not exist in this model"):
        execute(chosen, runs, Workspace())
    (tmp_path / "text").mkdir()
    for n in range(20):
        (tmp_path / "text" / f"{n}.txt").write_text(f"Document {n}: " + "words " * 20)
    task = {"name": "text", "path": str(tmp_path / "text"), "train": 4, "validation": 2, "test": 2}
    with pytest.raises(pp.InputError, match="can't model plain text"):
        execute(config_of(folder, tmp_path, task=task), runs, Workspace())
    assert not runs.exists()


def copied(folder, place):
    for file in folder.iterdir():
        (place / file.name).write_bytes(file.read_bytes())
    return place


def refusal(place):
    with pytest.raises(pp.InputError) as error:
        pp.load_model(str(place))
    assert str(error.value).count("\n") <= 1
    return str(error.value)


def test_a_decoder_that_nothing_starts_is_refused(folder, tmp_path):
    path = copied(folder, tmp_path) / "config.json"
    config = json.loads(path.read_text())
    del config["decoder_start_token_id"]
    path.write_text(json.dumps(config))
    assert "set decoder_start_token_id in its config.json" in refusal(tmp_path)


def test_weights_that_are_incomplete_or_pickled_are_refused(folder, tmp_path):
    path = copied(folder, tmp_path) / "model.safetensors"
    tensors = load_file(path)
    tensors.pop("decoder.block.1.layer.1.EncDecAttention.q.weight")
    save_file(tensors, path, {"format": "pt"})
    message = refusal(tmp_path)
    assert "EncDecAttention.q.weight is missing" in message
    assert "all weights of an encoder–decoder language model" in message
    path.unlink()
    torch.save({}, tmp_path / "pytorch_model.bin")
    assert "expected model.safetensors" in refusal(tmp_path)


def test_a_model_that_scales_its_embeddings_elsewhere_is_refused(tiny, tmp_path):
    shape = {"encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "d_model": 32}
    ends = {"pad_token_id": 263, "decoder_start_token_id": 263, "eos_token_id": tiny.end}
    config = MarianConfig(vocab_size=264, scale_embedding=True, **shape, **heads, **ends)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        MarianMTModel(config).save_pretrained(tmp_path)
    tiny.tokenizer.save_pretrained(tmp_path)
    message = refusal(tmp_path)
    assert "(marian) does more to tokens than look up their embeddings" in message


def test_the_encoders_text_is_what_t5s_own_tokenizer_makes_of_it():
    from transformers import T5Tokenizer

    letters = [(c, -3.0) for c in "▁abcdefghijklmnopqrstuvwxyzAQ:?."]
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    tokenizer = T5Tokenizer(vocab=[*special, *letters], extra_ids=0)
    backbone = freeze("t5", "test", built("t5", 1), tokenizer)
    example = pp.Example("1", ("A context.\n", "Question: who?\nAnswer:"), ("me",))
    [encoded] = encode(backbone, [example])
    whole = "".join(example.source)
    assert [*sum(encoded.pieces, ()), backbone.end] == tokenizer(whole)["input_ids"]
    assert list(encoded.target) == tokenizer("me")["input_ids"]


@pytest.mark.slow
@pytest.mark.parametrize("to", ["embeddings", "peft"])
def test_what_is_exported_answers_as_we_do(to, folder, tmp_path, capsys):
    run = execute(config_of(folder, tmp_path), tmp_path / "runs", Workspace())
    prompt, backbone = pp.load_prompt(run.folder), pp.load_model(str(folder))
    asked = [pp.Example("1", ("Question: 0?\nAnswer:",), ("",))]  # the first of the file
    expected = generate(backbone, prompt, asked, max_new_tokens=16)
    exported = export(str(run.folder), tmp_path / "runs", to, tmp_path / "out")
    assert set(exported.use) == {"embeddings": {"transformers"}, "peft": {"PEFT"}}[to]
    capsys.readouterr()
    exec(compile(exported.text(), "printed", "exec"), {})
    assert [capsys.readouterr().out.strip()] == expected
