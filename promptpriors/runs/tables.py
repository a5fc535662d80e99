"""Tables: computed once, shown as text, JSON and CSV."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from promptpriors.files import finite, write_bytes, write_json

Cell = str | float | int | bool | None


class Table(NamedTuple):
    """A table and what must be known to read it.

    Attributes:
        name: of its file.
        title: what a reader sees.
        note: what its numbers are, and what they do not say.
        columns: the headings.
        rows: as many cells each; None where nothing is known.
    """

    name: str
    title: str
    note: str
    columns: list[str]
    rows: list[list[Cell]]


def tabulate(name: str, title: str, note: str, records: Sequence[Mapping[str, Cell]]) -> Table:
    """A table of records; a column for every key, in the order in which keys first occur."""
    columns = list(dict.fromkeys(key for record in records for key in record))
    return Table(name, title, note, columns, [[r.get(key) for key in columns] for r in records])


def write_tables(tables: Sequence[Table], folder: Path) -> None:
    """``compare.json``, which the page reads, and a CSV each in ``compare/``."""
    plain: list[dict[str, Any]] = [finite(table._asdict()) for table in tables]
    write_json(folder / "compare.json", {"tables": plain})
    (folder / "compare").mkdir(exist_ok=True)
    for table in tables:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([table.columns, *table.rows])
        write_bytes(folder / "compare" / f"{table.name}.csv", text.getvalue().encode())
