"""Tables that ``promptpriors compare`` stored beside the runs."""

import math
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, model_validator

from promptpriors.errors import InputError
from promptpriors.report.formatting import MISSING, significant, whole
from promptpriors.report.run_table import Cell
from promptpriors.report.sound import sound
from promptpriors.runs.claims import read_list

Value = str | int | float | None


class Table(BaseModel):
    """A table as stored: rows as long as there are columns."""

    name: str
    title: str
    note: str
    columns: list[str]
    rows: list[list[Value]]

    @model_validator(mode="after")
    def _rectangular(self) -> "Table":
        for i, row in enumerate(self.rows):
            if len(row) != len(self.columns):
                raise ValueError(f"row {i} has {len(row)} values, {len(self.columns)} columns")
        return self

    @property
    def of_study(self) -> bool:
        """Whether its rows are of studies, which have a section of their own."""
        return {"study", "setting"} <= set(self.columns)

    @property
    def numeric(self) -> list[bool]:
        """For every column whether it holds nothing but numbers."""
        columns = [[row[i] for row in self.rows] for i in range(len(self.columns))]
        return [not any(isinstance(value, str) for value in column) for column in columns]

    @property
    def cells(self) -> list[list[Cell]]:
        """Every value with what it sorts by."""
        return [[_cell(value) for value in row] for row in self.rows]


class Tables(NamedTuple):
    """The tables, and what can't be shown."""

    tables: list[Table]
    problems: list[str]

    @property
    def general(self) -> "Tables | None":
        """Those of no study, and what can't be shown; None where there is neither."""
        rest = [table for table in self.tables if not table.of_study]
        return Tables(rest, self.problems) if rest or self.problems else None


def compared(folder: Path) -> Tables | None:
    """The tables of a runs folder, or None where there is no such file."""
    path = folder / "compare.json"
    if not path.exists():
        return None
    tables, problems = [], []
    try:
        for i, value in enumerate(read_list(path, "tables"), 1):
            try:
                tables.append(sound(Table, value, f"{path}, table {i}"))
            except InputError as error:
                problems.append(f"A table can’t be shown: {error}")
    except InputError as error:
        problems.append(f"The comparisons can’t be shown: {error}")
    return Tables(tables, problems)


def _cell(value: Value) -> Cell:
    """A number to four significant digits; its key is the whole of it."""
    if isinstance(value, str):
        return Cell(value, value)
    if value is None or not math.isfinite(value):
        return Cell("", MISSING)
    return Cell(repr(value), whole(value) if isinstance(value, int) else significant(value, 4))
