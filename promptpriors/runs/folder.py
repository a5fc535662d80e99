"""One run's folder: ``result.json`` is written last, so its existence means done."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any

from filelock import FileLock, Timeout
from torch import Tensor

from promptpriors.errors import InputError, Note
from promptpriors.files import read_json, read_json_lines, read_tensors, read_toml
from promptpriors.prompts import Prompt


@dataclass(frozen=True)
class Run:
    """What a run folder holds.

    Attributes:
        folder: the folder; its name is the run's id.
        config: the resolved config.
        result: ``result.json``, None unless the run is done.
        error: ``error.txt``, None unless the run failed.
    """

    folder: Path
    config: dict[str, Any]
    result: dict[str, Any] | None
    error: str | None

    @property
    def id(self) -> str:
        """The run's id."""
        return self.folder.name

    @property
    def status(self) -> str:
        """``done``, ``failed`` or ``unfinished``."""
        if self.result is not None:
            return "done"
        return "unfinished" if self.error is None else "failed"

    def metrics(self) -> list[dict[str, Any]]:
        """The records of ``metrics.jsonl``, oldest first."""
        return read_json_lines(self.folder / "metrics.jsonl")

    def tensors(self) -> dict[str, Tensor]:
        """``initial/<site>``, ``final/<site>``, ``trajectory/<site>``, ``trajectory/steps``.

        Raises:
            InputError: if the file is damaged or the vectors of a site are missing or malformed.
        """
        path = self.folder / "prompt.safetensors"
        found = read_tensors(path)[0]
        for site in self.config["prompt"].get("sites", []):
            pair = [found.get(f"{when}/{site}") for when in ("initial", "final")]
            shapes = {(t.ndim, t.shape) for t in pair if t is not None and t.is_floating_point()}
            if any(t is None for t in pair) or len(shapes) != 1 or shapes.pop()[0] != 2:
                raise InputError(
                    f"{path} is damaged: expected vectors at {site!r}, [length, width]"
                )
        return found

    @property
    def has_vectors(self) -> bool:
        """Whether the run's vectors are kept."""
        return (self.folder / "prompt.safetensors").is_file()

    def config_text(self) -> str:
        """The text of ``config.toml``."""
        return (self.folder / "config.toml").read_text(encoding="utf-8")

    def record(self, name: str) -> Any | None:
        """What a JSON file beside the result holds, such as ``position.json``; None without it.

        Raises:
            InputError: if the file is damaged.
        """
        path = self.folder / name
        return read_json(path) if path.exists() else None

    def about(self) -> dict[str, Any]:
        """What ``prompt.safetensors`` says of itself: format, mode, the model's revision."""
        return read_tensors(self.folder / "prompt.safetensors")[1]


def read_run(folder: Path) -> Run:
    """Read a run folder.

    Raises:
        InputError: if ``folder`` is not a run folder or a file in it is damaged.
    """
    if not (folder / "config.toml").is_file():
        raise InputError(f"{folder} is not a run folder: it has no config.toml")
    path, error = folder / "result.json", folder / "error.txt"
    config = read_toml(folder / "config.toml")
    sections = [config.get(name) for name in ("task", "prior", "prompt", "train")]
    if "model" not in config or not all(isinstance(section, dict) for section in sections):
        raise InputError(f"{folder / 'config.toml'} is not the resolved config of a run")
    result = read_json(path) if path.exists() else None
    if path.exists() and not _is_result(result):
        raise InputError(f"{path} is not the result of a run")
    text = error.read_text(encoding="utf-8", errors="replace").strip() if error.exists() else None
    return Run(folder, config, result, text)


def _is_result(value: Any) -> bool:
    """Whether ``value`` has the losses of a result, each a number or (for NaN) None."""
    names = ("val_loss_initial", "val_loss", "val_loss_best", "val_loss_none")
    kinds = (int, float, NoneType)
    return isinstance(value, dict) and all(
        name in value and isinstance(value[name], kinds) for name in names
    )


def list_runs(runs: Path) -> list[Run]:
    """Every run below ``runs``, by the time its config was written.

    A folder that can't be read is left out with a warning.

    Raises:
        InputError: if ``runs`` is not a folder.
    """
    if not runs.is_dir():
        raise InputError(f"{runs}: no such folder; runs are written by `promptpriors run`")
    configs = sorted(runs.glob("*/config.toml"), key=lambda path: (path.stat().st_mtime, path))
    found = []
    for path in configs:
        try:
            found.append(read_run(path.parent))
        except InputError as error:
            warnings.warn(f"left out: {error}", Note, stacklevel=2)
    return found


def find_run(name: str, runs: Path) -> Run:
    """The finished run that ``name`` means: a folder, an id, or the unique beginning of one.

    Raises:
        InputError: if there is none, more than one, or it is not finished.
    """
    folder = Path(name)
    if not (folder / "config.toml").is_file():
        names = sorted(runs.iterdir()) if runs.is_dir() and name else []
        found = [p for p in names if p.name.startswith(name) and (p / "config.toml").is_file()]
        if len(found) != 1:
            many = f"{len(found)} runs begin with" if found else "no run is called"
            raise InputError(f"{many} {name!r} in {runs}; see `promptpriors list runs`")
        folder = found[0]
    run = read_run(folder)
    if run.result is None:
        raise InputError(f"run {run.id} is {run.status}: {run.error or 'start it again to end it'}")
    return run


def load_prompt(folder: str | Path) -> Prompt:
    """The trained prompt of a finished run.

    Raises:
        InputError: if ``folder`` is not a finished run, or one of an adapter, which is not kept.
    """
    run = find_run(str(folder), Path())
    if run.config.get("train", {}).get("lora") is not None:
        raise InputError(
            f"run {run.id} trained an adapter of rank {run.config['train']['lora']}, a ceiling to "
            "measure prompts by; it left no prompt"
        )
    tensors = run.tensors()
    sites = run.config["prompt"]["sites"]
    values = {site: tensors[f"final/{site}"] for site in sites}
    return Prompt(run.config["prompt"]["mode"], values, bos=run.config["prompt"].get("bos", False))


class Busy(InputError):
    """Another process works on the run."""


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a run for this process alone.

    Raises:
        Busy: if another process works on it.
    """
    lock = FileLock(_lock_of(folder))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise Busy(
            f"run {folder.name} is being worked on by another process; wait for it to end"
        ) from None
    try:
        for stale in folder.glob(".*.tmp"):  # left by a process that was killed in mid-write
            stale.unlink(missing_ok=True)
        yield
    finally:
        lock.release()


def is_held(folder: Path) -> bool:
    """Whether a process works on the run at this moment."""
    path = _lock_of(folder)
    if not path.exists():
        return False
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def _lock_of(folder: Path) -> Path:
    return folder.parent / f".{folder.name}.lock"
