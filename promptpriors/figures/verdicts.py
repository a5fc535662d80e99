"""Verdicts as people see them: a sign and a tone each, so that none is told by colour alone."""

import re
from typing import NamedTuple


class Mark(NamedTuple):
    """A verdict's sign, and the tone that decides its colour."""

    sign: str
    tone: str


MARKS = (
    (r"none|no verdict", Mark("∅", "none")),
    (r"not testable", Mark("∅", "blank")),
    (r"undecided|unclear", Mark("?", "undecided")),
    (r"not equal|unequal|different|differs?", Mark("≠", "different")),
    (r"equal|equivalent|same", Mark("≈", "equal")),
    (r"better", Mark("▲", "yes")),
    (r"worse", Mark("▼", "no")),
    (r"no|not|fails?|failed|missed|refuted|too \w+", Mark("✕", "no")),
    (r"yes|pass(es|ed)?|detected|confirmed|holds?|held|as expected|found|enough|ok",
     Mark("✓", "yes")),
)  # fmt: skip
"""What a verdict may begin with; the first that fits counts."""


def mark(verdict: str) -> Mark:
    """The sign and tone of a verdict, by the words that it begins with.

    >>> mark("none: control failed"), mark("equal within the margin")
    (Mark(sign='∅', tone='none'), Mark(sign='≈', tone='equal'))
    >>> mark("nonetheless")
    Mark(sign='•', tone='other')
    """
    fits = (found for words, found in MARKS if re.match(rf"({words})\b", verdict.strip(), re.I))
    return next(fits, Mark("•", "other"))
