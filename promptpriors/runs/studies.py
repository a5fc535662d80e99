"""What a study leaves beside its runs: which run is which arm, and how arms are compared."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict

from promptpriors.errors import InputError
from promptpriors.files import read_json, write_json
from promptpriors.registry import Field, validate
from promptpriors.runs.identity import FORMAT, RESULTS

Kind = Literal["arm", "positive", "negative", "baseline", "ceiling"]
"""What a run of a study is there for."""
VERSIONS = {"format": FORMAT, "results": RESULTS}
"""Of the run folders, and of what is computed."""


class _Read(BaseModel):
    """Written by a program: a later one may say more, but nothing that is read may be wrong."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)


class Comparison(_Read):
    """How a study compares; fixed before its first run.

    Attributes:
        reference: the arm that others are held against.
        margin: share of the gap from floor to ceiling within which two arms count as equal.
        metric: a number of ``result.json``.
        controls: whether it has the positive and the negative control.
    """

    reference: str | None = None
    margin: Annotated[float, Field(gt=0, lt=1)]
    metric: str = "val_loss"
    controls: bool = True


class StudyRun(_Read):
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

    id: Annotated[str, Field(pattern=r"^[\w-]+$")]
    kind: Kind
    arm: str
    setting: str = ""
    rate: str = ""
    seed: int
    factors: dict[str, Any] = {}


class StudyRecord(_Read):
    """``studies/NAME.json``.

    Attributes:
        format: version of the run folders.
        results: version of what is computed.
        name: of the study.
        compare: how its arms are compared.
        earlier: how they were to be compared before that was changed.
        runs: all that are planned.
    """

    format: int = FORMAT
    results: int = RESULTS
    name: str
    compare: Comparison
    earlier: list[dict[str, Any]] = []
    runs: list[StudyRun]


def study_paths(runs: Path) -> list[Path]:
    """The records of a runs folder, by name."""
    return sorted(runs.glob("studies/*.json"))


def study_path(runs: Path, name: str) -> Path:
    """Where the record of a study lies."""
    return runs / "studies" / f"{name}.json"


def read_study_record(path: Path) -> StudyRecord:
    """Read a study's record.

    Raises:
        InputError: if it is damaged or of another version of the run folders.
    """
    content = _object(path)
    if content.get("format") != FORMAT:
        raise InputError(
            f"{path} has format {content.get('format')!r}, expected {FORMAT}; start the study "
            "again to have it written anew"
        )
    return validate(StudyRecord, content, str(path))


def write_study_record(runs: Path, record: StudyRecord) -> Path:
    """Write a study's record below ``runs``; what was there before is replaced."""
    path = study_path(runs, record.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, record.model_dump())
    return path


def check_versions(runs: Path) -> None:
    """Refuse a folder whose studies were written by an incompatible version.

    Raises:
        InputError: if their runs would not be found again or would be read wrongly.
    """
    for path in study_paths(runs):
        content = _object(path)
        found = {key: content.get(key) for key in VERSIONS}
        if found != VERSIONS:
            raise InputError(
                f"{runs} has the study {path.stem!r} of another version: expected "
                f"{_words(VERSIONS)}, found {_words(found)}; give another folder by --runs, or "
                "install that version"
            )


def _object(path: Path) -> Mapping[str, Any]:
    found: Any = read_json(path)
    if not isinstance(found, Mapping):
        raise InputError(f"{path} is damaged: expected a JSON object; remove it, it is made again")
    return found


def _words(versions: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in versions.items())
