"""A study's tables as ``promptpriors compare`` stored them, each row by column."""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, Field

from promptpriors.errors import InputError
from promptpriors.report.formatting import significant, whole
from promptpriors.report.sound import sound
from promptpriors.report.tables import Table, Value

Row = TypeVar("Row", bound=BaseModel)


class Verdict(BaseModel):
    """A question of a study and what became of it."""

    question: str
    statistic: str | None = None
    value: Value = None
    verdict: str

    @property
    def number(self) -> str:
        """The value as text; nothing where there is none."""
        if self.value is None or isinstance(self.value, str):
            return self.value or ""
        return whole(self.value) if isinstance(self.value, int) else significant(self.value)


class Difference(BaseModel):
    """An arm less the reference."""

    arm: str
    reference: str
    difference: Value
    low: Value
    high: Value
    margin: Value
    verdict: str | None


class Arm(BaseModel):
    """An arm over its rates."""

    arm: str
    kind: str
    best: Value = Field(None, alias="best rate")


KINDS: dict[str, type[BaseModel]] = {"verdicts": Verdict, "differences": Difference, "arms": Arm}
"""Tables of which the page shows more than their rows."""


class Part(NamedTuple):
    """The tables of one study in one setting."""

    tables: list[Table]

    def table(self, name: str) -> Table | None:
        """The table of a name, without the study and the setting."""
        return next((table for table in self.tables if table.name == name), None)

    def rows(self, name: str, kind: type[Row]) -> list[Row]:
        """The rows of a table; none where it is missing or damaged, which ``faults`` says."""
        table = self.table(name)
        return [] if table is None or _fault(table) else [kind(**row) for row in _records(table)]


def faults(tables: Sequence[Table]) -> list[str]:
    """What is wrong with tables of which the page shows more than their rows."""
    found = (_fault(table) for table in tables)
    return [f"A table is shown as it is and not drawn: {fault}" for fault in found if fault]


def parts(tables: Sequence[Table]) -> dict[tuple[str, str], Part]:
    """Tables by study and setting, in the order in which these first occur."""
    found: dict[tuple[str, str], list[Table]] = {}
    for table in (table for table in tables if table.of_study):
        aside = [table.columns.index(name) for name in ("study", "setting")]
        kept = [i for i in range(len(table.columns)) if i not in aside]
        rows: dict[tuple[str, str], list[list[Value]]] = {}
        for row in table.rows:
            study, setting = (str(row[i] or "") for i in aside)
            rows.setdefault((study, setting), []).append([row[i] for i in kept])
        columns = [table.columns[i] for i in kept]
        for key, mine in rows.items():
            part = table.model_copy(update={"columns": columns, "rows": mine})
            found.setdefault(key, []).append(part)
    return {key: Part(mine) for key, mine in found.items()}


def _records(table: Table) -> list[dict[str, Any]]:
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


def _fault(table: Table) -> str:
    """What is wrong with the first bad row, or nothing."""
    kind = KINDS.get(table.name)
    if kind is None:
        return ""
    try:
        for i, row in enumerate(_records(table), 1):
            sound(kind, row, f"table {table.name!r}, row {i}")
    except InputError as error:
        return str(error)
    return ""
