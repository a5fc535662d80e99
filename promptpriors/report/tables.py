"""Tables as the page shows them: cells with text, sorting key and mark."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from promptpriors.errors import InputError
from promptpriors.figures.styles import MARKS, Mark
from promptpriors.registry import validate
from promptpriors.report.formatting import MISSING, significant, whole
from promptpriors.runs.claims import read_list
from promptpriors.runs.study_results import SettingResult, Verdict
from promptpriors.runs.tables import Cell, Table
from promptpriors.verdicts.study_tables import NOTES, RECORDS


class ShownCell(NamedTuple):
    """Text of a cell, and a key to sort by, which is empty where nothing is known.

    The text of a verdict is its state; it has a mark and a reason as well.
    """

    key: str
    text: str
    mark: Mark | None = None
    reason: str = ""


class ShownTable(NamedTuple):
    """Table with its cells; ``numeric`` marks columns that hold nothing but numbers."""

    name: str
    title: str
    note: str
    columns: list[str]
    numeric: list[bool]
    cells: list[list[ShownCell]]


class Tables(NamedTuple):
    """General tables of a folder, and errors of those that can't be shown."""

    tables: list[ShownTable]
    problems: list[str]


def read_tables(folder: Path) -> Tables | None:
    """Read the tables of a runs folder but those of studies; None where there are none."""
    path = folder / "compare.json"
    if not path.exists():
        return None
    tables, problems = [], []
    try:
        for i, value in enumerate(read_list(path, "tables"), 1):
            try:
                table = validate(Table, value, f"{path}, table {i}", brief=True)
            except InputError as error:
                problems.append(f"A table can’t be shown: {error}")
                continue
            if table.name not in RECORDS:
                head = table.name, table.title, table.note
                tables.append(_shown(head, table.columns, table.rows))
    except InputError as error:
        problems.append(f"The comparisons can’t be shown: {error}")
    return Tables(tables, problems) if tables or problems else None


def study_table(name: str, setting: SettingResult) -> ShownTable | None:
    """Show a table of a study in one setting; None without rows."""
    records = RECORDS[name](setting)
    columns = list(dict.fromkeys(key for record in records for key in record))
    rows = [[record.get(key) for key in columns] for record in records]
    return _shown((name, *NOTES[name]), columns, rows) if rows else None


def _shown(
    head: tuple[str, str, str], columns: list[str], rows: Sequence[Sequence[Cell | Verdict]]
) -> ShownTable:
    indices = range(len(columns))
    numeric = [not any(isinstance(row[i], str | Verdict) for row in rows) for i in indices]
    cells = [[_cell(row[i], columns[i]) for i in indices] for row in rows]
    return ShownTable(*head, columns, numeric, cells)


def _cell(value: Cell | Verdict, column: str) -> ShownCell:
    """A number has four significant digits; its key is the whole of it."""
    if isinstance(value, Verdict):
        return ShownCell(value.text, value.state, MARKS[value.state], value.reason)
    if isinstance(value, str):
        return ShownCell(value, value, MARKS.get(value) if column == "verdict" else None)
    if value is None or not math.isfinite(value):
        return ShownCell("", MISSING)
    return ShownCell(repr(value), whole(value) if isinstance(value, int) else significant(value, 4))
