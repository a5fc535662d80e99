"""Prompts are drawn, inserted and read as they promise."""

import pytest
import torch

import promptpriors as pp
from promptpriors.prompts import Prompt, draw_prompt, generate
from promptpriors.rng import generator
from tests.helpers import EXAMPLES, cloud, drawn


def test_a_prompt_registers_its_values_under_the_site_with_slashes():
    prompt = Prompt("deep", {"embed": torch.zeros(2, 3), "block.13": torch.ones(2, 5)})
    assert [name for name, _ in prompt.named_parameters()] == ["embed", "block/13"]
    assert prompt.values["block.13"].shape == (2, 5)
    assert prompt.sites == ("embed", "block.13")
    assert (prompt.length, prompt.before) == (2, 2)


def test_sites_must_agree_about_the_length():
    with pytest.raises(pp.InputError, match="one length at all its sites"):
        Prompt("deep", {"embed": torch.zeros(2, 3), "block.1": torch.zeros(3, 3)})


def test_a_prompt_does_not_share_memory_with_the_prior():
    rows = torch.ones(3, 2)
    prompt = Prompt("soft", {"embed": rows})
    prompt.values["embed"].data.zero_()
    assert rows.eq(1).all()


def test_each_site_has_its_own_stream_and_may_have_its_own_prior():
    narrow = pp.fit_prior("isotropic", cloud())
    wide = pp.fit_prior("isotropic", cloud(), sigma=1.0)
    prompt = draw_prompt({"embed": narrow}, length=4)
    assert torch.equal(
        prompt.values["embed"], narrow.sample(4, generator=generator(0, "draw", "embed"))
    )
    assert not torch.equal(prompt.values["embed"], draw_prompt(wide, length=4).values["embed"])
    with pytest.raises(pp.InputError, match="site 'embed' has no prior"):
        draw_prompt({"block.1": narrow}, length=4)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"mode": "sotf"}, "unknown mode 'sotf'. Did you mean 'soft'?"),
        ({"length": 0}, "expected at least 1 (for the empty prompt take mode 'none')"),
        ({"sites": ["block.3"]}, "mode 'soft' takes the sites embed; found 'block.3'"),
    ],
)
def test_a_bad_prompt_is_refused(params, message):
    with pytest.raises(pp.InputError) as error:
        draw_prompt(pp.fit_prior("isotropic", cloud()), **params)
    assert message in str(error.value)


def test_the_loss_is_the_mean_over_target_tokens_not_over_examples(tiny):
    long = pp.Example("long", ("a:",), ("a long answer with many tokens",))
    short = pp.Example("short", ("b:",), ("x",))
    counts = [len(tiny.encode(f" {e.targets[0]}")) + 1 for e in (long, short)]
    single = [float(pp.loss(tiny, None, [e])) for e in (long, short)]
    expected = sum(n * loss for n, loss in zip(counts, single, strict=True)) / sum(counts)
    assert float(pp.loss(tiny, None, [long, short])) == pytest.approx(expected, rel=1e-5)


def test_a_loss_needs_examples(tiny):
    with pytest.raises(pp.InputError, match="at least one example"):
        pp.loss(tiny, None, [])


def test_a_prompt_of_a_texts_rows_equals_the_text_in_front_of_the_source(tiny):
    text = "Answer: "
    prior = pp.fit_prior("text", pp.vocabulary(tiny), text=text)
    prompt = draw_prompt(prior, length=len(text))
    example = EXAMPLES[4]
    longer = example._replace(source=(text, *example.source))
    torch.testing.assert_close(pp.loss(tiny, prompt, [example]), pp.loss(tiny, None, [longer]))


def test_a_first_token_stands_before_the_prompt_when_asked_for(tiny):
    prompt = drawn(tiny, "soft", bos=True)
    with pytest.raises(pp.InputError, match="has no first token"):
        pp.loss(tiny, prompt, EXAMPLES)
    tiny.tokenizer.bos_token = tiny.tokenizer.eos_token
    try:
        first = tiny.embed(torch.tensor([tiny.end]))
        longer = Prompt("soft", {"embed": torch.cat([first, prompt.values["embed"]])})
        torch.testing.assert_close(pp.loss(tiny, prompt, EXAMPLES), pp.loss(tiny, longer, EXAMPLES))
        answers = [generate(tiny, p, EXAMPLES[:4], max_new_tokens=4) for p in (prompt, longer)]
        assert answers[0] == answers[1]
    finally:
        tiny.tokenizer.bos_token = None


def test_an_answer_ends_before_the_stop_and_at_the_limit(tiny):
    whole = generate(tiny, None, EXAMPLES[:1], max_new_tokens=12)[0]
    letter = whole[3]
    assert generate(tiny, None, EXAMPLES[:1], max_new_tokens=12, stop=letter)[0] == (
        whole.split(letter)[0].strip()
    )
    short = generate(tiny, None, EXAMPLES[:1], max_new_tokens=3)[0]
    assert whole.startswith(short)


def test_an_answer_has_at_least_one_token(tiny):
    with pytest.raises(pp.InputError, match="greater than or equal to 1"):
        generate(tiny, None, EXAMPLES[:1], max_new_tokens=0)


def test_a_text_without_a_source_can_not_be_answered(tiny):
    with pytest.raises(pp.InputError, match="nothing to answer"):
        generate(tiny, None, EXAMPLES)
