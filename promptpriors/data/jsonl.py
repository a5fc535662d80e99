"""The user's own questions and answers, from JSONL or CSV."""

import json
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from promptpriors.data.asking import Asking, as_given
from promptpriors.data.choices import (
    Fields,
    Labels,
    check_targets,
    own_choices,
    read_choices,
    same_choices,
)
from promptpriors.data.csv_files import csv_records
from promptpriors.data.files import Record, field_of, find, records, refuse_halves
from promptpriors.data.scoring import RULES, Rule, against, number
from promptpriors.data.splits import Count, Positive, Unit, apportion
from promptpriors.errors import InputError
from promptpriors.types import Example, Markup, Task

ASKING = Asking(as_given, "a text as the run's data has it")
NAMES = " Set task.source_field and task.targets_field to your names."


def build(
    *,
    path: str,
    validation_path: str | None = None,
    test_path: str | None = None,
    source_field: str = "source",
    targets_field: str = "targets",
    score: Rule = "exact",
    choices: Labels | None = None,
    choices_field: Fields | None = None,
    control_tokens: bool = False,
    train: Positive | None = None,
    validation: Positive | None = None,
    test: Count | None = None,
    max_new_tokens: Positive = 32,
    seed: int = 0,
    folder: Path | None = None,
) -> Task:
    """One example a line. Answers end at a line feed unless a target has one.

    Without a file of their own, validation and test are drawn from ``path``. Equal sources stay in
    one split, and a source of validation or test is left out of train. Both fields hold a string or
    a list of strings. With choices each is scored by its likelihood too, and every target is one.

    Args:
        path: JSON lines, or CSV with a header where the name ends in .csv.
        validation_path: the same for validation.
        test_path: the same for test.
        source_field: the field with the text before the answer; equal first ones are computed once.
        targets_field: the field with the accepted answers, of which the first is trained on.
        score: when an answer is right. ``exact``: it equals a target but for outer white space;
            ``squad``: SQuAD's rule, which also gives F1, forgives case, punctuation and articles;
            ``number``: it is a target's number, however that is written.
        choices: the answers that all examples offer.
        choices_field: the field with the list of answers that an example offers; or a list of
            fields (columns) with one each, of which blank ones are skipped.
        control_tokens: whether control tokens that a source spells out, such as ``<|im_end|>`` of
            a chat template, are read as these; else they are text.
        train: examples; None: all.
        validation: examples; None: 200, or a fifth of ``path`` where that is less, or 200 of a file
            of its own.
        test: examples; None: as for validation.
        max_new_tokens: how long a generated answer may become.
        seed: decides which examples are in a split.
        folder: the data folder, where the files are looked for too.

    Raises:
        InputError: when a file is missing, a line malformed, or there are too few.
    """
    if choices and choices_field:
        raise InputError("task 'jsonl': choices and choices_field are both set; leave out one")
    reader = _Reader(
        source_field,
        targets_field,
        numbers=score == "number",
        choices=tuple(choices or ()),
        choices_field=choices_field,
        markup=control_tokens,
    )
    paths = {"train": path, "validation": validation_path, "test": test_path}
    pools = {
        part: reader.units(part, find(name, folder))
        for part, name in paths.items()
        if name is not None
    }
    sizes = {"train": train, "validation": validation, "test": test}
    splits = apportion(pools.pop("train"), sizes, name="jsonl", seed=seed, given=pools)
    answers = (target for part in splits.values() for row in part for target in row.targets)
    stop = None if any("\n" in answer for answer in answers) else "\n"
    scored = partial(against, RULES[score])
    return Task("jsonl", 2, splits, scored, max_new_tokens, stop, reader.offered())


class _Reader:
    """Records to examples, and the choices that they offer by their ids."""

    def __init__(
        self,
        source_field: str,
        targets_field: str,
        *,
        numbers: bool,
        choices: tuple[str, ...],
        choices_field: str | Sequence[str] | None,
        markup: bool,
    ) -> None:
        self.source_field, self.targets_field = source_field, targets_field
        self.numbers, self.markup = numbers, markup
        self.choices, self.choices_field = choices, choices_field
        self.table: dict[str, tuple[str, ...]] = {}

    def units(self, part: str, file: Path) -> list[Unit]:
        """One unit for each source; ids are the file's part and the line."""
        sources: dict[tuple[str, ...], list[Example]] = {}
        for row in _records(file):
            example = self._example(f"{part}/{row.number}", row)
            sources.setdefault(example.source, []).append(example)
        return [Unit(key := "".join(source), key, tuple(e)) for source, e in sources.items()]

    def offered(self) -> partial[tuple[str, ...]] | None:
        """What a task's ``choices`` is."""
        if self.choices:
            return partial(same_choices, self.choices)
        return partial(own_choices, self.table) if self.choices_field else None

    def _example(self, identity: str, row: Record) -> Example:
        source = _texts(row, self.source_field)
        targets = tuple(target.strip() for target in _texts(row, self.targets_field))
        for target in targets if self.numbers else ():
            if number(target) is None:
                raise InputError(
                    f"{row.place}: the target {target!r:.60} is no number, which score = 'number' "
                    "needs. Set task.score = 'exact', or write digits alone."
                )
        choices = self.choices
        if self.choices_field:
            self.table[identity] = choices = read_choices(row, self.choices_field)
        if choices:
            check_targets(row, targets, choices)
        return Example(identity, tuple(map(Markup, source)) if self.markup else source, targets)


def first_source(path: str, source_field: str) -> tuple[str, ...]:
    """The source of the first example of a file.

    Raises:
        InputError: when the file is missing or empty, or its first line malformed.
    """
    file = find(path, None)
    for row in _records(file):
        return _texts(row, source_field)
    raise InputError(f"{file} holds no example")


def _records(file: Path) -> Iterable[Record]:
    return csv_records(file) if file.suffix.lower() == ".csv" else records(file)


def _texts(row: Record, field: str) -> tuple[str, ...]:
    """A field's text or texts, none of them blank."""
    value = field_of(row, field, NAMES)
    texts = value if isinstance(value, list) else [value]
    for text in texts:
        if isinstance(text, int | float):  # booleans too
            raise InputError(
                f"{row.place}: field {field!r} must be a text or a list of texts; found"
                f" {json.dumps(text):.40}. Write it in quotes."
            )
    if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise InputError(
            f"{row.place}: field {field!r} must be a text or a list of texts, none of them blank;"
            f" found {json.dumps(value):.60}."
        )
    for text in texts:
        refuse_halves(row, field, text)
    return tuple(texts)
