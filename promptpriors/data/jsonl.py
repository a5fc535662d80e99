"""The user's own questions and answers, from JSONL or CSV."""

import csv
import io
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from promptpriors.data.files import Record, find, read_text, records
from promptpriors.data.scoring import against, qa_scores
from promptpriors.data.splits import Count, Positive, Unit, apportion
from promptpriors.errors import InputError, suggest
from promptpriors.types import Example, Task


def build(
    *,
    path: str,
    validation_path: str | None = None,
    test_path: str | None = None,
    source_field: str = "source",
    targets_field: str = "targets",
    train: Positive | None = None,
    validation: Positive | None = None,
    test: Count | None = None,
    max_new_tokens: Positive = 32,
    seed: int = 0,
    folder: Path | None = None,
) -> Task:
    """One example a line, scored like SQuAD. Answers end at a line feed unless a target has one.

    Without a file of their own, validation and test are drawn from ``path``. Equal sources stay in
    one split, and a source of validation or test is left out of train. Both fields hold a string or
    a list of strings.

    Args:
        path: JSON lines, or CSV with a header where the name ends in .csv.
        validation_path: the same for validation.
        test_path: the same for test.
        source_field: the field with the text before the answer; equal first ones are computed once.
        targets_field: the field with the accepted answers, of which the first is trained on.
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
    paths = {"train": path, "validation": validation_path, "test": test_path}
    pools = {
        part: _units(part, find(name, folder), source_field, targets_field)
        for part, name in paths.items()
        if name is not None
    }
    sizes = {"train": train, "validation": validation, "test": test}
    splits = apportion(pools.pop("train"), sizes, name="jsonl", seed=seed, given=pools)
    answers = (target for part in splits.values() for row in part for target in row.targets)
    stop = None if any("\n" in answer for answer in answers) else "\n"
    return Task("jsonl", 1, splits, partial(against, qa_scores), max_new_tokens, stop)


def _units(part: str, file: Path, source_field: str, targets_field: str) -> list[Unit]:
    """One unit for each source; ids are the file's part and the line."""
    sources: dict[tuple[str, ...], list[Example]] = {}
    for row in _csv_records(file) if file.suffix.lower() == ".csv" else records(file):
        source = _texts(row, source_field)
        targets = tuple(target.strip() for target in _texts(row, targets_field))
        sources.setdefault(source, []).append(Example(f"{part}/{row.number}", source, targets))
    return [Unit(key := "".join(source), key, tuple(found)) for source, found in sources.items()]


def _texts(row: Record, field: str) -> tuple[str, ...]:
    """A field's text or texts, none of them blank."""
    if field not in row.values:
        known = ", ".join(row.values) or "none"
        raise InputError(
            f"{row.place}: no field {field!r}.{suggest(field, row.values)} It has: {known}."
            " Set task.source_field and task.targets_field to your names."
        )
    value = row.values[field]
    texts = value if isinstance(value, list) else [value]
    if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise InputError(
            f"{row.place}: field {field!r} must be a text or a list of texts, none of them blank;"
            f" found {json.dumps(value):.60}."
        )
    return tuple(texts)


def _csv_records(file: Path) -> Iterator[Record]:
    reader = csv.reader(io.StringIO(read_text(file), newline=""), strict=True)
    header, end = None, 0
    try:
        for cells in reader:
            line, end = end + 1, reader.line_num
            if header is None:
                header = cells
            elif cells and len(cells) != len(header):
                raise InputError(
                    f"{file}, line {line}: {len(cells)} cells under a header of {len(header)}."
                    ' Put a text with commas into "quotes".'
                )
            elif cells:
                yield Record(line, f"{file}, line {line}", dict(zip(header, cells, strict=True)))
    except csv.Error as error:
        raise InputError(f"{file}, line {reader.line_num}: not CSV: {error}.") from None
