"""GSM8K: school mathematics in words, answered by a number, with its derivation if wanted.

Cobbe et al. 2021, "Training Verifiers to Solve Math Word Problems" (arXiv 2110.14168).
"""

import re
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from promptpriors.data.asking import Asking, ask_alone, question
from promptpriors.data.files import Record, ask, locate, read_parts, records, text_of
from promptpriors.data.gsm8k_rules import FINDS, MARK, RULES, Rule
from promptpriors.data.scoring import against
from promptpriors.data.splits import Count, Positive, Unit, apportion
from promptpriors.errors import InputError
from promptpriors.types import Example, Task

HUB = "openai/gsm8k"
OTHERWISE = "Name a folder that holds gsm8k/train.jsonl by --data, or a JSONL file by task.path."
ASKING = Asking(ask_alone, question("Tom has 3 boxes of 4 apples. How many apples has he?"))
ANNOTATION = re.compile(r"<<[^<>]*>>")
"""What a calculator was asked and answered, such as ``<<48/2=24>>``."""


def build(
    *,
    path: str | None = None,
    reasoning: bool = False,
    annotations: bool = False,
    rule: Rule | None = None,
    train: Positive | None = None,
    validation: Positive | None = None,
    test: Count | None = None,
    seed: int = 0,
    folder: Path | None = None,
) -> Task:
    r"""Questions with the final number as the answer; train and validation share no question.

    With reasoning the trained text is the derivation, a line feed, ``#### `` and the number, and
    answers do not end at a line feed; they are scored as the benchmark's own script does. Without
    it an answer has no mark, for which that script knows no number.
    Test comes from the test file where there is one, else from further questions of the only file.

    Args:
        path: JSON lines with the fields ``question`` and ``answer``, or a folder with train*.jsonl
            and perhaps test*.jsonl. None: the folder ``gsm8k`` of the data folder, else the hub's
            ``openai/gsm8k``.
        reasoning: train on the derivation too.
        annotations: leave the calculator's annotations in it.
        rule: when an answer is right. ``official``: what follows its first ``#### `` is the
            number, as text without commas; ``flexible``: its last number is, as in
            lm-evaluation-harness; ``number``: the first number after its first ``####``, else its
            last one, equals it, with ``$``, commas and trailing zeros left aside. None: official
            with reasoning, number without.
        train: questions; None: all.
        validation: questions; None: 200, or a fifth of the train file's where that is less.
        test: questions; None: as many as for validation, or 200 of a test file.
        seed: decides which questions are in a split.
        folder: the data folder.

    Raises:
        InputError: when files are missing, malformed or too small, or the hub is out of reach.
    """
    if annotations and not reasoning:
        raise InputError(
            "task 'gsm8k': annotations = true, but they stand in the derivation. Set reasoning ="
            " true too."
        )
    rule = rule or ("official" if reasoning else "number")
    if rule == "official" and not reasoning:
        raise InputError(
            "task 'gsm8k': rule = 'official' looks for the mark '####', which only derivations"
            " have. Set reasoning = true, or rule = 'number'."
        )
    where = locate(path, folder, name="gsm8k")
    found = read_parts(where, ("train*.jsonl", "test*.jsonl"), records, _from_hub)
    pool, *tests = [
        _units(part, rows, rule, reasoning=reasoning, annotations=annotations)
        for part, rows in zip(("train", "test"), found, strict=False)
    ]
    sizes = {"train": train, "validation": validation, "test": test}
    given = {"test": tests[0]} if tests else None
    splits = apportion(pool, sizes, name="gsm8k", seed=seed, given=given)
    # with reasoning SmolLM2's tokens in 999 of 1,000 derivations, and more
    longest = 24 if not reasoning else 480 if annotations else 320
    stop = None if reasoning else "\n"
    return Task("gsm8k", 2, splits, partial(against, RULES[rule]), longest, stop)


def _units(
    part: str, rows: Iterable[Record], rule: Rule, *, reasoning: bool, annotations: bool
) -> Sequence[Unit]:
    """One unit for each question, whatever its white space."""
    questions: dict[str, list[Example]] = {}
    for row in rows:
        asked, answer = text_of(row, "question"), text_of(row, "answer")
        derivation, mark, final = map(str.strip, answer.partition(MARK))
        if not mark or MARK in final or FINDS[rule](f"{MARK} {final}") is None:
            raise InputError(
                f"{row.place}: field 'answer' must end with '{MARK} ' and a number, once;"
                f" found {answer[-40:]!r}."
            )
        if not annotations:
            derivation = ANNOTATION.sub("", derivation)
        trained = f" {derivation}\n{MARK} {final}" if reasoning else None
        example = Example(f"{part}/{row.number}", (question(asked),), (final,), trained)
        questions.setdefault(" ".join(asked.split()), []).append(example)
    return [Unit(asked, asked, tuple(found)) for asked, found in questions.items()]


def _from_hub() -> list[Iterable[Record]]:
    data = ask(HUB, lambda load: load(HUB, "main"), task="gsm8k", otherwise=OTHERWISE)
    return [
        [Record(k, f"{HUB}, {part} {k}", row) for k, row in enumerate(data[part], start=1)]
        for part in ("train", "test")
    ]
