"""Scores against SQuAD's definitions, by example and by law."""

import re
import string
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptpriors.data.scoring import (
    UNANSWERABLE,
    equal_number,
    exact,
    is_wordless,
    normalise,
    number,
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


@pytest.mark.parametrize("reference", ["A", "The", "an", "…", "...", ">", "a.", "the a"])
def test_a_reference_of_articles_or_punctuation_is_right_as_it_is_written_and_not_otherwise(
    reference,
):
    assert set(qa_scores(reference, [reference]).values()) == {1.0}
    for wrong in ("", "?", "An apple" if reference == "an" else "those", "<", "dog"):
        assert set(qa_scores(wrong, [reference]).values()) == {0.0}


def test_letters_are_told_apart_alike_whether_they_are_articles_or_not():
    for answer, right in (("a", 1.0), ("A.", 1.0), ("(A)", 1.0), ("The", 0.0), ("", 0.0)):
        assert qa_scores(answer, ["A"])["exact_match"] == right
        assert qa_scores(answer.replace("A", "B").replace("a", "b"), ["B"])["exact_match"] == right
    assert qa_scores("the", ["dog"])["f1"] == 0.0
    assert qa_scores("", ["the", "dog"])["f1"] == 0.0


def official(answer, references):
    """Exact match and F1 by the published script of version 1.1, with the names it has there."""

    def f1_score(prediction, ground_truth):
        prediction_tokens = without(prediction).split()
        ground_truth_tokens = without(ground_truth).split()
        num_same = sum((Counter(prediction_tokens) & Counter(ground_truth_tokens)).values())
        if num_same == 0:
            return 0
        precision = num_same / len(prediction_tokens)
        recall = num_same / len(ground_truth_tokens)
        return 2 * precision * recall / (precision + recall)

    def without(text):
        bare = "".join(c for c in text.lower() if c not in set(string.punctuation))
        return " ".join(re.sub(r"\b(a|an|the)\b", " ", bare).split())

    match = any(without(answer) == without(reference) for reference in references)
    return float(match), max(f1_score(answer, reference) for reference in references)


@given(answers, st.lists(answers.filter(lambda t: not is_wordless(t)), min_size=1, max_size=3))
def test_scores_are_the_official_ones_wherever_a_reference_has_a_word(answer, references):
    found = qa_scores(answer, references)
    match, f1 = official(answer, references)
    assert found["exact_match"] == match
    assert found["f1"] == pytest.approx(f1)


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
    ("answer", "target"),
    [
        ("-3", "3"),
        ("1.5", "15"),
        ("C++", "C"),
        ("12:30", "1230"),
        ("", ">"),
        ("The", "A"),
        ("a", "A"),
        ("two  words", "two words"),
        ("1,000", "1000"),
    ],
)
def test_exact_tells_apart_what_other_rules_take_for_one(answer, target):
    assert exact(answer, [target])["exact_match"] == 0.0
    assert exact(f" {target}\n", [target])["exact_match"] == 1.0


@pytest.mark.parametrize(
    ("answer", "target", "right"),
    [
        ("1,000.0", "1000", True),
        ("$5", "5.00", True),
        (" −3\n", "-3", True),
        ("+3", "3", True),
        ("1e3", "1000", True),
        (".5", "0.5", True),
        ("3", "-3", False),
        ("1.5", "15", False),
        ("12:30", "1230", False),
        ("12:30", "30", False),
        ("3 apples", "3", False),
        ("1,00", "100", False),
        ("0.1000000000000000000000000000001", "0.1", False),
        ("", "0", False),
        ("nan", "nan", False),
    ],
)
def test_numbers_are_compared_as_numbers_and_as_a_whole(answer, target, right):
    assert equal_number(answer, ["77", target])["exact_match"] == right


@given(st.decimals(allow_nan=False, allow_infinity=False, places=3))
def test_a_number_is_read_back_however_it_is_written(value):
    assert number(f"{value:f}") == number(f"{value:,f}") == number(f" {value:f}00 ") == value
