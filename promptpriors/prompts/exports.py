"""Folders that are handed to other software: each appears whole or not at all."""

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors
from torch import Tensor

from promptpriors.errors import InputError
from promptpriors.files import write_tensors
from promptpriors.models import Backbone
from promptpriors.paths import check_folder, resolved

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
"""The files of a PEFT adapter."""
EMBEDDINGS = "prompt.safetensors"
"""The file of a prompt's embeddings."""
README, MODEL = "README.md", "model"
"""What users must know, and the folder with the model, where that was asked for."""
MARK, LISTED = "export", "files"
"""Stand in the metadata of what we export, and in no other file of ours: the kind of the export,
and the sizes of the other files that were written with it, by name."""


@contextmanager
def new_folder(folder: str | Path) -> Iterator[Path]:
    """A folder to write into, which takes the place of ``folder`` when the block ends well.

    Raises:
        InputError: if ``folder`` holds anything but an earlier export.
    """
    folder = resolved(Path(folder))
    check_free(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh, old = (folder.with_name(f".{folder.name}.{os.getpid()}.{w}") for w in ("tmp", "old"))
    fresh.mkdir()
    try:
        yield fresh
        if folder.exists():
            folder.rename(old)
        fresh.rename(folder)
    finally:
        if old.exists() and not folder.exists():
            old.rename(folder)
        for stale in (fresh, old):
            shutil.rmtree(stale, ignore_errors=True)


def check_free(folder: Path) -> None:
    """Refuse a folder that can't be made, or that holds anything but an earlier export.

    Raises:
        InputError: naming what it holds, or why it can't be made.
    """
    if not resolved(folder).exists():
        check_folder(folder, "name another folder")
        return
    if not folder.is_dir():
        kind = "a file" if folder.is_file() else "no folder"
        raise InputError(f"{folder} is {kind}; expected a folder")
    marks = [_mark(folder / name) for name in (WEIGHTS, EMBEDDINGS)]
    listed = {k: v for mark in marks for k, v in mark.get(LISTED, {}).items()}
    names = sorted(path.name for path in folder.iterdir())
    foreign = next(_foreign(folder, names, listed), None)
    if names and (foreign or not any(marks)):
        raise InputError(
            f"{folder} is no earlier export of ours: it holds {foreign or names[0]}\n"
            "Nothing was written; name a new or an empty folder"
        )


def write_export(path: Path, name: str, rows: Tensor, metadata: Mapping[str, Any]) -> None:
    """Write one tensor as safetensors, float32, with ``metadata`` as its only metadata entry.

    It is written last: its metadata lists what else is in the folder.
    """
    others = sorted(p for p in path.parent.rglob("*") if p.is_file() and p.name != CONFIG)
    sizes = {p.relative_to(path.parent).as_posix(): p.stat().st_size for p in others}
    write_tensors(path, {name: rows.detach().float()}, {**metadata, LISTED: sizes})


def write_model(backbone: Backbone, folder: Path) -> None:
    """Write a model and its tokenizer as ``from_pretrained`` of transformers loads them.

    Raises:
        InputError: if transformers refuses to, as it does with settings that it calls invalid.
    """
    try:
        backbone.model.save_pretrained(folder)
        backbone.tokenizer.save_pretrained(folder)
    except ValueError as error:
        first = str(error).strip().split("\n")[0]
        raise InputError(
            f"transformers does not write model {backbone.name!r}: {first}\n"
            "Export without --with-model"
        ) from None


def _foreign(folder: Path, names: Iterable[str], listed: Mapping[str, int]) -> Iterator[str]:
    """What an earlier export did not write, or what was changed since."""
    ours = {name.split("/")[0] for name in listed}
    for name in names:
        if name in {CONFIG, WEIGHTS, EMBEDDINGS}:
            continue
        path = folder / name
        if name not in ours or path.is_symlink():
            yield name
            continue
        for part in sorted(path.rglob("*")) if path.is_dir() else [path]:
            inside = part.relative_to(folder).as_posix()
            if part.is_symlink() or (part.is_file() and part.stat().st_size != listed.get(inside)):
                yield inside + (", which was changed since" if inside in listed else "")


def _mark(path: Path) -> dict[str, Any]:
    """The metadata of a file that we exported; empty for any other."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:  # pyright: ignore[reportPrivateImportUsage]
            found = json.loads((file.metadata() or {}).get("promptpriors", "{}"))
    except (safetensors.SafetensorError, OSError, ValueError):
        return {}
    ours = isinstance(found, dict) and MARK in found and isinstance(found.get(LISTED, {}), dict)
    return found if ours else {}
