"""What a study leaves beside its runs: which run is which arm, and how arms are to be compared."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from promptpriors.errors import InputError
from promptpriors.experiments.study.file import StudyFile
from promptpriors.experiments.study.plan import Entry
from promptpriors.files import read_json, write_json
from promptpriors.runs.identity import FORMAT, RESULTS

VERSIONS = {"format": FORMAT, "results": RESULTS}


def check_folder(runs: Path) -> None:
    """Refuse a folder whose studies were written by an incompatible version.

    Raises:
        InputError: if their runs would not be found again or would be read wrongly.
    """
    for path in sorted(runs.glob("studies/*.json")):
        about = read_record(path)
        found = {key: about.get(key) for key in VERSIONS}
        if found != VERSIONS:
            raise InputError(
                f"{runs} has the study {path.stem!r} of another version: expected "
                f"{_words(VERSIONS)}, found {_words(found)}; give another folder by --runs, or "
                "install that version"
            )


def write_record(study: StudyFile, entries: Sequence[Entry], runs: Path) -> str:
    """Write ``studies/<name>.json`` below ``runs``; what was there before is replaced.

    Returns:
        What the user should know: that the comparison was fixed otherwise before; "" if not.
    """
    path = runs / "studies" / f"{study.name}.json"
    compare = study.compare.model_dump()
    earlier: list[Any] = []
    if path.exists():
        before = read_record(path)
        earlier = list(before.get("earlier", []))
        if before.get("compare") not in (compare, None):
            earlier.append(before["compare"])
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        {
            "id": entry.id,
            "kind": entry.run.kind,
            "arm": entry.run.arm,
            "setting": entry.run.setting,
            "rate": entry.run.rate,
            "seed": entry.run.seed,
            "factors": dict(entry.run.factors),
        }
        for entry in entries
    ]
    about = {**VERSIONS, "name": study.name, "compare": compare, "earlier": earlier, "runs": rows}
    write_json(path, about)
    if not earlier:
        return ""
    return f"[compare] of the study {study.name!r} was another before; {path} keeps it as earlier"


def read_record(path: Path) -> dict[str, Any]:
    """Read a study's record.

    Raises:
        InputError: if it is damaged.
    """
    found = read_json(path)
    if not isinstance(found, dict):
        raise InputError(f"{path} is damaged: expected a JSON object; remove it, it is made again")
    return found


def _words(versions: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in versions.items())
