"""Runs packed into one file: gzipped JSON lines, with vectors in a safetensors file beside it.

The first line is the header, then comes a line a run, and the last line has their number, so that a
file that was cut off is recognised.
"""

import json
import zlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import ValidationError

from promptpriors.errors import InputError
from promptpriors.runs.columns import Shape
from promptpriors.runs.studies import Stored

SUFFIX = ".runs.jsonl.gz"
PACK_FORMAT = 1
"""Version of packed files; raised whenever an older program would read one wrongly."""

Vectors = Literal["none", "final", "all"]
"""Vectors of a run that are kept: none, those of the last step, or all that it stored."""


class Header(Stored):
    """First line of a packed file.

    Attributes:
        format: version of packed files.
        version: version of the program that wrote it.
        runs: their number.
        vectors: those that were asked for.
        left_out: parts of results that are left out.
        files: names of all files that were packed together.
        shapes: schedules that the metrics refer to.
    """

    format: int
    version: str
    runs: int
    vectors: Vectors
    precision: Literal["float16", "float32"]
    left_out: list[str]
    files: list[str]
    shapes: list[Shape]


class Line(Stored):
    """A run's line in a packed file.

    Attributes:
        config: text of ``config.toml``.
        metrics: encoded rows of ``metrics.jsonl``.
        records: JSON files beside the result, by name.
        vectors: those that are kept.
        about: metadata of ``prompt.safetensors``; None where no vectors are kept.
        left_out: parts of the result that are left out.
    """

    id: str
    config: str
    result: dict[str, Any] | None
    error: str | None
    metrics: dict[str, Any]
    records: dict[str, Any]
    vectors: Vectors
    about: dict[str, Any] | None
    left_out: list[str]


class PackedRun(NamedTuple):
    """A run in a packed file, on the line of that number (from 1)."""

    pack: Path
    number: int
    line: Line
    shapes: Sequence[Shape]

    @property
    def where(self) -> str:
        """File, line and run in words."""
        return f"{self.pack}, line {self.number} (run {self.line.id})"


class Pack(NamedTuple):
    """Content of a packed file, and its problems in words."""

    header: Header
    runs: list[PackedRun]
    problems: list[str]


def vectors_path(pack: Path) -> Path:
    """Name the file of the vectors that belong to a packed file."""
    return pack.with_name(pack.name.removesuffix(SUFFIX) + ".runs.safetensors")


def find_packs(runs: Path) -> list[Path]:
    """List the packed files of a runs folder, by name."""
    return sorted(runs.glob(f"*{SUFFIX}"))


def find_packed(runs: Path, run_id: str) -> PackedRun | None:
    """Find a run in the packed files of a folder; None where it is in none of them.

    Raises:
        InputError: as ``read_pack``.
    """
    packed = (run for path in find_packs(runs) for run in read_pack(path).runs)
    return next((run for run in packed if run.line.id == run_id), None)


def read_pack(path: Path) -> Pack:
    """Read a packed file; of one that was cut off, the whole lines.

    Raises:
        InputError: if it is no such file, of a newer format, or damaged as a whole.
    """
    status = path.stat()
    found = _read(path, status.st_mtime_ns, status.st_size)
    files = found.header.files if path.name in found.header.files else []
    missing = [
        f"{path.with_name(name)} is missing: it was packed together with others that are here"
        for name in files
        if not path.with_name(name).is_file()
    ]
    if any(run.line.vectors != "none" for run in found.runs) and not vectors_path(path).is_file():
        missing.append(lost_vectors(path, "its runs"))
    return found._replace(problems=[*found.problems, *missing])


@lru_cache(maxsize=16)
def _read(path: Path, _time: int, _size: int) -> Pack:
    (first, *lines), whole = _unzip(path)
    header = _header(path, first)
    runs: dict[str, PackedRun] = {}
    problems, ended = [], False
    for number, text in enumerate(lines, start=2):
        try:
            content = json.loads(text)
            if isinstance(content, Mapping) and "end" in content:
                ended = content["end"] == header.runs == number - 2
                break
            run = PackedRun(path, number, Line.model_validate(content), header.shapes)
            if runs.setdefault(run.line.id, run) is not run:
                problems.append(f"{run.where} is left out: it is there twice, the first one counts")
        except (ValueError, RecursionError) as error:
            problems.append(f"{path}, line {number} is damaged and left out: {_reason(error)}")
    if not (ended and whole):
        problems.append(
            f"{path} was cut off: {len(runs)} of its {header.runs} runs are there; copy it again"
        )
    return Pack(header, list(runs.values()), problems)


def _unzip(path: Path) -> tuple[list[str], bool]:
    """The whole lines of a gzip file, and whether its end is there as well."""
    unzip = zlib.decompressobj(wbits=31)
    try:
        content = unzip.decompress(path.read_bytes())
        return content.rpartition(b"\n")[0].decode().split("\n"), unzip.eof
    except (zlib.error, ValueError, OSError) as error:
        raise InputError(
            f"{path} is damaged or not a file of packed runs ({error}); copy it again, or remove it"
        ) from None


def _header(path: Path, text: str) -> Header:
    try:
        content = json.loads(text)
        found = content["format"]
        if not isinstance(found, int) or found <= PACK_FORMAT:
            return Header.model_validate(content)
    except (ValueError, RecursionError, TypeError, KeyError) as error:
        raise InputError(
            f"{path} is not a file of packed runs, or was cut off in its first line: "
            f"{_reason(error)}; `promptpriors pack` writes such files"
        ) from None
    raise InputError(
        f"{path} has format {found}, expected {PACK_FORMAT}: promptpriors "
        f"{content.get('version')} wrote it; install that version"
    )


def _reason(error: Exception) -> str:
    """An error in one line."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc'])) or 'line'}: {first['msg']}"
    return f"expected {error}" if isinstance(error, KeyError) else str(error)


def lost_vectors(pack: Path, whose: str) -> str:
    """Describe the lack of the vectors that belong to a packed file."""
    return f"the vectors of {whose} lie in {vectors_path(pack).name}, which is not beside {pack}"
