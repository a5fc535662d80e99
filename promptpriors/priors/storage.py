"""Priors on disk: JSON for what they are, safetensors for their numbers; nothing is executed."""

import sys
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from promptpriors.errors import InputError
from promptpriors.files import read_json, read_tensors, write_json, write_tensors
from promptpriors.types import Prior

FORMAT = 1
"""Version of the folder; raised whenever an old one would be read wrongly."""


def save(prior: Prior, folder: str | Path, table: Mapping[str, Any]) -> Path:
    """Write a prior into a folder: ``prior.safetensors``, then ``prior.json``.

    Args:
        prior: fitted by a row of ``table``.
        folder: made when missing; an earlier prior in it is replaced.
        table: ``PRIORS``.

    Raises:
        InputError: for a prior of a class that no row's module defines, or a folder that can't be
            written.
    """
    folder = Path(folder)
    tensors: dict[str, Tensor] = {}
    plain = _plain(prior, "", tensors, {cls: name for name, cls in _classes(table).items()})
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "prior.json").unlink(missing_ok=True)
        write_tensors(folder / "prior.safetensors", tensors, {"format": FORMAT})
        write_json(folder / "prior.json", {"format": FORMAT, "prior": plain})
    except OSError as error:
        raise InputError(f"the prior can't be written to {folder}: {error.strerror}") from None
    return folder


def load(folder: str | Path, table: Mapping[str, Any]) -> Prior:
    """Read a prior back; its draws and densities are the same to the bit.

    Raises:
        InputError: for a missing or damaged folder, or one of another format.
    """
    folder = Path(folder)
    if not (folder / "prior.json").is_file():
        raise InputError(f"{folder} is no folder of a prior: it has no prior.json")
    whole = read_json(folder / "prior.json")
    if not isinstance(whole, dict) or whole.get("format") != FORMAT or "prior" not in whole:
        raise InputError(f"{folder / 'prior.json'} is not a prior of format {FORMAT}")
    tensors = read_tensors(folder / "prior.safetensors")[0]
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise InputError(f"{folder / 'prior.safetensors'} is damaged: {name} is not finite")
    try:
        prior = _built(whole["prior"], tensors, _classes(table))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{folder} is damaged or of another version ({type(error).__name__}: {error}); fit and "
            "save the prior again"
        ) from None
    if not isinstance(prior, Prior):
        raise InputError(f"{folder} holds no prior")
    return prior


def _classes(table: Mapping[str, Any]) -> dict[str, type]:
    """The dataclasses of the modules whose functions stand in the table, by module and name."""
    found: dict[str, type] = {}
    for fit in table.values():
        for value in vars(sys.modules[fit.__module__]).values():
            if isinstance(value, type) and is_dataclass(value):
                found[f"{value.__module__.rpartition('.')[2]}.{value.__name__}"] = value
    return found


def _plain(value: Any, path: str, tensors: dict[str, Tensor], names: Mapping[type, str]) -> Any:
    """``value`` as JSON; its tensors go into ``tensors``, called by their path."""
    if isinstance(value, Tensor):
        tensors[path] = value.clone()  # safetensors refuses tensors that share memory
        return {"tensor": path}
    if isinstance(value, tuple | list):
        parts = [_plain(v, f"{path}/{i}", tensors, names) for i, v in enumerate(value)]
        return {"tuple": parts} if isinstance(value, tuple) else {"list": parts}
    if is_dataclass(value) and type(value) in names:
        inner = {
            field.name: _plain(
                getattr(value, field.name), f"{path}/{field.name}".lstrip("/"), tensors, names
            )
            for field in fields(value)
        }
        return {"class": names[type(value)], "fields": inner}
    if value is None or isinstance(value, bool | int | float | str):
        return {"value": value}
    raise InputError(
        f"a prior with a {type(value).__name__} ({path or 'the prior itself'}) can't be saved; "
        "expected one that was fitted by fit_prior"
    )


def _built(plain: Any, tensors: Mapping[str, Tensor], classes: Mapping[str, type]) -> Any:
    (kind,) = set(plain) - {"fields"}
    inner = plain[kind]
    if kind == "tensor":
        return tensors[inner]
    if kind in {"tuple", "list"}:
        return {"tuple": tuple, "list": list}[kind](_built(v, tensors, classes) for v in inner)
    if kind == "value":
        return inner
    cls, given = classes[inner], plain["fields"]
    if set(given) != {field.name for field in fields(cls)}:
        raise ValueError(f"{inner} has the fields {sorted(given)}")
    return cls(**{name: _built(value, tensors, classes) for name, value in given.items()})
