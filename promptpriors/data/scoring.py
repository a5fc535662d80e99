"""Scores of a generated answer against its references: pure functions on strings, values in [0, 1].

The definitions are those of SQuAD's official evaluation, version 2.0 (Rajpurkar, Jia & Liang 2018,
arXiv 1806.03822; script at https://rajpurkar.github.io/SQuAD-explorer/), written anew.
"""

import re
import string
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

UNANSWERABLE = "unanswerable"
"""What a model should answer where the text holds no answer."""

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")


class Overlap(NamedTuple):
    """How many tokens of an answer are right, and how many of a reference are found."""

    f1: float
    precision: float
    recall: float


def normalise(text: str) -> str:
    """Lower case, without ASCII punctuation and English articles, words one space apart.

    >>> normalise("The  U.S. Army's band, a legend")
    'us armys band legend'
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def overlap(answer: str, reference: str) -> Overlap:
    """F1, precision and recall of the answer's normalised tokens, as bags.

    All or nothing where either side has no token left, or where the reference is ``unanswerable``:
    half an abstention is none.

    >>> overlap("the big red dog", "red dog").precision
    0.6666666666666666
    """
    found, wanted = normalise(answer).split(), normalise(reference).split()
    if not found or not wanted or wanted == [UNANSWERABLE]:
        return Overlap(*[float(found == wanted)] * 3)
    shared = (Counter(found) & Counter(wanted)).total()
    if shared == 0:
        return Overlap(0.0, 0.0, 0.0)
    precision, recall = shared / len(found), shared / len(wanted)
    return Overlap(2 * shared / (len(found) + len(wanted)), precision, recall)


def qa_scores(answer: str, references: Sequence[str]) -> dict[str, float]:
    """Exact match and token overlap with the best of the references.

    Args:
        answer: the generated text.
        references: every accepted answer, at least one.

    Returns:
        ``exact_match`` after normalisation; ``f1``, and ``precision`` and ``recall`` of the first
        reference with that F1; ``accuracy``, which is the exact match.
    """
    match = float(any(normalise(answer) == normalise(reference) for reference in references))
    best = max((overlap(answer, reference) for reference in references), key=lambda o: o.f1)
    return {"exact_match": match, "accuracy": match, **best._asdict()}


def exact(answer: str, references: Sequence[str]) -> dict[str, float]:
    r"""``exact_match`` and ``accuracy``: is the answer a reference, up to surrounding white space?

    >>> exact(" -3\n", ["-3"])
    {'exact_match': 1.0, 'accuracy': 1.0}
    """
    match = float(answer.strip() in [reference.strip() for reference in references])
    return {"exact_match": match, "accuracy": match}
