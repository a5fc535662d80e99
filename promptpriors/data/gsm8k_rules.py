r"""Rules by which an answer to a GSM8K question is right.

- ``official``: the benchmark's own script, ``dataset.py`` of
  https://github.com/openai/grade-school-math (Cobbe et al. 2021, arXiv 2110.14168): what follows
  the first ``#### ``, compared as text without commas. An answer without the mark is wrong.
- ``flexible``: ``flexible-extract`` of lm-evaluation-harness's task ``gsm8k``, version 3: the last
  thing that looks like a number, compared as text without commas, dollar signs and a full stop.
- ``number``: the first number after the first ``####``, else the last of all, compared as a number.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Literal

from promptpriors.data.scoring import Score, match

MARK = "####"
"""Stands before the final number of a derivation."""
_OFFICIAL = re.compile(r"#### (-?[0-9.,]+)")
_FLEXIBLE = re.compile(r"-?[$0-9.,]{2,}|-?[0-9]+")
_ENDS = re.compile(r"Question:|</s>|<\|im_end\|>")
"""Where lm-evaluation-harness ends an answer."""
_NUMBER = re.compile(
    r"(?P<sign>(?<![\w)])[-−](?=\$?[.0-9]))?\$?"
    r"(?P<size>(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?|\.[0-9]+)"
)

Rule = Literal["official", "flexible", "number"]
"""Rows of ``RULES``."""


def official(answer: str, references: Sequence[str]) -> dict[str, float]:
    r"""``exact_match`` and ``accuracy`` as the benchmark's script has them.

    References are what follows the mark.

    >>> official("#### 1,080\nQuestion: and then?\n#### 7", ["1080"])
    {'exact_match': 1.0, 'accuracy': 1.0}
    """
    found = official_answer(answer)
    wanted = [official_answer(f"{MARK} {reference}") for reference in references]
    return match(found is not None and found in wanted)


def official_answer(text: str) -> str | None:
    """What follows the first ``#### `` of a text, without commas; None where nothing does."""
    found = _OFFICIAL.search(text)
    return found[1].replace(",", "") if found else None


def flexible(answer: str, references: Sequence[str]) -> dict[str, float]:
    """``exact_match`` and ``accuracy`` as lm-evaluation-harness's ``flexible-extract`` has them.

    >>> flexible("It costs $1,080.", ["1080"])["exact_match"]
    1.0
    >>> flexible("72.00", ["72"])["exact_match"]
    0.0
    """
    found = _FLEXIBLE.findall(_ENDS.split(answer)[0])
    return match(bool(found) and _bare(found[-1]) in map(_bare, references))


def _bare(number: str) -> str:
    return number.replace(",", "").replace("$", "").removesuffix(".")


def final_number(text: str) -> Decimal | None:
    r"""The number that a text ends in: the first after the first ``####``, else the last of all.

    A dollar sign, commas between thousands, trailing zeros and what follows the number are left
    aside; a hyphen is a minus only where nothing stands right before it. None: there is no number
    there.

    >>> final_number("48 + 24 = 72, so\n#### $1,072.00 in 3 days")
    Decimal('1072.00')
    >>> final_number("16-3 is 13.") == 13
    True
    """
    before, mark, after = text.partition(MARK)
    found = list(_NUMBER.finditer(after if mark else before))
    if not found:
        return None
    number = found[0 if mark else -1]
    size = Decimal(number["size"].replace(",", ""))
    return size.copy_negate() if number["sign"] else size  # a minus would round to 28 digits


def same_number(answer: str, references: Sequence[str]) -> dict[str, float]:
    """``exact_match`` and ``accuracy``: is the answer's final number that of a reference?

    >>> same_number("It is $1,080.", ["1080"])
    {'exact_match': 1.0, 'accuracy': 1.0}
    """
    found = final_number(answer)
    return match(found is not None and found in map(final_number, references))


RULES: Mapping[Rule, Score] = {"official": official, "flexible": flexible, "number": same_number}
"""By the name that ``task.rule`` takes."""
FINDS: Mapping[Rule, Callable[[str], object | None]] = {
    "official": official_answer,
    "flexible": final_number,
    "number": final_number,
}
"""What each rule finds in an answer that ends in a marked number; None: nothing."""
