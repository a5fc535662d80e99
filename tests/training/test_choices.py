"""Likelihoods of choices against the plain model, one text at a time."""

import dataclasses

import pytest
import torch

import promptpriors as pp
from promptpriors.packing import encode
from promptpriors.training.choices import choice_scores, encode_choices
from tests.helpers import EXAMPLES, drawn
from tests.training.test_parallel import Parts

ASKED = [example._replace(targets=("B",)) for example in EXAMPLES[:5]]
OFFERED = {
    "letters": ("A", "B", "C", "D"),
    "words": ("B", "perhaps", "never again"),
    "beginnings": ("B", "Bee", "Beech"),
    "one begins another": ("A", "B", "BC"),
}


def task(offer, examples=ASKED):
    score = lambda answer, example: {"accuracy": float(answer in example.targets)}  # noqa: E731
    splits = {"train": examples, "validation": examples, "test": examples}
    return pp.Task("toy", 1, splits, score, max_new_tokens=2, choices=offer)


@torch.no_grad()
def log_likelihood(backbone, prompt, source, text, *, ended):
    """Summed log-probability of a text by Hugging Face's model alone, unpadded."""
    read = [i for piece in source for i in backbone.tokenizer.encode(piece)]
    said = backbone.tokenizer.encode(f" {text}") + [backbone.end] * ended
    rows = backbone.model.get_input_embeddings()(torch.tensor(read + said))
    if prompt:
        rows = torch.cat([prompt.values["embed"], rows])
    logits = backbone.model(inputs_embeds=rows[None]).logits[0].log_softmax(dim=-1)
    places = range(len(rows) - len(said) - 1, len(rows) - 1)
    return sum(float(logits[place, token]) for place, token in zip(places, said, strict=True))


@pytest.mark.parametrize("prompted", [False, True])
@pytest.mark.parametrize("choices", OFFERED.values(), ids=OFFERED)
def test_the_likeliest_choice_is_that_of_the_plain_model(tiny, choices, prompted):
    prompt = drawn(tiny, "soft") if prompted else None
    ended = any(a != b and b.startswith(a) for a in choices for b in choices)
    chosen, normed = [], []
    for example in ASKED:
        sums = [log_likelihood(tiny, prompt, example.source, c, ended=ended) for c in choices]
        chosen.append(choices[sums.index(max(sums))])
        shares = [total / len(text) for total, text in zip(sums, choices, strict=True)]
        normed.append(choices[shares.index(max(shares))])
    for right in choices:  # that the shares are equal for each shows what was chosen
        asked = [example._replace(targets=(right,)) for example in ASKED]
        found = pp.evaluate(tiny, prompt, task(lambda _: choices, asked))
        assert found["choice_accuracy"] == chosen.count(right) / len(ASKED)
        assert found["choice_accuracy_norm"] == normed.count(right) / len(ASKED)


def test_the_source_of_choices_is_computed_once(tiny, monkeypatch):
    rows = []
    real = pp.training.choices.token_losses
    monkeypatch.setattr(
        "promptpriors.training.choices.token_losses",
        lambda *given, **more: rows.append(real(*given, **more)) or rows[-1],
    )
    pp.evaluate(tiny, None, task(lambda _: ("AA", "BB", "CC", "B")))
    alone = sum(sum(map(len, e.pieces)) for e in encode(tiny, ASKED))
    assert sum(found.computed for found in rows) < 1.5 * alone


def test_choices_of_each_example_are_its_own_and_any_accepted_one_is_right(tiny):
    own = {example.id: (f"no {example.id}", "B", "C") for example in ASKED}
    accepted = [e._replace(targets=("C", f"no {e.id}", "B")) for e in ASKED]
    found = pp.evaluate(tiny, None, task(lambda e: own[e.id], accepted))
    assert (found["choice_accuracy"], found["choice_accuracy_norm"]) == (1.0, 1.0)


@pytest.mark.parametrize("size", [2, 7])
def test_scores_of_choices_do_not_depend_on_the_number_of_shares(tiny, size, monkeypatch):
    monkeypatch.setattr("promptpriors.training.evaluation.BUDGET", 60)
    offered = task(lambda _: OFFERED["words"])
    expected = pp.evaluate(tiny, drawn(tiny, "soft"), offered)
    assert pp.evaluate(tiny, drawn(tiny, "soft"), offered, team=Parts(size)) == expected


def test_an_encoder_decoder_scores_choices_as_well():
    backbone = pp.load_model("tiny-t5")
    found = pp.evaluate(backbone, None, task(lambda _: OFFERED["letters"]))
    assert set(found) == {
        "loss",
        "token_accuracy",
        "accuracy",
        "choice_accuracy",
        "choice_accuracy_norm",
    }


def test_a_task_without_choices_has_no_score_of_them(tiny):
    assert "choice_accuracy" not in pp.evaluate(tiny, None, task(None))


def test_the_first_of_equally_likely_choices_counts():
    assert choice_scores(["a", "b"], [1.0, 1.0], ["a"]) == [1.0, 1.0]
    assert choice_scores(["a", "b"], [1.0, 1.0], ["b"]) == [0.0, 0.0]


def test_choices_that_are_the_same_tokens_are_refused(tiny):
    deaf = dataclasses.replace(tiny, tokenizer=tiny.tokenizer)
    object.__setattr__(deaf, "encode", lambda text, **_: tiny.encode(text.lower()))
    with pytest.raises(pp.InputError, match=r"two of its choices are the same tokens of model"):
        encode_choices(deaf, ASKED, lambda _: ("a", "A"))


def test_a_choice_that_is_too_long_is_named(tiny):
    with pytest.raises(pp.InputError, match=r"example \"0, choice 'B+\" needs 2\d+ positions"):
        encode_choices(tiny, ASKED, lambda _: ("a", "B" * 2100))
