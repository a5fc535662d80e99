"""Scores of a generated answer against its references: pure functions on strings, values in [0, 1].

The definitions are those of SQuAD's official evaluation, version 2.0 (Rajpurkar, Jia & Liang 2018,
arXiv 1806.03822; script at https://rajpurkar.github.io/SQuAD-explorer/), written anew; the final
number is GSM8K's (Cobbe et al. 2021, arXiv 2110.14168), found where the mark ``####`` is missing
too.
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import NamedTuple

from promptpriors.types import Example

UNANSWERABLE = "unanswerable"
"""What a model should answer where the text holds no answer."""
MARK = "####"
"""Stands before the final number of a derivation."""
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_NUMBER = re.compile(
    r"(?P<sign>(?<![\w)])[-−](?=\$?[.0-9]))?\$?"
    r"(?P<size>(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?|\.[0-9]+)"
)


def against(
    score: Callable[[str, Sequence[str]], dict[str, float]], answer: str, example: Example
) -> dict[str, float]:
    """Scores of an answer to an example; ``partial(against, exact)`` is a task's ``score``."""
    return score(answer, example.targets)


def unscored(answer: str, example: Example) -> dict[str, float]:  # noqa: ARG001
    """No scores: only the loss counts."""
    return {}


class Overlap(NamedTuple):
    """Shares of an answer's tokens that are right and of a reference's that are found."""

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
    """Exact match and token overlap with the best of the references, at least one.

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


def final_number(text: str) -> Decimal | None:
    r"""The number that a text ends in: the first after the last ``####``, else the last of all.

    A dollar sign, commas between thousands, trailing zeros and what follows the number are left
    aside; a hyphen is a minus only where nothing stands right before it. None: there is no number
    there.

    >>> final_number("48 + 24 = 72, so\n#### $1,072.00 in 3 days")
    Decimal('1072.00')
    >>> final_number("16-3 is 13.") == 13
    True
    """
    _, mark, after = text.rpartition(MARK)
    found = list(_NUMBER.finditer(after))
    if not found:
        return None
    number = found[0 if mark else -1]
    size = Decimal(number["size"].replace(",", ""))
    return size.copy_negate() if number["sign"] else size  # a minus would round to 28 digits


def exact_number(answer: str, references: Sequence[str]) -> dict[str, float]:
    """``exact_match`` and ``accuracy``: is the answer's final number that of a reference?

    >>> exact_number("It is $1,080.", ["1080"])
    {'exact_match': 1.0, 'accuracy': 1.0}
    """
    number = final_number(answer)
    match = float(number is not None and number in map(final_number, references))
    return {"exact_match": match, "accuracy": match}
