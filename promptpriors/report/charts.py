"""Charts of a runs folder, packed for the page and thinned to fit."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from markupsafe import Markup

from promptpriors.errors import InputError
from promptpriors.figures import RunStyles, visible
from promptpriors.figures.vectors import NULLS
from promptpriors.report.arrays import as_base64, quantised, safe_json
from promptpriors.report.groups import MapCache
from promptpriors.report.paths import prompt_path
from promptpriors.rng import generator
from promptpriors.runs import Chart, Run, list_charts, read_chart, thinned
from promptpriors.runs.labels import prior_of

MAX_POINTS = 50_000
"""Points of one chart."""

MIN_POINTS = 500
"""Points that a chart keeps, however large the rest of the page is."""

HUES = ("#8a8f99", "#b98a3c", "#3f9b93", "#9a84c4", "#b9717c", "#7c9650", "#5c87ad", "#a0755a")
"""Colours of domains, softer than those of priors: points are the ground, prompts the figure."""

NAMES = {"pca": "PCA", "tsne": "t-SNE"}


@dataclass(frozen=True)
class Explorer:
    """Template data of all charts.

    Attributes:
        titles: of the charts, in the order of ``blocks``.
        blocks: a chart each, as JSON.
        shared: runs and tokens, which the charts share, as JSON.
        priors: name and colour of those with prompts on some chart.
        runs: id, name, prior and colour of the runs with prompts on some chart.
        problems: what can't be shown, and why.
    """

    titles: list[str]
    blocks: list[Markup]
    shared: Markup
    priors: list[tuple[str, str]]
    runs: list[tuple[str, str, str, str]]
    problems: list[str]


@dataclass(frozen=True)
class Sheet:
    """Chart with the paths that its runs stored."""

    chart: Chart
    paths: list[dict[str, Any]]
    nulls: list[tuple[str, float]]


def explore(
    folder: Path, runs: Sequence[Run], page_styles: RunStyles, maps: MapCache, room: int
) -> Explorer | None:
    """Pack the charts of a runs folder into ``room`` bytes.

    Every chart keeps the same number of points, ``MAX_POINTS`` at most and ``MIN_POINTS`` at least.

    Returns:
        None where the folder has no charts.
    """
    done = {run.id: run for run in runs if run.result is not None}
    sheets, problems = _sheets(folder, done, maps)
    if not sheets and not problems:
        return None
    seen = {found["run"] for sheet in sheets for found in sheet.paths}
    shown = [run for run in done.values() if run.id in seen]
    most = MAX_POINTS
    while True:
        blocks, shared = _pack(sheets, shown, page_styles, most)
        size = len(shared) + sum(map(len, blocks))
        if size <= room or most == MIN_POINTS:
            break
        most = max(MIN_POINTS, int(most * max(0.0, min(0.95, room / size))))
    priors = dict.fromkeys(prior_of(run) for run in shown)
    return Explorer(
        titles=[sheet.chart.title for sheet in sheets],
        blocks=blocks,
        shared=shared,
        priors=[(prior, page_styles.styles[prior].colour) for prior in priors],
        runs=[
            (r.id, page_styles.names[r.id], prior_of(r), page_styles.style(r).colour) for r in shown
        ],
        problems=problems,
    )


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
                paths.append(prompt_path(runs[name], chart))
            except InputError as error:
                problems.append(f"Prompts are left out of {chart.title}: {error}")
        order = list(runs)
        paths.sort(key=lambda found: order.index(found["run"]))
        mine = [runs[found["run"]] for found in paths]
        sheets.append(Sheet(chart, paths, _nulls(chart, mine, maps)))
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


def _pack(
    sheets: Sequence[Sheet], runs: Sequence[Run], page_styles: RunStyles, most: int
) -> tuple[list[Markup], Markup]:
    """Charts of at most ``most`` points, and the runs and tokens that they share."""
    tokens: dict[str, int] = {}
    blocks = [safe_json(_block(sheet, most, tokens)) for sheet in sheets]
    styles = {
        run.id: {
            "name": page_styles.names[run.id],
            "prior": prior_of(run),
            "colour": page_styles.style(run).colour,
            "symbol": page_styles.style(run).symbol,
        }
        for run in runs
    }
    return blocks, safe_json({"runs": styles, "tokens": [visible(token) for token in tokens]})


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
