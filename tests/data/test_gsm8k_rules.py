"""The rules of GSM8K against the published scripts, by example."""

import re
from decimal import Decimal
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptpriors.data.gsm8k_rules import RULES, final_number, same_number

ANSWERS = [
    "72", "It is 72.", "72.00", "$72", "$72.00", "1,072", "#### 72", "So\n#### 72 in all",
    "#### 72\nQuestion: next\n#### 7", "#### 7\n#### 72", "####72", "#### $72", "#### seven",
    "72\n\nQuestion: and 8?\nAnswer: 7", "70 + 2 = 72 apples", "-72", "7.2", "72%", "", "none",
    "... 72", "#### 72.", "#### 1,072", "72</s>7", "72<|im_end|>7", "$ 72", "7,2",
]  # fmt: skip
"""Answers in which the rules differ."""


def official(answer, final):
    """The benchmark's script, with the names it has there."""

    def extract_answer(completion):
        match = re.compile(r"#### (\-?[0-9\.\,]+)").search(completion)
        return match.group(1).strip().replace(",", "") if match else "[invalid]"

    return extract_answer(answer) == extract_answer(f"Because.\n#### {final}")


def flexible(answer, final):
    """lm-evaluation-harness's task of version 3: where it stops, filter and metric."""
    for until in ("Question:", "</s>", "<|im_end|>"):
        answer = answer.split(until)[0]
    found = re.compile(r"(-?[$0-9.,]{2,})|(-?[0-9]+)").findall(answer)
    texts = [next(filter(None, found[-1])).strip() if found else "[invalid]", f"...\n#### {final}"]
    for ignored in (",", "\\$", "(?s).*#### ", "\\.$"):
        texts = [re.sub(ignored, "", text) for text in texts]
    return texts[0].lower() == texts[1].lower()


@pytest.mark.parametrize(("rule", "script"), [("official", official), ("flexible", flexible)])
def test_a_rule_gives_what_its_script_gives(rule, script):
    for answer, final in product(ANSWERS, ("72", "1,072", "7")):
        assert RULES[rule](answer, [final])["exact_match"] == script(answer, final), answer


@given(st.text("#0123456789 .,$-\n", max_size=20), st.integers(0, 99))
def test_a_rule_gives_what_its_script_gives_on_any_text(answer, final):
    for rule, script in (("official", official), ("flexible", flexible)):
        assert RULES[rule](answer, [str(final)])["exact_match"] == script(answer, str(final))


def test_the_first_mark_counts_whatever_follows():
    for answer in ("#### 18\nQuestion: …\n#### 7", "#### 18 #### 7", "a #### 18\n\n7"):
        for rule in ("official", "number"):
            assert RULES[rule](answer, ["18"])["accuracy"] == 1.0
            assert RULES[rule](answer, ["7"])["accuracy"] == 0.0


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
        ("#### 4\n#### 5", "4"),
    ],
)
def test_the_final_number_is_read_as_people_write_it(text, number):
    assert final_number(text) == Decimal(number)
    assert same_number(text, ["1000000", number])["exact_match"] == 1.0


@pytest.mark.parametrize("text", ["", "none", "5\n####", "5 #### five"])
def test_a_text_without_a_final_number_matches_nothing(text):
    assert final_number(text) is None
    assert same_number(text, [text, "5"]) == {"exact_match": 0.0, "accuracy": 0.0}


@given(st.integers(), st.text("aThe -$#,. \n", max_size=12).filter(lambda t: "####" not in t))
def test_a_number_is_found_with_commas_and_after_any_words(number, words):
    for written in (f"{number}", f"{number:,}", f"{number}.0"):
        assert final_number(f"{words} {written}") == number
