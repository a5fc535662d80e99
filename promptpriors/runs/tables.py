"""Tables, computed once and shown as text, JSON and CSV."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, model_validator

from promptpriors.files import finite, write_bytes, write_json

Cell = str | float | int | bool | None


class Table(BaseModel):
    """Table with what must be known to read it.

    Attributes:
        name: of its file.
        title: its heading.
        note: what its numbers are, and what they do not say.
        columns: the headings of the columns.
        rows: as many cells each; None where nothing is known.
    """

    name: str
    title: str
    note: str
    columns: list[str]
    rows: list[list[Cell]]

    @model_validator(mode="after")
    def _rectangular(self) -> "Table":
        for i, row in enumerate(self.rows):
            if len(row) != len(self.columns):
                raise ValueError(f"row {i} has {len(row)} values, {len(self.columns)} columns")
        return self


def tabulate(name: str, title: str, note: str, records: Sequence[Mapping[str, Cell]]) -> Table:
    """Make a table of records; a column for every key, in the order in which keys first occur."""
    columns = list(dict.fromkeys(key for record in records for key in record))
    rows = [[record.get(key) for key in columns] for record in records]
    return Table(name=name, title=title, note=note, columns=columns, rows=rows)


def write_tables(tables: Sequence[Table], folder: Path) -> None:
    """Write ``compare.json``, which the page reads, and a CSV each in ``compare/``."""
    plain: list[dict[str, Any]] = [finite(table.model_dump()) for table in tables]
    write_json(folder / "compare.json", {"tables": plain})
    (folder / "compare").mkdir(exist_ok=True)
    for table in tables:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([table.columns, *table.rows])
        write_bytes(folder / "compare" / f"{table.name}.csv", text.getvalue().encode())
