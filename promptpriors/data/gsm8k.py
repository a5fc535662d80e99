"""GSM8K: school mathematics in words, answered by a number, with its derivation if wanted.

Cobbe et al. 2021, "Training Verifiers to Solve Math Word Problems" (arXiv 2110.14168).
"""

import re
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from promptpriors.data.files import Record, ask, locate, read_parts, records, text_of
from promptpriors.data.scoring import MARK, against, exact_number, final_number
from promptpriors.data.splits import Count, Positive, Unit, apportion
from promptpriors.errors import InputError
from promptpriors.types import Example, Task

HUB = "openai/gsm8k"
OTHERWISE = "Name a folder that holds gsm8k/train.jsonl by --data, or a JSONL file by task.path."
ANNOTATION = re.compile(r"<<[^<>]*>>")
"""What a calculator was asked and answered, such as ``<<48/2=24>>``."""


def build(
    *,
    path: str | None = None,
    reasoning: bool = False,
    annotations: bool = False,
    train: Positive | None = None,
    validation: Positive | None = None,
    test: Count | None = None,
    seed: int = 0,
    folder: Path | None = None,
) -> Task:
    r"""Questions with the final number as the answer; train and validation share no question.

    An answer is right when its number is: the one after the last ``####``, else its last one, with
    ``$``, thousands' commas and trailing zeros left aside. With reasoning the trained text is the
    derivation, a line feed, ``#### `` and the number, and answers do not end at a line feed.
    Test comes from the test file where there is one, else from further questions of the only file.

    Args:
        path: JSON lines with the fields ``question`` and ``answer``, or a folder with train*.jsonl
            and perhaps test*.jsonl. None: the folder ``gsm8k`` of the data folder, else the hub's
            ``openai/gsm8k``.
        reasoning: train on the derivation too.
        annotations: leave the calculator's annotations in it.
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
    where = locate(path, folder, name="gsm8k")
    found = read_parts(where, ("train*.jsonl", "test*.jsonl"), records, _from_hub)
    pool, *tests = [
        _units(part, rows, reasoning=reasoning, annotations=annotations)
        for part, rows in zip(("train", "test"), found, strict=False)
    ]
    sizes = {"train": train, "validation": validation, "test": test}
    given = {"test": tests[0]} if tests else None
    splits = apportion(pool, sizes, name="gsm8k", seed=seed, given=given)
    # with reasoning SmolLM2's tokens in 999 of 1,000 derivations, and more
    longest = 24 if not reasoning else 480 if annotations else 320
    stop = None if reasoning else "\n"
    return Task("gsm8k", 1, splits, partial(against, exact_number), longest, stop)


def _units(
    part: str, rows: Iterable[Record], *, reasoning: bool, annotations: bool
) -> Sequence[Unit]:
    """One unit for each question, whatever its white space."""
    questions: dict[str, list[Example]] = {}
    for row in rows:
        question, answer = text_of(row, "question"), text_of(row, "answer")
        derivation, mark, final = map(str.strip, answer.rpartition(MARK))
        if not mark or final_number(answer) is None:
            raise InputError(
                f"{row.place}: field 'answer' must end with '{MARK} ' and a number;"
                f" found {answer[-40:]!r}."
            )
        if not annotations:
            derivation = ANNOTATION.sub("", derivation)
        trained = f" {derivation}\n{MARK} {final}" if reasoning else None
        source = (f"Question: {question}\nAnswer:",)
        example = Example(f"{part}/{row.number}", source, (final,), trained)
        questions.setdefault(" ".join(question.split()), []).append(example)
    return [Unit(question, question, tuple(found)) for question, found in questions.items()]


def _from_hub() -> list[Iterable[Record]]:
    data = ask(HUB, lambda load: load(HUB, "main"), task="gsm8k", otherwise=OTHERWISE)
    return [
        [Record(k, f"{HUB}, {part} {k}", row) for k, row in enumerate(data[part], start=1)]
        for part in ("train", "test")
    ]
