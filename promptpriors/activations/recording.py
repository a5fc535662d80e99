"""Capture: documents are read in order and kept shard by shard, so a later start goes on."""

import hashlib
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout
from torch import Tensor

from promptpriors.activations.reading import Reader
from promptpriors.activations.shards import DTYPES, tensors_of
from promptpriors.activations.store import (
    MANIFEST,
    Plan,
    metadata_of,
    read_manifest,
    write_manifest,
)
from promptpriors.activations.texts import documents, filled, read_texts
from promptpriors.errors import InputError, WorkError
from promptpriors.files import write_tensors
from promptpriors.models import Backbone
from promptpriors.progress import OnProgress, silent
from promptpriors.prompts import Prompt
from promptpriors.types import Example

SHARD_BYTES = 64 * 2**20
"""Activations of a shard, about; memory stays at a few of them."""


class Captured(NamedTuple):
    """What is in a store now; ``computed`` documents were captured just now, in ``seconds``."""

    folder: Path
    documents: int
    examples: int
    tokens: int
    computed: int
    seconds: float


def capture(
    backbone: Backbone,
    examples: Iterable[Example],
    plan: Plan,
    folder: Path,
    *,
    prompt: Prompt | None = None,
    wait: bool = False,
    stage: str = "capturing",
    on_progress: OnProgress = silent,
) -> Captured:
    """Read documents and keep what passes the plan's sites; what is there is not read again.

    Args:
        backbone: the frozen model.
        examples: in a fixed order; taken one after another, never held.
        plan: what is captured.
        folder: the store; made when missing.
        prompt: stands before every text.
        wait: for another process that writes the same store, instead of refusing.
        stage: name of this work for ``on_progress``.
        on_progress: called with the stage and the share done.

    Raises:
        InputError: for a site that the model does not have, texts that do not fit, activations that
            are not finite, or a folder that holds something else or is in use.
        WorkError: if the disk fails or is full; what was written stays valid.
    """
    began = time.perf_counter()
    reader = Reader(backbone, plan.sites, prompt=prompt, longest=plan.tokens)
    documents_read = texts_read = rows = computed = 0
    with _held(folder, plan, wait=wait):
        write_manifest(folder, plan)
        chosen = islice(documents(examples), plan.documents)
        texts = (read_texts(backbone, document, plan.tokens) for document in chosen)
        width = len(plan.sites) * backbone.dim * DTYPES[plan.dtype].itemsize
        # where a shard ends depends on the texts alone
        shards = filled((texts_of for texts_of in texts if texts_of), SHARD_BYTES // width)
        for number, shard in enumerate(shards):
            path = folder / f"shard-{number:05d}.safetensors"
            digest = hashlib.sha256(repr((shard, list(plan.sites))).encode()).hexdigest()
            stamp = {"key": plan.key, "shard": number, "digest": digest}
            known = metadata_of(path)
            if known is None or any(known.get(key) != value for key, value in stamp.items()):
                tensors = tensors_of(reader, shard, plan, documents_read)
                ids = [text.id for document in shard for text in document]
                known = {**stamp, "ids": ids, "rows": len(tensors["document"])}
                _write(path, tensors, known)
                computed += len(shard)
            documents_read += len(shard)
            texts_read += len(known["ids"])
            rows += known["rows"]
            on_progress(stage, min(1.0, documents_read / plan.documents), {})
        if not documents_read:
            raise InputError("nothing to capture: no example has any tokens")
        if prompt is not None:
            _write(folder / "prompt.safetensors", reader.prompt_rows(), {"run": plan.prompt})
        write_manifest(folder, plan, documents_read=documents_read, examples=texts_read, rows=rows)
    seconds = time.perf_counter() - began
    return Captured(folder, documents_read, texts_read, rows, computed, seconds)


def content_of(examples: Iterable[Example], count: int) -> str:
    """Hash of the first ``count`` documents of some examples, in hex digits."""
    digest = hashlib.sha256()
    for document in islice(documents(examples), count):
        digest.update(repr([tuple(example) for example in document]).encode())
    return digest.hexdigest()


def _write(path: Path, tensors: dict[str, Tensor], known: dict[str, Any]) -> None:
    try:
        write_tensors(path, tensors, known)
    except OSError as error:
        raise WorkError(
            f"{path} can't be written ({error.strerror}); what was written before stays valid\n"
            "Make room and give the same command again: it goes on from there"
        ) from None


@contextmanager
def _held(folder: Path, plan: Plan, *, wait: bool) -> Iterator[None]:
    """Hold a store for this process alone, if the folder is empty or holds the same plan."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"the store {folder} can't be made ({error.strerror}); set capture.out to another"
        ) from None
    try:
        lock = FileLock(folder / ".lock", timeout=-1 if wait else 0).acquire()
    except Timeout:
        raise InputError(
            f"store {folder} is being written by another process; wait for it to end"
        ) from None
    with lock:
        for stale in folder.glob(".*.tmp"):  # left by a process that was killed
            stale.unlink(missing_ok=True)
        if (folder / MANIFEST).exists():
            there = read_manifest(folder)
            if there["key"] != plan.key or tuple(there["sites"]) != plan.sites:
                raise InputError(
                    f"{folder} holds another capture (of {there['model']}, {there['task']['name']},"
                    f" {', '.join(there['sites'])}); set capture.out to another"
                )
        elif others := [path.name for path in folder.iterdir() if path.name != ".lock"]:
            raise InputError(
                f"{folder} holds {others[0]!r} and is no store; set capture.out to a new or an "
                "empty folder"
            )
        yield
