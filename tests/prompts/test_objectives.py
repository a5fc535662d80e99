"""The misaligned objective is what Hugging Face computes of misplaced labels, and what it hides."""

import dataclasses

import pytest
import torch
from tokenizers.processors import TemplateProcessing
from transformers import AutoModelForCausalLM, LlamaConfig

import promptpriors as pp
from promptpriors.models.backbone import freeze
from promptpriors.models.tiny import byte_tokenizer
from promptpriors.packing import encode
from promptpriors.prompts import MODES, token_losses
from promptpriors.prompts.objectives import (
    OBJECTIVES,
    check_objective,
    mean_objective,
    misaligned,
    objective_of,
)
from tests.helpers import EXAMPLES, drawn

ASKED = EXAMPLES[:5]
LONG = [
    pp.Example("long source", ("Many words. " * 30, "Question: who?\nAnswer:"), ("me",)),
    pp.Example("long answer", ("Question: what?\nAnswer:",), ("a very long answer " * 9,)),
    pp.Example("short", ("a:",), ("b",)),
]


def hugging_face(backbone, prompt, examples, *, first=()):
    """The loss of a model that is given prompt and source, and labels from position 0 on."""
    rows = prompt.values["embed"] if prompt.length else torch.zeros(0, backbone.dim)
    sources = [[i for text in e.source for i in backbone.encode(text)] for e in examples]
    width = max(128, *map(len, sources))
    tokens = torch.tensor([ids + [backbone.end] * (width - len(ids)) for ids in sources])
    there = torch.tensor([[1] * len(ids) + [0] * (width - len(ids)) for ids in sources])
    labels = torch.full((len(examples), len(rows) + width), -100)
    for line, example in enumerate(examples):
        answer = [*first, *backbone.encode(f" {example.targets[0]}"), backbone.end]
        labels[line, :128] = torch.tensor((answer + [backbone.end] * 128)[:128])
    before = rows.expand(len(examples), -1, -1)
    return backbone.model(
        inputs_embeds=torch.cat([before, backbone.embed(tokens)], dim=1),
        attention_mask=torch.cat([torch.ones(before.shape[:2], dtype=torch.long), there], dim=1),
        labels=labels,
    ).loss


def both(backbone, prompt, examples, **more):
    """Loss and gradient, by us and by Hugging Face."""
    found = []
    encoded = encode(backbone, examples, before=prompt.before)
    for compute in (
        lambda: misaligned(backbone, prompt, encoded).nats,
        lambda: hugging_face(backbone, prompt, examples, **more),
    ):
        prompt.zero_grad(set_to_none=True)
        loss = compute().mean()
        loss.backward()
        found.append((loss.detach(), prompt.values["embed"].grad.clone()))
    return found


@pytest.mark.parametrize("examples", [ASKED, LONG, LONG[:1], LONG[2:]])
def test_loss_and_gradient_are_hugging_faces_of_labels_from_position_zero_on(tiny, examples):
    (ours, mine), (theirs, expected) = both(tiny, drawn(tiny, "soft"), examples)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(mine, expected, rtol=1e-4, atol=1e-7)


def test_the_plain_model_has_it_too(tiny):
    encoded = encode(tiny, ASKED)
    with torch.no_grad():
        expected = hugging_face(tiny, drawn(tiny, "none"), ASKED)
        for prompt in (None, drawn(tiny, "none")):
            found = misaligned(tiny, prompt, encoded).nats.mean()
            torch.testing.assert_close(found, expected)


def test_it_is_the_same_where_rotations_depend_on_the_length_of_a_call(tiny):
    rope = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}
    config = LlamaConfig(
        vocab_size=264,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        initializer_range=0.2,
        max_position_embeddings=150,
        rope_parameters=rope,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config)
    backbone = freeze("dynamic", "test", model, tiny.tokenizer)
    example = LONG[0]._replace(source=("Many words. " * 11, "Question: who?\nAnswer:"))
    prompt = drawn(backbone, "soft")
    encoded = encode(tiny, [example], before=prompt.before)
    with torch.no_grad():
        found = misaligned(backbone, prompt, encoded)
        expected = hugging_face(backbone, prompt, [example])
        torch.testing.assert_close(found.nats.mean(), expected)
    assert found.computed > 150


def test_the_targets_are_the_rest_of_the_answer_and_end_tokens(tiny):
    (example,) = encode(tiny, ASKED[1:2])
    counts = []
    for target in ((1, 2, 3), (9, 2, 3)):  # the first label is never a target
        with torch.no_grad():
            counts.append(misaligned(tiny, None, [example._replace(target=target)]).nats)
    assert len(counts[0]) == 127
    assert torch.equal(*counts)
    with torch.no_grad():
        ends = misaligned(tiny, None, [example._replace(target=(1, tiny.end))]).nats
    assert torch.equal(counts[0][2:], ends[2:])
    assert not torch.equal(counts[0][:2], ends[:2])


def test_a_first_token_that_the_tokenizer_puts_is_the_first_label(tiny):
    tokenizer = byte_tokenizer()
    tokenizer.bos_token = "a"
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="a $A", special_tokens=[("a", tokenizer.convert_tokens_to_ids("a"))]
    )
    first = tokenizer("")["input_ids"]
    assert first == [tokenizer.bos_token_id]
    llama = dataclasses.replace(tiny, tokenizer=tokenizer)
    prompt = drawn(tiny, "soft")
    (ours, _), (theirs, _) = both(llama, prompt, ASKED, first=first)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    (without, _), _ = both(tiny, prompt, ASKED)
    assert abs(float(ours - without)) > 1e-4


def test_what_stands_late_in_a_source_is_hidden_from_it_and_not_from_the_answers_loss(tiny):
    prompt = drawn(tiny, "soft")
    (asked,) = encode(tiny, LONG[:1])
    (other,) = encode(tiny, [LONG[0]._replace(source=(LONG[0].source[0], "Nothing is asked."))])
    with torch.no_grad():
        hidden = [misaligned(tiny, prompt, [e]).nats.mean() for e in (asked, other)]
        seen = [token_losses(tiny, prompt, [e]).nats.mean() for e in (asked, other)]
    assert torch.equal(*hidden)
    assert abs(float(seen[0] - seen[1])) > 1e-3


@pytest.mark.parametrize("name", OBJECTIVES)
def test_an_objective_over_a_split_is_the_mean_over_all_targets(tiny, name):
    prompt, encoded = drawn(tiny, "soft"), encode(tiny, ASKED + LONG)
    found = mean_objective(name, tiny, prompt, encoded)
    with torch.no_grad():
        whole = objective_of(name)(tiny, prompt, encoded)
    assert found == pytest.approx(float(whole.nats.mean()), rel=1e-5)
    assert whole.owner.unique().tolist() == list(range(len(encoded)))


@pytest.mark.parametrize("mode", sorted(set(MODES) - {"none", "soft"}))
def test_vectors_that_are_no_rows_of_the_sequence_are_refused(tiny, mode):
    with pytest.raises(pp.InputError, match=f"where mode '{mode}' has none; expected one of"):
        misaligned(tiny, drawn(tiny, mode), encode(tiny, ASKED))


def test_a_text_without_a_source_and_an_encoder_decoder_are_refused(tiny):
    encoded = encode(tiny, EXAMPLES)
    with pytest.raises(pp.InputError, match="needs a source before the answer, and example '5'"):
        misaligned(tiny, None, encoded)
    check_objective("answer", tiny, None, encoded)
    t5 = pp.load_model("tiny-t5")
    with pytest.raises(pp.InputError, match=r"'tiny-t5' \(t5\) is an encoder–decoder"):
        misaligned(t5, None, encode(t5, ASKED))


def test_an_unknown_objective_is_refused_with_what_there_is():
    with pytest.raises(pp.InputError, match="Did you mean 'answer'"):
        objective_of("answr")
