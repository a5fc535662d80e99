"""Signs and tones of verdicts, so that none is known by its colour alone."""

from collections.abc import Mapping
from typing import NamedTuple

from promptpriors.runs.study_results import Verdict


class Mark(NamedTuple):
    """Sign of a verdict, and the tone that decides its colour."""

    sign: str
    tone: str


MARKS: Mapping[str, Mark] = {
    "none": Mark("∅", "none"),
    "missing": Mark("∅", "none"),
    "not testable": Mark("∅", "blank"),
    "undecided": Mark("?", "undecided"),
    "different": Mark("≠", "different"),
    "lower": Mark("↓", "different"),
    "higher": Mark("↑", "different"),
    "equal": Mark("≈", "equal"),
    "no": Mark("✕", "no"),
    "failed": Mark("✕", "no"),
    "refuted": Mark("✕", "no"),
    "yes": Mark("✓", "yes"),
    "passed": Mark("✓", "yes"),
    "confirmed": Mark("✓", "yes"),
}
"""Mark of each state of a study's verdicts and of a claim's."""

WIDTH = 22
"""Characters of a verdict in a figure."""


def label(verdict: Verdict) -> str:
    """Label a verdict in a figure: its sign and text; of a long one the state alone.

    >>> label(Verdict(state="equal")), label(Verdict(state="none", reason="2 of 8 are missing"))
    ('≈ equal', '∅ none')
    """
    text = verdict.text if len(verdict.text) <= WIDTH else verdict.state
    return f"{MARKS[verdict.state].sign} {text}"
