"""The packed row: what is shared, who sees whom, and in which order examples travel."""

import copy
import dataclasses
from collections import Counter
from itertools import islice

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import normalizers

import promptpriors as pp
from promptpriors.packing import (
    Encoded,
    chain,
    chunks,
    encode,
    epochs,
    pack,
    pad,
    units,
    visible,
)
from promptpriors.packing.batches import groups
from promptpriors.packing.tokens import tokenise
from promptpriors.types import Markup
from tests.helpers import EXAMPLES

ids = st.lists(st.integers(0, 3), min_size=1, max_size=3).map(tuple)
examples = st.lists(
    st.builds(
        Encoded,
        id=st.just("x"),
        pieces=st.lists(ids, min_size=1, max_size=3).map(tuple),
        target=ids,
    ),
    min_size=1,
    max_size=6,
)


@given(examples)
def test_each_target_is_read_where_a_row_sees_exactly_its_own_text(encoded):
    row, box = pack(encoded), pad(encoded)
    mask = visible(row)
    assert torch.equal(row.targets, box.targets)
    assert torch.equal(row.owner, box.line)
    for place, owner, column in zip(row.read[row.slot], row.owner, box.read, strict=True):
        seen = mask[place]
        text = row.tokens[seen]
        assert torch.equal(text, box.tokens[owner, : column + 1])
        assert torch.equal(row.positions[seen], torch.arange(len(text)))


@given(examples)
def test_every_node_of_the_tree_is_computed_once(encoded):
    texts = [(*sum(e.pieces, ()), *e.target[:-1]) for e in encoded]
    starts = {text[: i + 1] for text in texts for i in range(len(text))}
    row = pack(encoded)
    assert len(row.tokens) == len(starts)
    assert all(parent < child for child, parent in enumerate(row.parents.tolist()))


def test_what_two_questions_have_in_common_from_their_start_is_computed_once():
    row = pack([Encoded("a", ((1, 2), (3, 4)), (9,)), Encoded("b", ((1, 2), (3, 5)), (9,))])
    assert row.tokens.tolist() == [1, 2, 3, 4, 5]
    assert row.segment.tolist() == [0, 0, 0, 1, 2]
    assert row.parents.tolist() == [-1, 0, 0]
    assert row.positions.tolist() == [0, 1, 2, 3, 3]


@given(examples, st.integers(1, 3))
def test_what_stands_in_front_is_seen_by_all_and_sees_none_of_them(encoded, before):
    row = pack(encoded)
    mask = visible(row, before=before)
    assert torch.equal(mask[before:, before:], visible(row))
    assert mask[before:, :before].all()
    assert torch.equal(mask[:before], torch.ones_like(mask[:before]).tril())


@given(examples)
def test_for_generation_a_row_holds_the_sources_and_where_each_ends(encoded):
    row = pack(encoded, answers=False)
    mask = visible(row)
    for end, example in zip(row.ends, encoded, strict=True):
        assert row.tokens[mask[end]].tolist() == [i for piece in example.pieces for i in piece]


def test_of_a_text_without_a_source_the_first_token_is_no_target():
    row = pack([Encoded("t", (), (5, 6, 7))])
    assert row.tokens.tolist() == [5, 6]
    assert row.targets.tolist() == [6, 7]
    assert row.read[row.slot].tolist() == [0, 1]


shared = [Encoded(str(i), ((i // 3,), (i,)), (9,)) for i in range(10)]


def test_examples_that_share_their_first_piece_travel_together():
    assert groups(shared) == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]
    for batch in islice(epochs(shared, 4, seed=0), 10):
        assert 4 <= len(batch) <= 6
        for unit in groups(shared):
            assert len(set(unit) & set(batch)) in {0, len(unit)}


def test_a_group_larger_than_a_batch_is_cut_and_an_instruction_is_no_context():
    assert groups(shared, largest=2) == [[0, 1], [2], [3, 4], [5], [6, 7], [8], [9]]
    told = [Encoded(str(i), ((7,), (i // 2,), (i,)), (9,)) for i in range(10)]
    assert groups(told) == [list(range(10))]
    assert groups(told, largest=2) == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]


def test_a_batch_may_be_filled_by_the_tokens_it_computes():
    for batch in islice(epochs(shared, 1, seed=0, tokens=7), 10):
        part = [shared[i] for i in batch]
        assert len(pack(part).tokens) >= 7
        first = [e for e in part if e.pieces[0] != part[-1].pieces[0]]
        assert not first or len(pack(first).tokens) < 7


@given(examples, st.integers(1, 9))
def test_units_hold_every_example_once_and_whole_groups(encoded, least):
    found = list(units(encoded, least))
    assert sorted(i for unit in found for i in unit) == list(range(len(encoded)))
    for unit in found[:-1]:
        assert len(pack([encoded[i] for i in unit]).tokens) >= min(least, 1)
    for group in groups(encoded):
        assert len({k for k, unit in enumerate(found) if set(unit) & set(group)}) == 1


@given(examples)
def test_the_chain_of_an_example_is_its_text(encoded):
    row = pack(encoded)
    for number, example in enumerate(encoded):
        text = [*sum(example.pieces, ()), *example.target[:-1]]
        assert row.tokens[chain(row, number)].tolist() == text


@pytest.mark.parametrize("grouping", ["shared", "none"])
def test_an_epoch_leaves_nobody_out_and_its_order_depends_on_the_seed(grouping):
    def flat(seed):
        batches = islice(epochs(shared, 4, seed=seed, grouping=grouping), 6)
        return [i for batch in batches for i in batch][:20]

    assert Counter(flat(0)) == Counter([*range(10), *range(10)])
    assert flat(0) == flat(0)
    assert flat(0) != flat(1)
    assert flat(0)[:10] != flat(0)[10:]


@pytest.mark.parametrize("skip", [0, 1, 2, 3, 7])
def test_skipping_batches_goes_on_where_they_would_have_ended(skip):
    whole = list(islice(epochs(shared, 4, seed=3), skip + 4))
    assert list(islice(epochs(shared, 4, seed=3, skip=skip), 4)) == whole[skip:]


@pytest.mark.parametrize("budget", [1, 5, 8, 1000])
def test_chunks_hold_every_example_once_and_stay_within_the_budget(budget):
    found = list(chunks(shared, budget))
    assert sorted(i for chunk in found for i in chunk) == list(range(10))
    for chunk in found:
        size = len(pack([shared[i] for i in chunk]).tokens)
        assert size <= budget or len(chunk) == 1


def test_pieces_are_tokenised_one_by_one_and_the_end_token_is_trained(tiny):
    example = pp.Example("a", ("ab", "", "c"), ("d",))
    (found,) = encode(tiny, [example])
    assert found.pieces == (tuple(tiny.encode("ab")), tuple(tiny.encode("c")))
    assert found.target == (*tiny.encode(" d"), tiny.end)
    (cut,) = encode(tiny, [example._replace(continuation="xy", ends=False)])
    assert cut.target == tuple(tiny.encode("xy"))


def test_an_example_longer_than_the_context_is_named_with_what_to_do(tiny):
    example = pp.Example("long one", ("a" * 2040,), ("b",))
    assert encode(tiny, [example], before=5)
    for more in ({"before": 20}, {"more": 32}):
        with pytest.raises(pp.InputError, match=r"'long one' needs 20.. positions") as error:
            encode(tiny, [example], **more)
        assert "Shorten" in str(error.value)


def test_a_target_without_tokens_is_refused(tiny):
    example = pp.Example("a", ("x",), ("",), continuation="", ends=False)
    with pytest.raises(pp.InputError, match="no tokens to predict"):
        encode(tiny, [example])


def test_a_tokenizer_that_puts_blanks_before_texts_puts_none_inside_them(tiny):
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    symbols = {s: i for i, s in enumerate(["▁", *map(chr, range(33, 127)), "\n", "<e>"])}
    words = Tokenizer(models.BPE(vocab=symbols, merges=[]))
    words.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(Regex(" "), "▁")]
    )
    words.pre_tokenizer = pre_tokenizers.Split(Regex("(?<=\n)"), "isolated")
    words.decoder = decoders.Replace("▁", " ")
    blank = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<e>")
    backbone = dataclasses.replace(tiny, tokenizer=blank)
    (found,) = encode(backbone, [pp.Example("1", ("Q\n", "A:"), ("4",))])
    ids = [i for piece in found.pieces for i in piece] + list(found.target)
    assert ids == [*backbone.encode("Q\nA: 4"), backbone.end]


def test_control_tokens_that_data_spell_are_text_but_in_pieces_that_are_markup(tiny):
    text = "a<|end|>b"
    plain = pp.Example("1", (text, text), (text,), continuation=text)
    marked = plain._replace(source=(Markup(text), text))
    (as_text, as_markup) = encode(tiny, [plain, marked])
    assert as_text.pieces == (tuple(tiny.encode(text)),) * 2
    assert as_text.target == (*tiny.encode(text), tiny.end)
    assert as_markup.pieces == (tuple(tiny.encode(text, control=True)), as_text.pieces[1])
    assert as_markup.target == as_text.target


def test_what_is_no_example_is_refused(tiny):
    for wrong in ("a text", ("1", ("q",), ("a",)), {"source": "q"}):
        with pytest.raises(pp.InputError, match=r"expected examples, promptpriors.Example; found"):
            list(tokenise(tiny, iter([wrong])))
    with pytest.raises(pp.InputError, match=r"found '1' among them"):
        list(tokenise(tiny, iter(EXAMPLES[1])))


@pytest.mark.parametrize(
    ("example", "what"),
    [
        (pp.Example("1", ("\u200b",), ("a",)), "source"),
        (pp.Example("1", ("q",), ("a",), continuation="\u200b\u200b"), "target"),
    ],
)
def test_a_text_of_which_the_tokenizer_leaves_nothing_is_named(tiny, example, what):
    deaf = copy.deepcopy(tiny.tokenizer)
    deaf.backend_tokenizer.normalizer = normalizers.Replace("\u200b", "")
    with pytest.raises(
        pp.InputError, match=rf"example '1': the tokenizer .* nothing of its {what}"
    ):
        encode(dataclasses.replace(tiny, tokenizer=deaf), [example])


def test_a_text_of_a_single_token_has_nothing_to_predict(tiny):
    example = pp.Example("a", (), ("x",), continuation="x", ends=False)
    with pytest.raises(pp.InputError, match="less than two tokens"):
        encode(tiny, [example])
