"""Records of CSV files: a header, then a record a row."""

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from promptpriors.data.files import Record, read_text, refuse_repeated
from promptpriors.errors import InputError


def csv_records(file: Path) -> Iterator[Record]:
    """Rows of a CSV file under its header; blank lines are skipped, a field has any length.

    Raises:
        InputError: when the file can't be read, is not CSV, or a row is longer or shorter than the
            header; when the header names a column twice.
    """
    header = None
    for line, cells in _rows(file, read_text(file)):
        if header is None:
            header = [name.strip() for name in cells]
            refuse_repeated([name for name in header if name], f"{file}: the header has the column")
            if len(header) == 1 and any(mark in header[0] for mark in ";\t|"):
                raise InputError(
                    f"{file}: the header is one column, {header[0]!r:.60}. Separate columns by"
                    " commas."
                )
        elif len(cells) != len(header):
            raise InputError(
                f"{file}, line {line}: {_count(len(cells))} under a header of {len(header)}."
                ' Put a text with commas into "quotes".'
            )
        else:
            yield Record(line, f"{file}, line {line}", dict(zip(header, cells, strict=True)))


def _rows(file: Path, text: str) -> list[tuple[int, list[str]]]:
    """Rows that are not blank, with the line that each begins on."""
    rows, end = [], 0
    with _fields_of(len(text)):
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        try:
            for cells in reader:
                if cells:
                    rows.append((end + 1, cells))
                end = reader.line_num
        except csv.Error as error:
            raise InputError(f"{file}, line {end + 1}: not CSV: {error}.") from None
    return rows


@contextmanager
def _fields_of(characters: int) -> Iterator[None]:
    """Let fields be so long; the module's own limit, which all its readers share, comes back."""
    usual = csv.field_size_limit()
    csv.field_size_limit(max(usual, characters))
    try:
        yield
    finally:
        csv.field_size_limit(usual)


def _count(cells: int) -> str:
    return f"{cells} cell{'' if cells == 1 else 's'}"
