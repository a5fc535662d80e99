"""Measurements beside a run's result: ``use.json`` and ``bridge.json``, read strictly."""

from typing import Annotated, Any

from pydantic import BaseModel

from promptpriors.registry import Field, validate
from promptpriors.runs.run import Run
from promptpriors.runs.studies import Stored

USE = "use.json"
BRIDGE = "bridge.json"


class _Change(Stored):
    change: float
    low: float | None
    high: float | None


class _Masked(Stored):
    vectors: Annotated[list[_Change], Field(min_length=1)]
    all: _Change


class _Half(Stored):
    near_less_far: _Change | None = None


class _Projected(Stored):
    nearest: _Change | None = None
    nearest_less_random: _Change | None = None


class _Read(Stored):
    read: bool


class _Answers(Stored):
    by_head: Annotated[list[Annotated[list[float], Field(min_length=1)]], Field(min_length=1)]


class _Attention(Stored):
    answers: _Answers


class _Use(Stored):
    examples: int
    loss: float | None
    masked: _Masked
    halves: dict[str, _Half]
    projected: _Projected = _Projected()
    readout: list[_Read] = Field(default_factory=list)
    attention: _Attention


class _Name(Stored):
    name: str


class _Settings(Stored):
    other: _Name
    documents: int


class _Bridge(Stored):
    settings: _Settings
    site: str
    ratio: float | None
    interval: Annotated[list[float | None], Field(min_length=2, max_length=2)]


def read_use(run: Run) -> dict[str, Any] | None:
    """Effects of a run's vectors on the loss, as ``use.json`` has them; None where not measured.

    Raises:
        InputError: if the file is damaged; the field is named.
    """
    return _read(run, USE, _Use)


def read_bridge(run: Run) -> dict[str, Any] | None:
    """Change of the gap between two domains, as ``bridge.json`` has it; None where not measured.

    Raises:
        InputError: if the file is damaged; the field is named.
    """
    return _read(run, BRIDGE, _Bridge)


def _read(run: Run, name: str, schema: type[BaseModel]) -> dict[str, Any] | None:
    found = run.record(name)
    if found is not None:
        validate(schema, found, f"{run.where}, {name}", brief=True)
    return found
