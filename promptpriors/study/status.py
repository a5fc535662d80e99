"""States of a study's runs: done, failed, half done, missing, damaged, in work."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from promptpriors.errors import InputError
from promptpriors.files import read_tensors, write_toml
from promptpriors.runs import Run, is_done, read_run
from promptpriors.runs.folder import Busy, held, is_held
from promptpriors.study.plan import Entry

AGAIN = {
    "done": "",
    "half done": "resumed",
    "failed": "tried again",
    "damaged": "done again",
    "in work": "by another process, waited for",
    "missing": "",
}
"""Action on the runs of each state."""
FILES = ("result.json", "prompt.safetensors", "metrics.jsonl", "state.safetensors")
"""Files of a damaged run that are renamed."""


class Surveyed(NamedTuple):
    """State of one run's folder, a key of ``AGAIN``, with the step, the error or the damage."""

    state: str
    note: str = ""


def survey(entries: Sequence[Entry], runs: Path) -> dict[str, Surveyed]:
    """Find the state of every run of a study; nothing is changed."""
    return {entry.id: _state(runs / entry.id) for entry in entries}


def repair(entries: Sequence[Entry], found: dict[str, Surveyed], runs: Path) -> dict[str, Surveyed]:
    """Rename damaged files so that their runs are done again, and return the states now.

    A damaged config is written anew, since it is known; the run may be whole otherwise.
    """
    repaired = dict(found)
    for entry in entries:
        if repaired[entry.id].state != "damaged":
            continue
        folder = runs / entry.id
        try:
            with held(folder):
                write_toml(folder / "config.toml", entry.run.config.plain())
                damage = _damage(folder)
                for name in FILES if damage else ():
                    if (folder / name).exists():
                        (folder / name).replace(folder / f"{name}.damaged")
        except Busy:
            repaired[entry.id] = Surveyed("in work")
        else:
            if not damage:
                repaired[entry.id] = Surveyed("done", "its damaged config.toml is written anew")
    return repaired


def sentence(found: dict[str, Surveyed]) -> str:
    """Write the number of runs in each state as one line.

    >>> sentence({"a": Surveyed("done"), "b": Surveyed("failed"), "c": Surveyed("missing")})
    '3 runs: 1 done, 1 failed (tried again), 1 missing'
    """
    parts = []
    for state, again in AGAIN.items():
        if count := sum(f.state == state for f in found.values()):
            parts.append(f"{count} {state}" + (f" ({again})" if again else ""))
    return f"{len(found)} runs: {', '.join(parts)}"


def _state(folder: Path) -> Surveyed:
    if (folder / "result.json").exists():
        damage = _damage(folder)
        whole = (folder / "prompt.safetensors").exists()
        note = "" if whole else "its vectors are not here"
        return Surveyed("damaged", damage) if damage else Surveyed("done", note)
    if is_done(folder):
        return Surveyed("done", "packed")
    if is_held(folder):
        return Surveyed("in work")
    if (folder / "error.txt").exists():
        return Surveyed("failed", _first_line(folder / "error.txt"))
    if (folder / "state.safetensors").exists():
        return _half_done(folder / "state.safetensors")
    begun = (folder / "config.toml").exists()
    return Surveyed("half done", "step 0") if begun else Surveyed("missing")


def _half_done(path: Path) -> Surveyed:
    try:
        step = read_tensors(path)[1]["progress"]["step"]
    except (InputError, KeyError, TypeError):
        return Surveyed("damaged", f"{path.name} is damaged")
    return Surveyed("half done", f"step {step}")


def _damage(folder: Path) -> str:
    """What is wrong with a finished or half-finished run; "" where nothing is."""
    if not (folder / "result.json").exists():
        found = _half_done(folder / "state.safetensors")
        return found.note if found.state == "damaged" else ""
    try:
        run = read_run(folder)
        _check_metrics(run)
        _check_prompt(run)
    except InputError as error:
        return str(error)
    return ""


def _check_metrics(run: Run) -> None:
    """Every step has its record, and the last loss is the result's."""
    result: dict[str, Any] = run.result or {}
    try:
        rows = run.metrics()
        steps = [row["step"] for row in rows]
        last = rows[-1]["val_loss"]
        expected = int(result["steps"]) + 1
    except (KeyError, IndexError, TypeError, ValueError):
        raise InputError("metrics.jsonl lacks records, or result.json its steps") from None
    if steps != list(range(expected)):
        raise InputError(f"metrics.jsonl has {len(steps)} records, expected {expected}")
    if last != result["val_loss"]:
        raise InputError("metrics.jsonl does not end as result.json says")


def _check_prompt(run: Run) -> None:
    path, known = run.folder / "prompt.safetensors", (run.result or {}).get("prompt_sha256")
    if path.exists() and known and hashlib.sha256(path.read_bytes()).hexdigest() != known:
        raise InputError("prompt.safetensors is not what result.json says it is")


def _first_line(path: Path) -> str:
    text = path.read_text(encoding="utf-8", errors="replace").strip()
    return text.splitlines()[0] if text else "without a word"
