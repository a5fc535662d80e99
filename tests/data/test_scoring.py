"""Scores against SQuAD's definitions, by example and by law."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptpriors.data.scoring import (
    UNANSWERABLE,
    exact,
    exact_number,
    final_number,
    normalise,
    overlap,
    qa_scores,
)

words = st.lists(st.sampled_from(["red", "dog", "The", "a", "U.S.", "42", "-", ""]), max_size=6)
answers = st.one_of(words.map(" ".join), st.text(max_size=12))


def test_normalisation_drops_case_punctuation_articles_and_white_space():
    assert normalise("  The U.S. Army's\tband, a “legend”\n") == "us armys band “legend”"


def test_articles_are_dropped_as_words_only():
    assert normalise("an anthem of the theatre") == "anthem of theatre"


@pytest.mark.slow
@given(answers)
def test_normalising_twice_changes_nothing(text):
    assert normalise(normalise(text)) == normalise(text)


def test_overlap_counts_repeated_tokens_once_each():
    scores = overlap("red red dog", "red dog dog big")
    assert scores.precision == 2 / 3
    assert scores.recall == 2 / 4
    assert scores.f1 == pytest.approx(4 / 7)


def test_precision_and_recall_belong_to_the_reference_with_the_best_f1():
    scores = qa_scores("red dog", ["red", "big red dog house", "red dog now"])
    assert scores == {
        "exact_match": 0.0,
        "accuracy": 0.0,
        "f1": 0.8,
        "precision": 1.0,
        "recall": 2 / 3,
    }


def test_an_abstention_is_right_only_where_it_is_wanted_and_only_as_a_whole():
    assert set(qa_scores("Unanswerable.", [UNANSWERABLE]).values()) == {1.0}
    assert set(qa_scores("it is unanswerable", [UNANSWERABLE]).values()) == {0.0}
    assert set(qa_scores("unanswerable", ["red dog"]).values()) == {0.0}
    assert set(qa_scores("", [UNANSWERABLE]).values()) == {0.0}


def test_an_answer_without_tokens_matches_only_a_reference_without_tokens():
    assert qa_scores("the", ["a"])["f1"] == 1.0
    assert qa_scores("the", ["dog"])["f1"] == 0.0


@given(answers, st.lists(answers, min_size=1, max_size=3))
def test_scores_lie_in_the_unit_interval_and_agree(answer, references):
    scores = qa_scores(answer, references)
    assert all(0 <= value <= 1 for value in scores.values())
    assert scores["accuracy"] == scores["exact_match"] <= scores["f1"]
    total = scores["precision"] + scores["recall"]
    assert scores["f1"] * total == pytest.approx(2 * scores["precision"] * scores["recall"])


@given(answers, answers.filter(lambda text: UNANSWERABLE not in normalise(text)))
def test_swapping_answer_and_reference_swaps_precision_and_recall(answer, reference):
    there, back = overlap(answer, reference), overlap(reference, answer)
    assert (there.f1, there.precision, there.recall) == (back.f1, back.recall, back.precision)


@given(answers, st.lists(answers, min_size=1, max_size=3), answers)
def test_a_further_reference_never_lowers_a_score(answer, references, another):
    few, many = qa_scores(answer, references), qa_scores(answer, [*references, another])
    assert few["f1"] <= many["f1"]
    assert few["exact_match"] <= many["exact_match"]


@given(answers, st.lists(answers, max_size=3))
def test_every_reference_is_a_perfect_answer(answer, references):
    assert set(qa_scores(answer, [*references, answer]).values()) == {1.0}


def test_exact_forgives_surrounding_white_space_and_nothing_else():
    assert exact(" -3.5\n", ["-3.5 "]) == {"exact_match": 1.0, "accuracy": 1.0}
    for wrong in ("3.5", "-3.50", "-3.5.", ""):
        assert exact(wrong, ["-3.5"]) == {"exact_match": 0.0, "accuracy": 0.0}


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("72", "72"),
        ("It costs $1,450,000.00.", "1450000"),
        ("-10", "-10"),
        ("$-5", "-5"),
        ("-$5", "-5"),
        ("16-3", "3"),
        ("(2)-3", "3"),
        ("1, 2,3", "3"),
        ("1,2345", "2345"),
        (".5", "0.5"),
        ("v2 is 50% off", "50"),
        ("4\n#### 5 of 6", "5"),
        ("#### 4\n#### 5", "5"),
    ],
)
def test_the_final_number_is_read_as_people_write_it(text, number):
    assert final_number(text) == Decimal(number)
    assert exact_number(text, ["1000000", number])["exact_match"] == 1.0


@pytest.mark.parametrize("text", ["", "none", "5\n####", "5 #### five"])
def test_a_text_without_a_final_number_matches_nothing(text):
    assert final_number(text) is None
    assert exact_number(text, [text, "5"]) == {"exact_match": 0.0, "accuracy": 0.0}


@given(st.integers(), answers.filter(lambda text: not any(c.isdigit() for c in text)))
def test_a_number_is_found_with_commas_and_after_any_words(number, words):
    for written in (f"{number}", f"{number:,}", f"{number}.0"):
        assert final_number(f"{words} {written}") == number
