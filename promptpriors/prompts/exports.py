"""Folders that are handed to other software: each appears whole or not at all."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors
from torch import Tensor

from promptpriors.errors import InputError
from promptpriors.files import write_tensors
from promptpriors.paths import check_folder, resolved

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
"""The files of a PEFT adapter."""
EMBEDDINGS = "prompt.safetensors"
"""The file of a prompt's embeddings."""
MARK = "export"
"""Stands in the metadata of what we export, and in no other file of ours."""


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
    names = {path.name for path in folder.iterdir()}
    foreign = sorted(names - {CONFIG, WEIGHTS, EMBEDDINGS})
    ours = any(_is_export(folder / name) for name in (WEIGHTS, EMBEDDINGS))
    if names and (foreign or not ours):
        raise InputError(
            f"{folder} is no earlier export of ours: it holds {(foreign or sorted(names))[0]}\n"
            "Nothing was written; name a new or an empty folder"
        )


def write_export(path: Path, name: str, rows: Tensor, metadata: Mapping[str, Any]) -> None:
    """Write one tensor as safetensors, float32, with ``metadata`` as its only metadata entry."""
    write_tensors(path, {name: rows.detach().float()}, metadata)


def _is_export(path: Path) -> bool:
    try:
        with safetensors.safe_open(path, framework="pt") as file:  # pyright: ignore[reportPrivateImportUsage]
            return MARK in json.loads((file.metadata() or {}).get("promptpriors", "{}"))
    except (safetensors.SafetensorError, OSError, ValueError):
        return False
