"""Capture: documents are read in order and kept shard by shard, so a later start goes on."""

import hashlib
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch
from filelock import FileLock, Timeout
from torch import Tensor

from promptpriors.activations.chains import chain_sums
from promptpriors.activations.reading import Reader, Reading
from promptpriors.activations.store import (
    MANIFEST,
    Plan,
    metadata_of,
    read_manifest,
    write_manifest,
)
from promptpriors.activations.texts import SPECIAL, Text, documents, filled, read_texts
from promptpriors.errors import InputError, WorkError
from promptpriors.files import write_tensors
from promptpriors.models import Backbone
from promptpriors.progress import OnProgress, silent
from promptpriors.prompts import Prompt
from promptpriors.types import Example, Site

DTYPES = {"float16": torch.float16, "float32": torch.float32}
SHARD_BYTES = 64 * 2**20
"""Activations of a shard, about; memory stays at a few of them."""


class Captured(NamedTuple):
    """Outcome of a capture.

    Attributes:
        folder: the store.
        documents: in it.
        examples: in it.
        tokens: rows in it.
        computed: documents that were read now; the others were there.
        seconds: of reading and writing now.
    """

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
                tensors = _tensors(reader, shard, plan, documents_read)
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


def _tensors(
    reader: Reader, shard: Sequence[Sequence[Text]], plan: Plan, first: int
) -> dict[str, Tensor]:
    """The contents of a shard of documents, the first of which has the number ``first``."""
    parts: dict[str, list[Tensor]] = {}
    rows = texts = 0
    for number, reading in enumerate(reader.read(shard)):
        found = {
            f"site/{site}": _kept(value, site, reading, shard[number], plan)
            for site, value in reading.states.items()
        }
        size = len(next(iter(found.values())))
        found |= _structure(reading, plan, rows, texts)
        found["document"] = torch.full((size,), first + number)
        for name, value in found.items():
            parts.setdefault(name, []).append(value)
        rows += len(reading.tokens)
        texts += len(reading.last)
    joined = {name: torch.cat(values) for name, values in parts.items()}
    # whole numbers in four bytes
    return {k: v if v.is_floating_point() else v.to(torch.int32) for k, v in joined.items()}


def _structure(reading: Reading, plan: Plan, rows: int, texts: int) -> dict[str, Tensor]:
    """What a document's rows are, numbered within the shard."""
    if plan.what == "mean":
        return {"count": _counts(reading)}
    before = torch.where(reading.before < 0, reading.before, reading.before + rows)
    return {
        "token": reading.tokens,
        "position": reading.positions,
        "role": reading.roles,
        "example": reading.example + texts,
        "before": before,
        "last": reading.last + rows,
    }


def _counts(reading: Reading) -> Tensor:
    ones = _ordinary(reading).float()[:, None]
    return chain_sums(ones, reading.before, reading.positions)[reading.last, 0].long()


def _ordinary(reading: Reading) -> Tensor:
    """Tokens that count by default: neither the first, an attention sink, nor special ones."""
    return (reading.positions > 0) & (reading.roles != SPECIAL)


def _kept(
    value: Tensor, site: Site, reading: Reading, document: Sequence[Text], plan: Plan
) -> Tensor:
    """Activations as they are kept; refused if they are not finite."""
    states = value.to("cpu", torch.float32)
    kept = states.to(DTYPES[plan.dtype])
    bad = ~torch.isfinite(kept).all(dim=1)
    if bool(bad.any()):
        row = int(bad.nonzero()[0])
        where = f"example {document[int(reading.example[row])].id!r}, token "
        where += f"{int(reading.positions[row])}"
        if bool(torch.isfinite(states[row]).all()):
            raise InputError(
                f"the activations at {site} are too large for {plan.dtype} ({where}); "
                "set capture.dtype to 'float32'"
            )
        raise InputError(
            f"the activations at {site} are not finite ({where}); leave the example out, or try "
            "device.dtype = 'float32'"
        )
    if plan.what == "tokens":
        return kept
    counted = states * _ordinary(reading)[:, None]
    sums = chain_sums(counted, reading.before, reading.positions)[reading.last]
    return (sums / _counts(reading).clamp_min(1)[:, None]).to(DTYPES[plan.dtype])


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
