r"""Scores of a generated answer against its references: pure functions, values in [0, 1].

- ``exact``: equal up to outer white space; case, punctuation and inner white space count.
- ``qa_scores``: exact match and token F1 of SQuAD's official evaluation (Rajpurkar et al. 2016,
  arXiv 1606.05250; version 2.0 of the script, Rajpurkar, Jia & Liang 2018, arXiv 1806.03822, both
  at https://rajpurkar.github.io/SQuAD-explorer/), written anew. It departs from them in one case,
  a text of which their normalisation leaves nothing: see ``normalise``.
- ``equal_number``: the answer as a whole is the number.

Rules for GSM8K are in ``gsm8k_rules``.
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Literal, NamedTuple

from promptpriors.types import Example

UNANSWERABLE = "unanswerable"
"""What a model should answer where the text holds no answer."""
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_NUMBER = re.compile(
    r"(?P<sign>[-−+]?)\$?(?P<size>(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]*)?|\.[0-9]+)"
    r"(?P<power>[eE][-+]?[0-9]{1,3})?"
)

Score = Callable[[str, Sequence[str]], dict[str, float]]
"""An answer and its references, at least one, to scores by name."""
Rule = Literal["exact", "squad", "number"]
"""The rules by which own data may be scored; rows of ``RULES``."""


def against(score: Score, answer: str, example: Example) -> dict[str, float]:
    """Scores of an answer to an example; ``partial(against, exact)`` is a task's ``score``."""
    return score(answer, example.targets)


def unscored(answer: str, example: Example) -> dict[str, float]:  # noqa: ARG001
    """No scores: only the loss counts."""
    return {}


def match(right: bool) -> dict[str, float]:
    """``exact_match``, and ``accuracy``, which is the same."""
    return {"exact_match": float(right), "accuracy": float(right)}


def exact(answer: str, references: Sequence[str]) -> dict[str, float]:
    r"""``exact_match`` and ``accuracy``: is the answer a reference, up to outer white space?

    >>> exact(" -3\n", ["-3"])
    {'exact_match': 1.0, 'accuracy': 1.0}
    """
    return match(answer.strip() in [reference.strip() for reference in references])


class Overlap(NamedTuple):
    """Shares of an answer's tokens that are right and of a reference's that are found."""

    f1: float
    precision: float
    recall: float


def normalise(text: str) -> str:
    """Lower case, without ASCII punctuation and English articles, words one space apart.

    A text that consists of articles keeps them, and one of punctuation keeps that: "A", "The" and
    ">" are three answers. To the official scripts they are one and the same, empty, text: as a
    prediction each then matches each, and version 2.0 drops them as references.

    >>> normalise("The  U.S. Army's band, a legend")
    'us armys band legend'
    >>> normalise("The."), normalise("--")
    ('the', '--')
    """
    words = " ".join(text.lower().translate(_PUNCTUATION).split())
    return without_articles(words) or words or " ".join(text.lower().split())


def without_articles(words: str) -> str:
    """Words in lower case, articles left out."""
    return " ".join(_ARTICLES.sub(" ", words).split())


def is_wordless(text: str) -> bool:
    """True of a text of which the official normalisation leaves nothing."""
    return not without_articles(text.lower().translate(_PUNCTUATION))


def overlap(answer: str, reference: str) -> Overlap:
    """F1, precision and recall of the answer's normalised tokens, as bags.

    All or nothing where either side has no token, or where the reference is ``unanswerable``: half
    an abstention is none.

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
    right = any(normalise(answer) == normalise(reference) for reference in references)
    best = max((overlap(answer, reference) for reference in references), key=lambda o: o.f1)
    return match(right) | best._asdict()


def number(text: str) -> Decimal | None:
    """The number that a text is as a whole, or None.

    It may have a sign, a dollar sign, commas between thousands, a fraction and a power of ten.

    >>> number(" -$1,080.50 "), number("1e3") == 1000, number("3 apples")
    (Decimal('-1080.50'), True, None)
    """
    found = _NUMBER.fullmatch(text.strip())
    if not found:
        return None
    size = Decimal(found["size"].replace(",", "") + (found["power"] or ""))
    return size.copy_negate() if found["sign"] in {"-", "−"} else size


def equal_number(answer: str, references: Sequence[str]) -> dict[str, float]:
    """``exact_match`` and ``accuracy``: is the answer, as a whole, a reference's number?

    >>> equal_number("1,080.0", ["1080"])
    {'exact_match': 1.0, 'accuracy': 1.0}
    """
    found = number(answer)
    return match(found is not None and found in map(number, references))


RULES: Mapping[Rule, Score] = {"exact": exact, "squad": qa_scores, "number": equal_number}
"""Ways to score own data, by the name that ``task.score`` takes."""
