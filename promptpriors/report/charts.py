"""Charts of a runs folder with paths of prompts, packed for the page and thinned to fit."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup
from torch import Tensor

from promptpriors.analysis.location import vector_displacements
from promptpriors.errors import InputError
from promptpriors.figures import RunStyles, visible
from promptpriors.figures.loss import evaluations
from promptpriors.figures.vectors import NULLS, tokens_of
from promptpriors.files import finite
from promptpriors.report.groups import MapCache
from promptpriors.rng import generator
from promptpriors.runs import Chart, Run, list_charts, read_chart, thinned
from promptpriors.runs.labels import prior_of

MAX_POINTS = 50_000
"""Points of one chart."""
MIN_POINTS = 500
"""Points that a chart keeps, however large the rest of the page is."""
HUES = ("#8a8f99", "#b98a3c", "#3f9b93", "#9a84c4", "#b9717c", "#7c9650", "#5c87ad", "#a0755a")
"""Colours of domains, softer than those of priors: points are the ground, prompts the figure."""
LEVELS = 65_535
"""Steps of a quantised coordinate: finer than a pixel until the map is enlarged fifty times."""
NEAREST = 3
"""Tokens named for a vector."""
NAMES = {"pca": "PCA", "tsne": "t-SNE"}


class Sheet(NamedTuple):
    """Chart with the paths that its runs stored, and the null values of their cosines."""

    chart: Chart
    paths: list[dict[str, Any]]
    nulls: list[tuple[str, float]]


def explore(
    folder: Path, runs: Sequence[Run], page_styles: RunStyles, maps: MapCache, room: int
) -> dict[str, Any] | None:
    """Pack the charts of a runs folder into ``room`` bytes; None where there are none.

    Every chart keeps the same number of points, ``MAX_POINTS`` at most and ``MIN_POINTS`` at least.
    Charts are JSON, a block each, with the runs and tokens that they share. ``priors`` (with their
    colours) and ``runs`` (by id) are those with prompts on some chart.
    """
    done = {run.id: run for run in runs if run.result is not None}
    sheets, problems = _sheets(folder, done, maps)
    if not sheets and not problems:
        return None
    drawn = {path["run"] for sheet in sheets for path in sheet.paths}
    styles = {
        run.id: {"name": page_styles.names[run.id], "prior": prior_of(run)}
        | page_styles.style(run)._asdict()
        for run in done.values()
        if run.id in drawn
    }
    most = MAX_POINTS
    while True:
        tokens: dict[str, int] = {}
        blocks = [safe_json(_block(sheet, most, tokens)) for sheet in sheets]
        shared = safe_json({"runs": styles, "tokens": [visible(token) for token in tokens]})
        size = len(shared) + sum(map(len, blocks))
        if size <= room or most == MIN_POINTS:
            break
        most = max(MIN_POINTS, int(most * max(0.0, min(0.95, room / size))))
    return {
        "titles": [sheet.chart.title for sheet in sheets],
        "blocks": blocks,
        "shared": shared,
        "priors": {style["prior"]: style["colour"] for style in styles.values()},
        "runs": styles,
        "problems": problems,
    }


def _sheets(folder: Path, runs: dict[str, Run], maps: MapCache) -> tuple[list[Sheet], list[str]]:
    """Every readable chart with its runs' paths; what could not be read or matched is said."""
    sheets, problems = [], []
    for path in list_charts(folder):
        try:
            chart = read_chart(path)
        except InputError as error:
            problems.append(f"A chart can’t be shown: {error}")
            continue
        paths = []
        for name in chart.prompts:
            try:
                if name not in runs:
                    raise InputError(f"no finished run {name} is in the folder")
                paths.append(_path(runs[name], chart))
            except InputError as error:
                problems.append(f"Prompts are left out of {chart.title}: {error}")
        paths.sort(key=lambda path: list(runs).index(path["run"]))
        nulls = _nulls(chart, [runs[path["run"]] for path in paths], maps)
        sheets.append(Sheet(chart, paths, nulls))
    return sheets, problems


def _nulls(chart: Chart, runs: Sequence[Run], maps: MapCache) -> list[tuple[str, float]]:
    """What cosines at the chart's site are held against, from its runs' map."""
    for name in dict.fromkeys((run.result or {}).get("map") for run in runs):
        try:
            plane = maps.read(name) if name else None
        except InputError:  # the section of the map says so
            continue
        if plane is not None and plane.site == chart.site:
            return [(NULLS.get(key, key), value) for key, value in sorted(plane.nulls.items())]
    return []


def _block(sheet: Sheet, most: int, tokens: dict[str, int]) -> dict[str, Any]:
    whole = sheet.chart
    chart = thinned(whole, most, generator(0, "report", whole.title))
    numbers = [tokens.setdefault(label, len(tokens)) for label in chart.labels]
    colours = [HUES[i % len(HUES)] for i in range(len(chart.domains))]
    return {
        "site": chart.site,
        "domains": list(zip(chart.domains, colours, strict=True)),
        "points": len(chart.labels),
        "whole": len(whole.labels),
        "domain": as_base64(chart.domain, torch.int16),
        "document": as_base64(chart.document, torch.int32),
        "token": as_base64(torch.tensor(numbers), torch.int32),
        "layouts": {
            name: quantised(points.float()) | {"name": NAMES.get(name, name)}
            for name, points in chart.layouts.items()
        },
        "explained": [round(100 * share, 1) for share in chart.explained.tolist()],
        "prompts": sheet.paths,
        "nulls": sheet.nulls,
    }


def _path(run: Run, chart: Chart) -> dict[str, Any]:
    """A run's vectors on a chart: positions, steps, distances, nearest tokens."""
    layouts = chart.prompts[run.id]
    moments, length, _ = next(iter(layouts.values())).shape
    tensors = run.tensors()
    pair = [tensors.get(f"{end}/{chart.site}") for end in ("initial", "final")]
    ends = [end.float() for end in pair if end is not None and len(end) == length]
    ratios = vector_displacements(ends[0], ends[1]).tolist() if len(ends) == 2 else []
    steps = _steps(run, tensors, moments)
    losses = evaluations(run)
    near = tokens_of(run, chart.site)
    return {
        "run": run.id,
        "length": length,
        "steps": steps,
        "losses": [losses.get(step) for step in steps],
        "ways": {name: as_base64(path, torch.float32) for name, path in layouts.items()},
        "distances": _distances(tensors.get(f"trajectory/{chart.site}"), ends, moments, length),
        "displacements": [float(f"{ratio:.6g}") for ratio in ratios] or [None] * length,
        "nearest": {when: _named(near.get(when), length) for when in ("initial", "final")},
    }


def _steps(run: Run, tensors: Mapping[str, Tensor], moments: int) -> list[int]:
    """The training step of every moment: those stored, or the start and the end."""
    stored = tensors.get("trajectory/steps")
    if stored is not None and len(stored) == moments:
        return [int(step) for step in stored.tolist()]
    if moments == 2:
        return [0, int((run.result or {}).get("steps") or 1)]
    found = "none" if stored is None else len(stored)
    raise InputError(f"the chart has {moments} moments of run {run.id}, the run stored {found}")


def _distances(
    path: Tensor | None, ends: Sequence[Tensor], moments: int, length: int
) -> str | None:
    """‖v(k) − v(0)‖ of every moment and vector; None where the run has no such vectors."""
    if path is None or path.shape[:2] != (moments, length):
        if moments != 2 or len(ends) != 2:
            return None
        path = torch.stack(list(ends))
    return as_base64((path.float() - path[0].float()).norm(dim=-1), torch.float32)


def _named(near: list[list[dict[str, Any]]] | None, length: int) -> list[list[tuple[str, float]]]:
    """For every vector its nearest tokens with their cosines, the nearest first."""
    rows = near or [[] for _ in range(length)]
    return [[(visible(t["token"]), round(t["cosine"], 4)) for t in row[:NEAREST]] for row in rows]


def as_base64(values: Tensor, dtype: torch.dtype) -> str:
    """Little-endian bytes of a tensor as base64.

    >>> as_base64(torch.tensor([1, 2]), torch.int16)
    'AQACAA=='
    """
    plain = values.detach().cpu().to(dtype).contiguous().numpy()
    return base64.b64encode(plain.astype(plain.dtype.newbyteorder("<")).tobytes()).decode()


def quantised(points: Float[Tensor, "n 2"]) -> dict[str, Any]:
    """Coordinates as 16-bit levels between ``low`` and ``high``.

    x ≈ low + (high − low)(level + 32,768) / 65,535, wrong by at most half a level.
    """
    exact = points.to(torch.float64)
    low, high = exact.amin(0), exact.amax(0)
    spread = torch.where(high > low, high - low, 1.0)
    levels = ((exact - low) / spread * LEVELS).round() - (LEVELS + 1) // 2
    return {"data": as_base64(levels, torch.int16), "low": low.tolist(), "high": high.tolist()}


def safe_json(value: Any) -> Markup:
    """JSON that is safe inside a script element."""
    return htmlsafe_json_dumps(finite(value), allow_nan=False, separators=(",", ":"))
