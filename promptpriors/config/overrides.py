"""Overrides of single config values, by dotted key or by section."""

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from promptpriors.errors import InputError, brief

SECTIONS = ("prompt", "train", "capture", "device")  # whose values are replaced one by one


def override(config: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """Copy a config with single values replaced.

    >>> override({"train": {"steps": 1}}, ["train.steps=5", "prior.name=xavier"])
    {'train': {'steps': 5}, 'prior': {'name': 'xavier'}}
    """
    result = dict(config)
    for item in overrides:
        key, equals, text = item.partition("=")
        if not equals or not key:
            raise InputError(f"override {brief(item)}: expected key=value, such as train.lr=1e-3")
        try:
            result = put(result, key.strip(), _value(text))
        except InputError as error:
            raise InputError(f"override {brief(item)}: {error}") from None
    return result


def put(config: Mapping[str, Any], key: str, value: Any) -> dict[str, Any]:
    """Copy a config with the value at a dotted key replaced.

    >>> put({"prior": "xavier"}, "prior.name", "isotropic")
    {'prior': {'name': 'isotropic'}}

    Raises:
        InputError: if the key leads through a value.
    """
    head, dot, rest = key.partition(".")
    if not dot:
        return {**config, head: value}
    inner = config.get(head, {})
    if isinstance(inner, str) and head in {"task", "prior"}:
        inner = {"name": inner}
    if not isinstance(inner, Mapping):
        raise InputError(f"{brief(head)} is a value, not a section")
    return {**config, head: put(inner, rest, value)}


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Merge changes into a config by section; a prior or a task is replaced.

    >>> merged({"train": {"steps": 1, "batch": 2}}, {"train": {"steps": 3}})
    {'train': {'steps': 3, 'batch': 2}}
    """
    result = dict(base)
    for key, value in changes.items():
        inner = result.get(key)
        mixed = key not in {"prior", "task"} and isinstance(value, Mapping)
        result[key] = merged(inner, value) if mixed and isinstance(inner, Mapping) else value
    return result


def flat(overrides: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Flatten overrides into dotted keys; priors and tasks stay whole."""
    for key, value in overrides.items():
        if key in SECTIONS and isinstance(value, Mapping):
            yield from ((f"{key}.{inner}", content) for inner, content in value.items())
        else:
            yield key, value


def _value(text: str) -> Any:
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    except (ValueError, RecursionError) as error:
        raise InputError(f"override value {brief(text)}: {error}") from None
    return parsed["value"] if len(parsed) == 1 else text
