"""Runs of a folder, each a folder of its own or a line in a packed file.

A run is done when its ``result.json`` exists, which is written last.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from filelock import FileLock, Timeout

from promptpriors.errors import InputError, brief, note
from promptpriors.files import parse_toml, read_json, read_toml
from promptpriors.runs.packed import SUFFIX, PackedRun, find_packed, find_packs, read_pack
from promptpriors.runs.run import Run
from promptpriors.runs.schema import check_config, check_result


def has_run(folder: Path) -> bool:
    """Test for a run, as a folder or in a packed file beside it."""
    return (folder / "config.toml").is_file() or find_packed(folder.parent, folder.name) is not None


def is_done(folder: Path) -> bool:
    """Test for a run's result, in its folder or, where it has none, in a packed file."""
    if (folder / "config.toml").exists() or (folder / "result.json").exists():
        return (folder / "result.json").exists()
    packed = find_packed(folder.parent, folder.name)
    return packed is not None and packed.line.result is not None


def read_run(folder: Path) -> Run:
    """Read a run from its folder, or where there is none from a packed file beside it.

    Raises:
        InputError: if ``folder`` is no run or a file of it is damaged.
    """
    if not (folder / "config.toml").is_file():
        packed = find_packed(folder.parent, folder.name)
        if packed is not None:
            return _packed_run(folder.parent, packed)
        raise InputError(f"{folder} is not a run folder: it has no config.toml")
    path, error = folder / "result.json", folder / "error.txt"
    config = check_config(read_toml(folder / "config.toml"), folder / "config.toml")
    result = check_result(read_json(path), path) if path.exists() else None
    text = error.read_text(encoding="utf-8", errors="replace").strip() if error.exists() else None
    return Run(folder, config, result, text)


def _packed_run(runs: Path, packed: PackedRun) -> Run:
    line = packed.line
    config = check_config(parse_toml(line.config, packed.where), packed.where)
    result = None if line.result is None else check_result(line.result, packed.where)
    return Run(runs / line.id, config, result, line.error, packed)


def read_done(folder: Path) -> Run:
    """Read a run that is done, with all that its own command shows.

    Raises:
        InputError: as ``read_run``; if its result lacks something.
    """
    run = read_run(folder)
    result = run.result or {}
    first = result.get("scores_initial", {})
    lost = {"scores", "scores_initial"} - set(result) or set(result["scores"]) - set(first)
    if lost:
        raise InputError(
            f"{run.where} is damaged: its result lacks {brief(min(lost))}\n"
            "Delete its result.json, and the same command makes it again"
        )
    return run


def list_runs(runs: Path) -> list[Run]:
    """List every run of a folder: packed ones by file and id, others by their config's time.

    A run that can't be read is left out with a note. Of a run that is there more than once a folder
    counts, else the first file; a note says so of packed files, and of a folder that differs.

    Raises:
        InputError: if ``runs`` is not a folder, or a packed file in it can't be read at all.
    """
    if runs.is_file() and runs.name.endswith(SUFFIX):
        raise InputError(f"{runs} is a file of packed runs; give the folder that it lies in")
    if not runs.is_dir():
        raise InputError(f"{runs}: no such folder; runs are written by `promptpriors run`")
    found: dict[str, Run] = {}
    repeated: list[str] = []
    packs = [read_pack(path) for path in find_packs(runs)]
    for problem in dict.fromkeys(problem for pack in packs for problem in pack.problems):
        note(problem)
    configs = sorted(runs.glob("*/config.toml"), key=lambda path: (path.stat().st_mtime, path))
    reads = [partial(_packed_run, runs, packed) for pack in packs for packed in pack.runs]
    for read in [*reads, *(partial(read_run, path.parent) for path in configs)]:
        try:
            run = read()
        except InputError as error:
            note(f"left out: {error}")
            continue
        other = found.get(run.id)
        if other is None or not run.packed:
            found.pop(run.id, None)
            found[run.id] = run
        if other is not None and _differ(run, other):
            kept, lost = (other, run) if run.packed else (run, other)
            twice = f"run {run.id} is there twice with different content"
            note(f"{twice}: {kept.where} counts, not {lost.where}")
        elif other is not None and run.packed:
            repeated.append(run.id)
    if repeated:
        note(f"{len(repeated)} runs are in several packed files, alike; {repeated[0]} is one")
    return list(found.values())


def _differ(one: Run, other: Run) -> bool:
    same = (one.config, one.result, one.error) == (other.config, other.result, other.error)
    try:
        return not same or one.metrics() != other.metrics()
    except InputError:  # whoever reads them says so
        return True


def whole_runs(runs: Path) -> list[Run]:
    """List the runs of a folder whose records of training can be read as well.

    Of a run with damaged ones nothing is shown that could mislead: it is left out with a note.

    Raises:
        InputError: as ``list_runs``.
    """
    found = []
    for run in list_runs(runs):
        try:
            run.metrics()
        except InputError as error:
            note(f"left out: {error}")
        else:
            found.append(run)
    return found


def find_run(name: str, runs: Path) -> Run:
    """Find the finished run of that name: a folder, an id, or the unique beginning of one.

    Raises:
        InputError: if there is none, more than one, or it is not finished.
    """
    folder = Path(name)
    if not (name and has_run(folder)):
        folders = [path.parent.name for path in runs.glob("*/config.toml")]
        packed = [run.line.id for pack in find_packs(runs) for run in read_pack(pack).runs]
        found = sorted({id_ for id_ in [*folders, *packed] if name and id_.startswith(name)})
        if len(found) != 1:
            many = f"{len(found)} runs begin with" if found else "no run is called"
            raise InputError(f"{many} {name!r} in {runs}; see `promptpriors list runs`")
        folder = runs / found[0]
    run = read_run(folder)
    if run.result is None:
        raise InputError(f"run {run.id} is {run.status}: {run.error or 'start it again to end it'}")
    return run


class Busy(InputError):
    """Another process works on the run."""


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a run for this process alone.

    Raises:
        Busy: if another process works on it.
    """
    try:
        lock = FileLock(_lock_of(folder)).acquire(timeout=0)
    except Timeout:
        raise Busy(
            f"run {folder.name} is being worked on by another process; wait for it to end"
        ) from None
    with lock:
        for stale in folder.glob(".*.tmp"):  # left by a process that was killed in mid-write
            stale.unlink(missing_ok=True)
        yield


def is_held(folder: Path) -> bool:
    """Test for a process that works on the run at this moment."""
    path = _lock_of(folder)
    try:
        if path.exists():
            FileLock(path).acquire(timeout=0).lock.release()
    except Timeout:
        return True
    return False


def _lock_of(folder: Path) -> Path:
    return folder.parent / f".{folder.name}.lock"
