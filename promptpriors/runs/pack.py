"""Packing the runs of a folder into few files; nothing of the folder is changed."""

import json
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from promptpriors import __version__
from promptpriors.errors import InputError, note
from promptpriors.files import write_bytes, write_tensors
from promptpriors.paths import check_folder, resolved
from promptpriors.runs.charts import list_charts
from promptpriors.runs.columns import Shape, compact_json, encode_rows, shared_shapes
from promptpriors.runs.folder import list_runs
from promptpriors.runs.packed import PACK_FORMAT, SUFFIX, Header, Line, Vectors, vectors_path
from promptpriors.runs.run import Run

OPTIONAL = ("nearest_tokens",)
"""Parts of a result that may be left out."""
COPIED = (
    *("compare.json", "claims.json", "studies/*.json"),
    *("figures/fig*.json", "figures/fig*.safetensors"),
)
"""Files beside the runs that a reader needs as well."""

Precision = Literal["float16", "float32"]


class Packing(NamedTuple):
    """Files that were written, number of packed runs, and ids of those left out."""

    files: list[Path]
    runs: int
    unfinished: list[str]


def pack_runs(
    runs: Path,
    file: Path,
    *,
    vectors: Vectors = "final",
    precision: Precision = "float16",
    without: Sequence[str] = (),
    leave_out_unfinished: bool = False,
    max_bytes: int = 2_500_000,
) -> Packing:
    """Pack the runs of a folder, and copy what a reader needs besides them beside the file.

    The same runs give the same bytes. Where the file would exceed ``max_bytes``, it becomes several
    whose names end in a number.

    Args:
        runs: the folder.
        file: its name ends in ``.runs.jsonl.gz``.
        vectors: those to keep.
        precision: of the vectors; a tensor that float16 can't hold stays as it is.
        without: parts of results to leave out.
        leave_out_unfinished: instead of refusing unfinished runs.
        max_bytes: of a file.

    Raises:
        InputError: for a wrong name, a file that exists, unfinished runs, or damaged ones.
    """
    _check_names(file, without)
    every = sorted(list_runs(runs), key=lambda run: run.id)
    unfinished = [run.id for run in every if run.status == "unfinished"]
    listed = [run for run in every if run.status != "unfinished"]
    if unfinished and not leave_out_unfinished:
        raise InputError(
            f"{len(unfinished)} runs of {runs} are unfinished ({', '.join(unfinished[:3])}); let "
            "them end, or leave them out by --leave-out-unfinished"
        )
    if not listed:
        raise InputError(f"{runs} holds no finished or failed run that could be packed")
    copies = _copies(runs, file.parent, vectors, listed)
    shapes = shared_shapes([run.metrics() for run in listed])
    packed = (
        (run.id, _tensors(run, vectors, precision), _line(run, shapes, vectors, without))
        for run in listed
    )
    parts = list(_parts(packed, max_bytes))
    paths = _paths(file, len(parts))
    for path, (lines, tensors) in zip(paths, parts, strict=True):
        header = Header(
            format=PACK_FORMAT,
            version=__version__,
            runs=len(lines),
            vectors=vectors,
            precision=precision,
            left_out=list(without),
            files=[path.name for path in paths],
            shapes=shapes,
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        if tensors:
            write_tensors(vectors_path(path), tensors, {"pack": path.name})
        end = json.dumps({"end": len(lines)})
        write_bytes(path, _gzip("\n".join([compact_json(header.model_dump()), *lines, end, ""])))
    for target, content in copies.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(target, content)
    _note_missing(listed, vectors)
    written = [p for path in paths for p in (path, vectors_path(path)) if p.is_file()]
    return Packing([*written, *copies], len(listed), unfinished)


def _check_names(file: Path, without: Sequence[str]) -> None:
    if not file.name.endswith(SUFFIX) or file.name == SUFFIX:
        raise InputError(f"{file}: expected a name that ends in {SUFFIX}, such as results{SUFFIX}")
    stem = file.name.removesuffix(SUFFIX)
    for known in [file, vectors_path(file), *file.parent.glob(f"{stem}-[0-9]*{SUFFIX}")]:
        if os.path.lexists(known):
            raise InputError(f"{known} exists; move it away, or give another name")
    check_folder(file.parent, "give a file in another folder")
    for name in without:
        if name not in OPTIONAL:
            raise InputError(f"{name!r} can't be left out; expected {', '.join(OPTIONAL)}")


def _paths(file: Path, count: int) -> list[Path]:
    if count == 1:
        return [file]
    stem, width = file.name.removesuffix(SUFFIX), len(str(count))
    return [file.with_name(f"{stem}-{i:0{width}}{SUFFIX}") for i in range(1, count + 1)]


def _copies(runs: Path, target: Path, vectors: Vectors, listed: Sequence[Run]) -> dict[Path, bytes]:
    """Studies, tables, claims, figures, and with all vectors maps and charts, by where they go."""
    if resolved(target) == resolved(runs):
        return {}
    paths = [path for pattern in COPIED for path in sorted(runs.glob(pattern))]
    if vectors == "all":
        maps = {(run.result or {}).get("map") for run in listed}
        paths += [runs / str(name) for name in sorted(filter(None, maps))]
        paths += list_charts(runs)
    copies: dict[Path, bytes] = {}
    for path in filter(Path.is_file, paths):
        content, copy = path.read_bytes(), target / path.relative_to(runs)
        if not copy.exists():
            copies[copy] = content
        elif copy.read_bytes() != content:
            raise InputError(f"{copy} exists and is not {path}; give a file in another folder")
    return copies


def _parts(
    runs: Iterable[tuple[str, dict[str, Tensor], Line]], max_bytes: int
) -> Iterator[tuple[list[str], dict[str, Tensor]]]:
    """Lines and vectors by run and name, of as many runs as a file has room for, in their order."""
    lines, stored = [], {}
    size, vectors_size = 0, 0
    for run, tensors, content in runs:
        line = compact_json(content.model_dump())
        line_size = len(_gzip(line))
        tensors_size = sum(t.nbytes for t in tensors.values())
        full = size + line_size > max_bytes or vectors_size + tensors_size > max_bytes
        if full and lines:
            yield lines, stored
            lines, stored, size, vectors_size = [], {}, 0, 0
        lines.append(line)
        stored |= {f"{run}/{name}": t for name, t in tensors.items()}
        size, vectors_size = size + line_size, vectors_size + tensors_size
    yield lines, stored


def _line(run: Run, shapes: Sequence[Shape], vectors: Vectors, without: Sequence[str]) -> Line:
    kept, result = _kept(run, vectors), run.result
    left_out = [name for name in without if result and name in result]
    if result is not None:
        result = {key: value for key, value in result.items() if key not in left_out}
    return Line(
        id=run.id,
        config=run.config_text(),
        result=result,
        error=run.error,
        metrics=encode_rows(run.metrics(), shapes),
        records=run.records(),
        vectors=kept,
        about=None if kept == "none" else run.metadata(),
        left_out=[*run.left_out, *left_out],
    )


def _kept(run: Run, vectors: Vectors) -> Vectors:
    """The vectors that are kept of a run: what is asked for and there."""
    order: list[Vectors] = ["none", "final", "all"]
    return min(vectors, run.vectors, key=order.index)


def _tensors(run: Run, vectors: Vectors, precision: Precision) -> dict[str, Tensor]:
    kept = _kept(run, vectors)
    if kept == "none":
        return {}
    found = run.tensors()
    if kept == "final":
        found = {name: t for name, t in found.items() if name.startswith("final/")}
    for name, tensor in found.items():
        half = tensor.half() if precision == "float16" and tensor.dtype == torch.float32 else tensor
        found[name] = half if half.isfinite().all() else tensor
    return found


def _note_missing(runs: Sequence[Run], vectors: Vectors) -> None:
    """Note how many prompts are packed without the vectors that were asked for."""
    prompts = [run for run in runs if run.result and run.config["prompt"]["mode"] != "none"]
    missing = [run.id for run in prompts if _kept(run, vectors) != vectors]
    if missing:
        some = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
        note(f"{len(missing)} of {len(prompts)} prompts have no vectors to keep ({some})")


def _gzip(text: str) -> bytes:
    """Compress as gzip does, without a time, by a strategy that suits digits (8 % smaller)."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31, 5, zlib.Z_FILTERED)
    return packer.compress(text.encode()) + packer.flush()
