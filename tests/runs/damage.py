"""Damage to the files of a run: each value of each file in turn replaced by something else."""

import json
import math
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import tomli_w
import torch

from promptpriors.files import read_tensors, write_tensors

WRONG: tuple[Any, ...] = (
    None, "x", "", "nan", [], [[]], {}, {"a": {}}, True, -1, 0.5, 1e308, 10**400, math.nan,
    -math.inf,
)  # fmt: skip
"""What a value is replaced by."""


class Damage(NamedTuple):
    """A damaged file: what was done, and the function that does it to a folder's file."""

    name: str
    apply: Callable[[Path], object]


def damages(path: Path) -> Iterator[Damage]:
    """Damages to a file, by its kind."""
    kinds = {".json": _json, ".jsonl": _lines, ".toml": _toml, ".safetensors": _tensors}
    inner = list(kinds[path.suffix](path))
    for kind, content in {"empty": b"", "bytes": b"\xff\x00\xfe", "half": None}.items():
        whole = path.read_bytes()
        part = whole[: len(whole) // 2] if content is None else content
        yield Damage(kind, lambda file, part=part: file.write_bytes(part))
    yield from inner


def _changed(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Copies of a value, each with one inner value replaced or left out."""
    for wrong in WRONG:
        yield f"{place or 'all'} = {str(wrong)[:20]}", wrong
    if isinstance(value, dict):
        for key, inner in value.items():
            yield f"{place}.{key} is gone", {k: v for k, v in value.items() if k != key}
            for name, changed in _changed(inner, f"{place}.{key}"):
                yield name, {**value, key: changed}
    if isinstance(value, list):
        for i, inner in list(enumerate(value))[:1]:
            for name, changed in _changed(inner, f"{place}[{i}]"):
                yield name, [*value[:i], changed, *value[i + 1 :]]


def _json(path: Path) -> Iterator[Damage]:
    for name, value in _changed(json.loads(path.read_text())):
        text = json.dumps(value)
        yield Damage(name, lambda file, text=text: file.write_text(text))


def _lines(path: Path) -> Iterator[Damage]:
    first, *others = path.read_text().splitlines()
    for name, value in _changed(json.loads(first)):
        text = "\n".join([json.dumps(value), *others, ""])
        yield Damage(f"line 1: {name}", lambda file, text=text: file.write_text(text))


def _toml(path: Path) -> Iterator[Damage]:
    for name, value in _changed(tomllib.loads(path.read_text())):
        try:
            text = tomli_w.dumps(value)
        except (TypeError, AttributeError, ValueError):  # TOML has no null
            continue
        yield Damage(name, lambda file, text=text: file.write_text(text))


def _tensors(path: Path) -> Iterator[Damage]:
    tensors, metadata = read_tensors(path)

    def written(name: str, changed: dict[str, torch.Tensor], about: Any = metadata) -> Damage:
        return Damage(name, lambda file: write_tensors(file, changed, about))

    for name, tensor in tensors.items():
        ways = {
            "transposed": tensor.T if tensor.ndim == 2 else tensor[None],
            "whole numbers": tensor.long(),
            "complex": tensor.to(torch.complex64),
            "halved": tensor[: len(tensor) // 2],
            "none": tensor[:0],
            "flat": tensor.flatten(),
            "NaN": torch.full(tensor.shape, math.nan),
            "infinite": torch.full(tensor.shape, math.inf),
        }
        for way, changed in ways.items():
            yield written(f"{name} {way}", {**tensors, name: changed.contiguous()})
        yield written(f"{name} is gone", {k: v for k, v in tensors.items() if k != name})
    for name, about in _changed(metadata):
        if isinstance(about, dict):
            yield written(f"metadata {name}", tensors, about)
