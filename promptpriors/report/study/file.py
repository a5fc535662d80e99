"""What a study says of itself: ``studies/NAME.json`` beside its runs."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, FiniteFloat, field_validator

from promptpriors.errors import InputError
from promptpriors.files import read_json
from promptpriors.report.sound import sound
from promptpriors.runs.identity import FORMAT

CONTROLS = ("positive", "negative")
BESIDE = ("baseline", "ceiling")
"""Kinds of runs that are no arms but lines across."""


class Member(BaseModel):
    """A run of a study.

    Attributes:
        id: the run's folder.
        kind: what it is there for.
        arm: what it is called.
        setting: what is varied besides arm, rate and seed; runs are compared within it.
        rate: a word for its rate, empty where nothing is trained.
        seed: of the data's order.
        factors: what is varied, by dotted key.
    """

    id: str
    kind: Literal["arm", "positive", "negative", "baseline", "ceiling"]
    arm: str
    setting: str = ""
    rate: str = ""
    seed: int
    factors: dict[str, Any] = {}


class Rules(BaseModel):
    """How arms are compared."""

    reference: str | None = None
    margin: FiniteFloat
    metric: str = "val_loss"
    controls: bool = True


class Study(BaseModel):
    """A study.

    Attributes:
        format: of the run folders.
        name: of the study.
        compare: how its arms are compared.
        earlier: how they were to be compared before that was changed.
        runs: by kind, arm, setting, rate and seed.
    """

    format: int
    name: str
    compare: Rules
    earlier: list[dict[str, Any]] = []
    runs: list[Member]

    @field_validator("format")
    @classmethod
    def _known(cls, value: int) -> int:
        if value != FORMAT:
            raise ValueError(f"expected version {FORMAT}, found {value}")
        return value


def read_studies(folder: Path) -> tuple[list[Study], list[str]]:
    """The studies of a runs folder by name, and what is wrong with those that can't be shown."""
    found: dict[str, Study] = {}
    problems = []
    for path in sorted((folder / "studies").glob("*.json")):
        try:
            study = sound(Study, read_json(path), str(path))
            if study.name in found:
                raise InputError(f"{path}: another study is called {study.name!r} too")
        except InputError as error:
            problems.append(f"A study can’t be shown: {error}")
        else:
            found[study.name] = study
    return list(found.values()), problems
