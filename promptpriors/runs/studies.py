"""Record of a study: which run is which arm, and how arms are compared."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict

from promptpriors.errors import InputError
from promptpriors.files import read_json, write_json
from promptpriors.registry import Field, validate
from promptpriors.runs.identity import FORMAT, RESULTS, VERSIONS

Kind = Literal["arm", "positive", "negative", "baseline", "ceiling"]
CONTROLS: tuple[Kind, ...] = ("positive", "negative")
BASELINES: tuple[Kind, ...] = ("baseline", "ceiling")
"""Kinds that arms are measured against: lines across their curves."""
RESULT = ".result.json"
"""Ending of a study's result, which is no record."""
Name = Annotated[str, Field(pattern=r"^[^/\\]+$")]
"""Name of a study, which is that of its files."""


class Stored(BaseModel):
    """Stored object: later versions may add fields, but no field may be wrong."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)


class Comparison(Stored):
    """Rules of a study's comparison, fixed before its first run.

    Attributes:
        reference: the arm that others are held against.
        margin: share of the gap from floor to ceiling within which two arms count as equal.
        metric: a number of ``result.json``.
        controls: the study has a positive and a negative one.
    """

    reference: str | None = None
    margin: Annotated[float, Field(gt=0, lt=1)]
    metric: str = "val_loss"
    controls: bool = True


class StudyRun(Stored):
    """Planned run of a study.

    Attributes:
        id: the run's folder.
        arm: name of the arm, control, baseline or ceiling.
        setting: what is varied besides arm, rate and seed; runs are compared within it.
        rate: in words, empty where nothing is trained.
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


class StudyRecord(Stored):
    """Content of ``studies/NAME.json``: versions, rules and planned runs of a study.

    ``earlier`` are rules of the comparison that were changed afterwards.
    """

    format: int = FORMAT
    results: int = RESULTS
    name: Name
    compare: Comparison
    earlier: list[dict[str, Any]] = []
    runs: list[StudyRun]


def study_paths(runs: Path) -> list[Path]:
    """List the records of a runs folder, by name."""
    paths = runs.glob("studies/*.json")
    return sorted(path for path in paths if not path.name.endswith(RESULT))


def study_path(runs: Path, name: str) -> Path:
    """Name the file of a study's record."""
    return runs / "studies" / f"{name}.json"


def read_study_record(path: Path) -> StudyRecord:
    """Read a study's record.

    Raises:
        InputError: if it is damaged or of another version of the run folders.
    """
    content = read_object(path, FORMAT, "start the study again to have it written anew")
    return validate(StudyRecord, content, str(path))


def write_study_record(runs: Path, record: StudyRecord) -> Path:
    """Write a study's record below ``runs``; what was there before is replaced.

    Raises:
        InputError: for a name that is kept for results.
    """
    if f"{record.name}.json".endswith(RESULT):
        raise InputError(
            f"a study can't be called {record.name!r}: studies/*{RESULT} are results of studies; "
            "rename its file"
        )
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
        content = read_object(path)
        found = {key: content.get(key) for key in VERSIONS}
        if found != VERSIONS:
            raise InputError(
                f"{runs} has the study {path.stem!r} of another version: expected "
                f"{_words(VERSIONS)}, found {_words(found)}; give another folder by --runs, or "
                "install that version"
            )


def read_object(path: Path, version: int | None = None, remedy: str = "") -> Mapping[str, Any]:
    """Read a file that holds a JSON object, of a version where one is given.

    Raises:
        InputError: if it is not JSON, or something else; with the remedy for another version.
    """
    found: Any = read_json(path)
    if not isinstance(found, Mapping):
        raise InputError(f"{path} is damaged: expected a JSON object; remove it, it is made again")
    if version is not None and found.get("format") != version:
        raise InputError(f"{path} has format {found.get('format')!r}, expected {version}; {remedy}")
    return found


def _words(versions: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in versions.items())
