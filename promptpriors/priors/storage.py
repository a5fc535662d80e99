"""Priors on disk: JSON for what they are, safetensors for their numbers; nothing is executed."""

import sys
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import torch
from jaxtyping import jaxtyped
from torch import Tensor

from promptpriors.errors import InputError, suggest
from promptpriors.files import read_json, read_tensors, write_json, write_tensors
from promptpriors.types import Prior

FORMAT = 1  # version of the folder; raised whenever an old one would be read wrongly
REMEDY = "Fit and save the prior again"


def save(prior: Prior, folder: str | Path, table: Mapping[str, Any]) -> Path:
    """Write a prior into a folder: ``prior.safetensors``, then ``prior.json``.

    The folder is made when missing; an earlier prior in it is replaced. ``table`` is ``PRIORS``.

    Raises:
        InputError: for a prior of a class that no row's module defines, or a folder that can't be
            written.
    """
    folder = Path(folder)
    tensors: dict[str, Tensor] = {}
    names = {cls: name for name, cls in _classes(table).items()}
    plain = _plain(prior, "", tensors, names)
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

    Every field's type and shape is checked against the annotations of its class.

    Raises:
        InputError: for a missing or damaged folder, or one of another format.
    """
    folder = Path(folder)
    file, numbers = folder / "prior.json", folder / "prior.safetensors"
    if not file.is_file():
        raise InputError(f"{folder} is no folder of a prior: it has no prior.json")
    try:
        whole, tensors = read_json(file), read_tensors(numbers)[0]
    except InputError as error:
        raise InputError(f"{error}\n{REMEDY}") from None
    if not isinstance(whole, dict) or whole.get("format") != FORMAT or "prior" not in whole:
        raise InputError(f"{file} is not a prior of format {FORMAT}\n{REMEDY}")
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise InputError(f"{numbers} is damaged: {name} is not finite\n{REMEDY}")
    try:
        prior = _built(whole["prior"], "prior", tensors, _classes(table))
    except (InputError, RecursionError) as error:
        raise InputError(f"{file} is damaged or of another version: {error}\n{REMEDY}") from None
    if tensors:
        raise InputError(f"{numbers} is damaged: {min(tensors)} belongs to nothing\n{REMEDY}")
    if not isinstance(prior, Prior):
        raise InputError(f"{file} holds no prior\n{REMEDY}")
    return prior


def _classes(table: Mapping[str, Any]) -> dict[str, type]:
    """The dataclasses of the modules whose functions stand in the table, by module and name."""
    modules = [vars(sys.modules[fit.__module__]) for fit in table.values()]
    classes = [c for m in modules for c in m.values() if isinstance(c, type) and is_dataclass(c)]
    return {f"{cls.__module__.rpartition('.')[2]}.{cls.__name__}": cls for cls in classes}


def _plain(value: Any, path: str, tensors: dict[str, Tensor], names: Mapping[type, str]) -> Any:
    """``value`` as JSON; its tensors go into ``tensors``, called by their path."""
    if isinstance(value, Tensor):
        tensors[path] = value.clone()  # safetensors refuses tensors that share memory
        return {"tensor": path}
    if isinstance(value, tuple):
        return {"tuple": [_plain(v, f"{path}/{i}", tensors, names) for i, v in enumerate(value)]}
    if is_dataclass(value) and type(value) in names:
        places = {field.name: f"{path}/{field.name}".lstrip("/") for field in fields(value)}
        inner = {k: _plain(getattr(value, k), at, tensors, names) for k, at in places.items()}
        return {"class": names[type(value)], "fields": inner}
    if value is None or isinstance(value, bool | int | float | str):
        return {"value": value}
    raise InputError(
        f"a prior with a {type(value).__name__} ({path or 'the prior itself'}) can't be saved; "
        "expected one that was fitted by fit_prior"
    )


def _built(plain: Any, path: str, tensors: dict[str, Tensor], classes: Mapping[str, type]) -> Any:
    """What ``plain`` says; the tensors that it names are taken out of ``tensors``."""
    match plain:
        case {"tensor": str(name)} if name in tensors:
            return tensors.pop(name)
        case {"tensor": name}:
            raise InputError(f"{path}: there is no tensor {name!r} for it alone")
        case {"value": value}:
            return value
        case {"tuple": list(parts)}:
            return tuple(_built(v, f"{path}[{i}]", tensors, classes) for i, v in enumerate(parts))
        case {"class": str(name), "fields": dict(given)}:
            if name not in classes:
                raise InputError(f"{path}: unknown class {name!r}.{suggest(name, classes)}")
            inner = {k: _built(v, f"{path}.{k}", tensors, classes) for k, v in given.items()}
            return _instance(classes[name], inner, path)
    raise InputError(f"{path}: expected a class, tensor, value or tuple")


def _instance(cls: Any, given: Mapping[str, Any], path: str) -> Any:
    """A dataclass from fields that are what its annotations say."""
    known = {field.name for field in fields(cls)}
    hints = {name: hint for name, hint in get_type_hints(cls).items() if name in known}
    for name in (name for name in {**hints, **given} if (name in hints) != (name in given)):
        wrong = "lacks the field" if name in hints else "has no field"
        raise InputError(f"{path}: {cls.__name__} {wrong} {name!r}")
    with jaxtyped("context"):  # equal axis words are equal sizes within one instance
        for name, hint in hints.items():
            value, plain = given[name], isinstance(hint, type) and hint not in {int, float}
            if not (isinstance(value, hint) if plain else _fits(value, hint)):
                expected = hint.__name__ if isinstance(hint, type) else str(hint)
                raise InputError(f"{path}.{name}: expected {expected}, found {_shown(value)}")
    return cls(**given)


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of an annotated type: an int is a float, no bool or infinity a number."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in {Union, UnionType}:
        return any(_fits(value, part) for part in inner)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        every = (inner[0],) * len(value) if inner[-1] is Ellipsis else inner
        return len(value) == len(every) and all(map(_fits, value, every))
    if hint in {int, float}:
        number = isinstance(value, (int, hint)) and not isinstance(value, bool)
        return number and abs(value) <= sys.float_info.max
    if origin is Literal:
        return value in inner
    return isinstance(value, hint)


def _shown(value: Any) -> str:
    """A short description of a value, for messages."""
    if isinstance(value, Tensor):
        return f"a {str(value.dtype).removeprefix('torch.')} tensor of shape {tuple(value.shape)}"
    return repr(value) if isinstance(value, bool | int | float | str) else type(value).__name__
