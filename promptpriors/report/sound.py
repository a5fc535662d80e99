"""Files of a runs folder held against what they should be; whatever is not is named in a line."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from torch import Tensor

from promptpriors.errors import InputError
from promptpriors.runs import Chart, read_chart

Model = TypeVar("Model", bound=BaseModel)


def sound(model: type[Model], value: Any, where: str) -> Model:
    """A value read from JSON as ``model``.

    Raises:
        InputError: one line with the place and what is wrong there, for the first thing wrong.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(f"{where}{f', {place}' if place else ''}: {first['msg']}") from None


def sound_chart(path: Path) -> Chart:
    """A chart whose parts fit together.

    Raises:
        InputError: if the file is missing, damaged or no chart.
    """
    chart = read_chart(path)
    wrong = _words(chart) or _points(chart) or _prompts(chart)
    if wrong:
        raise InputError(f"{path} is not a chart: {wrong}")
    return chart


def _words(chart: Chart) -> str:
    lists = (chart.domains, chart.labels)
    if not all(isinstance(found, list) and all(map(_is_text, found)) for found in lists):
        return "domains and labels must be lists of strings"
    if not all(map(_is_text, (chart.model, chart.site, chart.title))):
        return "model, site and title must be strings"
    return ""


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _points(chart: Chart) -> str:
    n = len(chart.labels)
    if n == 0:
        return "it has no points"
    for name, points in chart.layouts.items():
        if points.shape != (n, 2) or not points.is_floating_point():
            return f"layout {name} must be {n} points of 2 coordinates"
        if not points.isfinite().all():
            return f"layout {name} has coordinates that are no numbers"
    numbers = (chart.domain, chart.document)
    if any(found.shape != (n,) or found.is_floating_point() for found in numbers):
        return f"domain and document must be {n} whole numbers"
    if chart.domain.min() < 0 or chart.domain.max() >= len(chart.domains):
        return f"domain must be a number below {len(chart.domains)}"
    return "" if chart.explained.shape == (2,) else "explained must be 2 shares"


def _prompts(chart: Chart) -> str:
    for name, ways in chart.prompts.items():
        if len({_size(way) for way in ways.values()}) != 1 or not _is_way(ways):
            return f"prompts of {name} must be moments × vectors × 2, the same in every layout"
    return ""


def _size(way: Tensor) -> tuple[int, ...]:
    return tuple(way.shape)


def _is_way(ways: Mapping[str, Tensor]) -> bool:
    return all(
        w.ndim == 3 and w.shape[-1] == 2 and w.numel() and w.is_floating_point()
        for w in ways.values()
    )
