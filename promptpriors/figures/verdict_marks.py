"""Verdicts as people see them: a sign and a tone each, so that none is told by colour alone."""

import re
from typing import NamedTuple

from promptpriors.figures.strings import clipped


class Mark(NamedTuple):
    """A verdict's sign, and the tone that decides its colour."""

    sign: str
    tone: str


MARKS = (
    (r"none|no verdict|missing", Mark("∅", "none")),
    (r"not testable", Mark("∅", "blank")),
    (r"undecided|unclear", Mark("?", "undecided")),
    (r"not equal|unequal|different|differs?", Mark("≠", "different")),
    (r"lower", Mark("↓", "different")),
    (r"higher", Mark("↑", "different")),
    (r"equal|equivalent|same", Mark("≈", "equal")),
    (r"better", Mark("▲", "yes")),
    (r"worse", Mark("▼", "no")),
    (r"no|not|fails?|failed|missed|refuted|too \w+", Mark("✕", "no")),
    (r"yes|pass(es|ed)?|detected|confirmed|holds?|held|as expected|found|enough|ok",
     Mark("✓", "yes")),
)  # fmt: skip
"""What a verdict may begin with; the first that fits counts."""


MOST = 22
"""Characters of a verdict in a figure."""


def parted(verdict: str) -> tuple[str, str]:
    """A verdict's word, and what is said besides: after a colon or in brackets.

    >>> parted("none: control failed"), parted("missing (no run)"), parted("equal")
    (('none', 'control failed'), ('missing', 'no run'), ('equal', ''))
    """
    found = re.fullmatch(r"(.+?)(?:: *(?P<after>.*)| +\((?P<inside>.*)\))", verdict, re.S)
    return (found[1], found["after"] or found["inside"] or "") if found else (verdict, "")


def brief(verdict: str) -> str:
    """The verdict with its sign as a figure's label; of a long one the word alone.

    >>> brief("equal"), brief("none: 2 of 8 runs are missing")
    ('≈ equal', '∅ none')
    """
    said = verdict if len(verdict) <= MOST else clipped(parted(verdict)[0], MOST)
    return f"{mark(verdict).sign} {said}" if verdict else ""


def mark(verdict: str) -> Mark:
    """The sign and tone of a verdict, by the words that it begins with.

    >>> mark("none: control failed"), mark("equal within the margin")
    (Mark(sign='∅', tone='none'), Mark(sign='≈', tone='equal'))
    >>> mark("nonetheless")
    Mark(sign='•', tone='other')
    """
    fits = (found for words, found in MARKS if re.match(rf"({words})\b", verdict.strip(), re.I))
    return next(fits, Mark("•", "other"))
