"""Rows of metrics as columns of small integers, which compress well and come back exactly.

A column of floats is often an integer times a power of two (losses in float32, clock readings), or
a multiple of a schedule that many runs share (learning rates). What is neither is kept as it is.
"""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from promptpriors.errors import InputError

Row = dict[str, Any]
Shape = list[float]
"""A schedule, whose largest value is 1."""

MAX_INTEGER = 2**53
"""Integers below this are floats without rounding."""
MAX_BITS = 1000
"""Binary places up to which a power of two and its reciprocal are ordinary floats."""
DECIMALS = 9
"""Places to which two schedules must agree to be one."""


def shared_shapes(runs: Sequence[Sequence[Row]]) -> list[Shape]:
    """Find the schedules that at least two columns of these runs' metrics follow."""
    found: dict[tuple[float, ...], Shape] = {}
    counts: Counter[tuple[float, ...]] = Counter()
    for rows in runs:
        for values in (_columns(rows) or {}).values():
            if (shape := _shape_of(values)) is not None:
                key = _key(shape)
                found.setdefault(key, shape)
                counts[key] += 1
    return [shape for key, shape in found.items() if counts[key] > 1]


def encode_rows(rows: Sequence[Row], shapes: Sequence[Shape] = ()) -> dict[str, Any]:
    """Encode the rows of a run's metrics as JSON values.

    ``decode_rows`` gives back equal rows, to the last bit of every float. Schedules are referred to
    by their number among ``shapes``.

    >>> encode_rows([{"step": 0, "loss": 0.5}, {"step": 1, "loss": 0.25}])
    {'columns': [['step', {'differences': [0, 1]}], ['loss', [0.5, 0.25]]]}
    """
    columns = _columns(rows)
    if columns is None:
        return {"rows": list(rows)}
    numbers = {_key(shape): number for number, shape in enumerate(shapes)}
    encoded = {
        "columns": [[*key, _encode(values, shapes, numbers)] for key, values in columns.items()]
    }
    same = compact_json(decode_rows(encoded, shapes)) == compact_json(rows)
    return encoded if same else {"rows": list(rows)}


def decode_rows(encoded: Mapping[str, Any], shapes: Sequence[Shape] = ()) -> list[Row]:
    """Decode what ``encode_rows`` made.

    Raises:
        InputError: if it is nothing of the kind.
    """
    try:
        if "rows" in encoded:
            return [dict(row) for row in encoded["rows"]]
        columns = [(key, _decode(content, shapes)) for *key, content in encoded["columns"]]
        rows: list[Row] = [{} for _ in columns[0][1]] if columns else []
        for key, values in columns:
            if not all(isinstance(part, str) for part in key):
                raise TypeError(f"expected the name of a column, found {key}")
            for row, value in zip(rows, values, strict=True):
                target = row.setdefault(key[0], {}) if len(key) > 1 else row
                target[key[-1]] = value
    except (AttributeError, LookupError, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"the metrics are damaged: {error!r}") from None
    return rows


def _columns(rows: Sequence[Row]) -> dict[tuple[str, ...], list[Any]] | None:
    """Values by key, of an inner mapping by both keys; None where rows differ in their keys."""
    flat = [_flat(row) for row in rows]
    keys = list(flat[0]) if flat else []
    if not keys or any(list(row) != keys for row in flat):
        return None
    return {key: [row[key] for row in flat] for key in keys}


def _flat(row: Row) -> dict[tuple[str, ...], Any]:
    flat: dict[tuple[str, ...], Any] = {}
    for key, value in row.items():
        inner = value if isinstance(value, dict) else {}
        flat |= {(key, name): v for name, v in inner.items()} or {(key,): value}
    return flat


def _encode(values: list[Any], shapes: Sequence[Shape], numbers: Mapping[Any, int]) -> Any:
    shape = _shape_of(values)
    number = None if shape is None else numbers.get(_key(shape))
    if number is not None:  # a multiple of a schedule, its rounding in units of the last place
        times = max(values)
        nearly = np.array(shapes[number]) * times
        ulps = np.array(values).view(np.int64) - nearly.view(np.int64)
        content = {"shape": number, "times": times}
        return content | {"ulps": ulps.tolist()} if ulps.any() else content
    known = [value for value in values if value is not None]
    if known and all(type(value) is int for value in known):
        return {"differences": _differences(values)}
    if not all(type(value) is float and math.isfinite(value) for value in known) or not known:
        return values
    bits = max(value.as_integer_ratio()[1].bit_length() - 1 for value in known)
    if bits > MAX_BITS or max(map(abs, known)) * 2.0**bits >= MAX_INTEGER:
        return values
    whole = [None if value is None else int(value * 2.0**bits) for value in values]
    scaled = {"bits": bits, "differences": _differences(whole)}
    return min(values, scaled, key=lambda content: len(compact_json(content)))


def _decode(content: Any, shapes: Sequence[Shape]) -> list[Any]:
    if isinstance(content, list):
        return content
    if "shape" in content:
        found = np.array(shapes[content["shape"]]) * content["times"]
        if "ulps" in content:
            found = (found.view(np.int64) + np.array(content["ulps"])).view(np.float64)
        return found.tolist()
    scale = 2.0 ** -content["bits"] if "bits" in content else 1
    values, total = [], 0
    for difference in content["differences"]:
        total += difference or 0
        values.append(None if difference is None else total * scale)
    return values


def _differences(values: Sequence[int | None]) -> list[int | None]:
    found, last = [], 0
    for value in values:
        found.append(None if value is None else value - last)
        last = last if value is None else value
    return found


def _shape_of(values: Sequence[Any]) -> Shape | None:
    """A column over its largest value; None unless it is of floats from 0 up."""
    if not values or not all(type(value) is float for value in values):
        return None
    column = np.array(values)
    if not np.isfinite(column).all() or column.min() < 0 or column.max() == 0:
        return None
    return (column / column.max()).tolist()


def _key(shape: Shape) -> tuple[float, ...]:
    return tuple(np.round(shape, DECIMALS).tolist())


def compact_json(value: Any) -> str:
    """Write JSON without spaces, keys in their order."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
