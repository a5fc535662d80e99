"""The explorer: a folder's charts, packed for the page and thinned until they fit into it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from markupsafe import Markup

from promptpriors.errors import InputError
from promptpriors.figures import RunStyles, visible
from promptpriors.figures.nearest import NULLS
from promptpriors.report.arrays import inert, packed, quantised
from promptpriors.report.groups import Clouds
from promptpriors.report.paths import way
from promptpriors.rng import generator
from promptpriors.runs import Chart, Run, list_charts, read_chart, thinned
from promptpriors.runs.labels import prior_of

MOST = 50_000
"""Points of one chart."""

LEAST = 500
"""Points that a chart keeps, however large the rest of the page is."""

HUES = ("#8a8f99", "#b98a3c", "#3f9b93", "#9a84c4", "#b9717c", "#7c9650", "#5c87ad", "#a0755a")
"""Colours of domains, softer than those of priors: points are the ground, prompts the figure."""

NAMES = {"pca": "PCA", "tsne": "t-SNE"}


@dataclass(frozen=True)
class Explorer:
    """Everything the template needs about the charts.

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
    """A whole chart and what its runs stored."""

    chart: Chart
    ways: list[dict[str, Any]]
    nulls: list[tuple[str, float]]


def explore(
    folder: Path, runs: Sequence[Run], page_styles: RunStyles, clouds: Clouds, room: int
) -> Explorer | None:
    """The charts of a runs folder in at most ``room`` bytes, or None where there are none.

    Every chart keeps the same number of points, ``MOST`` at most and ``LEAST`` at least.
    """
    done = {run.id: run for run in runs if run.result is not None}
    sheets, problems = _sheets(folder, done, clouds)
    if not sheets and not problems:
        return None
    seen = {found["run"] for sheet in sheets for found in sheet.ways}
    shown = [run for run in done.values() if run.id in seen]
    most = MOST
    while True:
        blocks, shared = _pack(sheets, shown, page_styles, most)
        size = len(shared) + sum(map(len, blocks))
        if size <= room or most == LEAST:
            break
        most = max(LEAST, int(most * max(0.0, min(0.95, room / size))))
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


def _sheets(folder: Path, runs: dict[str, Run], clouds: Clouds) -> tuple[list[Sheet], list[str]]:
    """Every readable chart with its runs' ways; what could not be read or matched is said."""
    sheets, problems = [], []
    for path in list_charts(folder):
        try:
            chart = read_chart(path)
        except InputError as error:
            problems.append(f"A chart can’t be shown: {error}")
            continue
        ways = []
        for name in chart.prompts:
            try:
                if name not in runs:
                    raise InputError(f"no finished run {name} is in the folder")
                ways.append(way(runs[name], chart))
            except InputError as error:
                problems.append(f"Prompts are left out of {chart.title}: {error}")
        order = list(runs)
        ways.sort(key=lambda found: order.index(found["run"]))
        mine = [runs[found["run"]] for found in ways]
        sheets.append(Sheet(chart, ways, _nulls(chart, mine, clouds)))
    return sheets, problems


def _nulls(chart: Chart, runs: Sequence[Run], clouds: Clouds) -> list[tuple[str, float]]:
    """What cosines at the chart's site are held against, from its runs' map."""
    for name in dict.fromkeys((run.result or {}).get("map") for run in runs):
        try:
            plane = clouds.read(name) if name else None
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
    blocks = [inert(_block(sheet, most, tokens)) for sheet in sheets]
    styles = {
        run.id: {
            "name": page_styles.names[run.id],
            "prior": prior_of(run),
            "colour": page_styles.style(run).colour,
            "symbol": page_styles.style(run).symbol,
        }
        for run in runs
    }
    return blocks, inert({"runs": styles, "tokens": [visible(token) for token in tokens]})


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
        "domain": packed(chart.domain, torch.int16),
        "document": packed(chart.document, torch.int32),
        "token": packed(torch.tensor(numbers), torch.int32),
        "layouts": {
            name: quantised(points.float()) | {"name": NAMES.get(name, name)}
            for name, points in chart.layouts.items()
        },
        "explained": [round(100 * share, 1) for share in chart.explained.tolist()],
        "prompts": sheet.ways,
        "nulls": sheet.nulls,
    }
