"""Files that appear whole or not at all: JSON, JSON lines, TOML, safetensors."""

import errno
import json
import math
import os
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import tomli_w
from torch import Tensor

from promptpriors.errors import InputError
from promptpriors.paths import check_file, resolved


def write_bytes(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write through a temporary neighbour and a rename; the mode of an earlier file is kept.

    A link stays a link, and what it leads to is written. A device or a pipe is written through. If
    durable, the content is flushed to the disk before the rename; a cache need not be.

    Raises:
        InputError: for a path that leads to no file that could be written.
        OSError: if the disk fails; it names ``path``.
    """
    try:
        there = _stat_of(path)
        if there is not None and not stat.S_ISREG(there.st_mode):
            _write_through(path, there.st_mode, content)
            return
        target = resolved(path)
        temporary = target.with_name(f".{target.name[:60]}.{os.getpid()}.tmp")
        try:
            with temporary.open("wb") as file:
                if there is not None:
                    os.chmod(file.fileno(), stat.S_IMODE(there.st_mode))
                file.write(content)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:  # of the neighbour, whose name says nothing to a user
        raise OSError(error.errno, error.strerror, str(path)) from None


def _stat_of(path: Path) -> os.stat_result | None:
    """What is at a path, behind its links; None for nothing."""
    resolved(path)
    try:
        there = path.stat()
    except FileNotFoundError:
        return None
    if stat.S_ISREG(there.st_mode):
        if path.is_symlink() and path.absolute().is_relative_to("/dev"):
            raise InputError(f"{path} is a file here; give the file's own name")
        if not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    return there


def _write_through(path: Path, mode: int, content: bytes) -> None:
    """Write to a device or a pipe, as a shell would."""
    if not (stat.S_ISCHR(mode) or stat.S_ISFIFO(mode)):
        kind = "a folder" if stat.S_ISDIR(mode) else "a socket or a disk"
        raise InputError(f"{path} is {kind}; expected the name of a file")
    try:
        # without O_NONBLOCK a pipe that nobody reads would be waited for
        number = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        raise InputError(f"{path} is a pipe that nobody reads; start the reader first") from None
    os.set_blocking(number, True)
    with open(number, "wb") as file:
        file.write(content)


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def finite(value: Any) -> Any:
    """``value`` with every NaN and infinity as None: JSON knows neither.

    >>> finite({"loss": float("nan"), "steps": [1, float("inf")]})
    {'loss': None, 'steps': [1, None]}
    """
    if isinstance(value, Mapping):
        return {k: finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_json(path: Path, value: Any) -> None:
    """Write readable JSON, keys in the order given."""
    text = json.dumps(finite(value), indent=2, ensure_ascii=False, allow_nan=False)
    write_bytes(path, (text + "\n").encode())


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        InputError: if the file is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError, OSError) as error:
        raise InputError(f"{path} is not readable JSON: {error}") from None


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Read complete lines of JSON objects; a last line that was cut off in mid-write is left out.

    Raises:
        InputError: if another line is not a JSON object.
    """
    if not path.exists():
        return []
    try:
        whole = path.read_text(encoding="utf-8").rpartition("\n")[0]
        rows = [json.loads(line) for line in whole.splitlines() if line]
    except (ValueError, RecursionError, OSError) as error:
        raise InputError(f"{path} is damaged: {error}") from None
    if not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{path} is damaged: expected a JSON object a line")
    return rows


def write_toml(path: Path, value: Mapping[str, Any]) -> None:
    """Write TOML; keys whose value is None are left out, since TOML has no null."""
    write_bytes(path, tomli_w.dumps(_without_none(value)).encode())


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        InputError: if it is missing, not UTF-8 or not TOML; the message says where.
    """
    check_file(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (ValueError, OSError) as error:
        raise InputError(f"{path} is not readable TOML: {error}") from None
    return parse_toml(text, path)


def parse_toml(text: str, where: Path | str) -> dict[str, Any]:
    """Parse the text of a TOML file.

    Raises:
        InputError: if it is not TOML; the message says where.
    """
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is not readable TOML: {error}") from None


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write safetensors with ``metadata`` as one entry, so that bytes repeat."""
    ready = {name: tensors[name].detach().cpu().contiguous() for name in sorted(tensors)}
    write_bytes(path, safetensors.torch.save(ready, {"promptpriors": canonical(finite(metadata))}))


def read_tensors(path: Path, prefix: str | None = "") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the tensors whose names begin with ``prefix`` (None: no tensor), and the metadata.

    Raises:
        InputError: if the file is missing, damaged, or not one of ours.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file")
    try:
        with safetensors.safe_open(path, framework="pt") as file:  # pyright: ignore[reportPrivateImportUsage]
            entry = (file.metadata() or {}).get("promptpriors")
            names = [] if prefix is None else [n for n in file.keys() if n.startswith(prefix)]  # noqa: SIM118
            tensors = {name: file.get_tensor(name) for name in names}
    except (safetensors.SafetensorError, OSError) as error:
        raise InputError(f"{path} is damaged or not a safetensors file: {error}") from None
    if entry is None:
        raise InputError(f"{path} was not written by promptpriors: its metadata entry is missing")
    try:
        metadata = json.loads(entry)
    except (ValueError, RecursionError):
        metadata = None
    if not isinstance(metadata, dict):
        raise InputError(f"{path} is damaged: its metadata entry is not a JSON object")
    return tensors, metadata


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        return [_without_none(v) for v in value]
    return value
