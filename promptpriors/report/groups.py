"""Sections of the page, one for the finished runs of a model on a task."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import plotly.graph_objects as go

from promptpriors.errors import InputError
from promptpriors.figures import RunStyles, visible
from promptpriors.figures.loss import baselines, evaluations, validation_loss
from promptpriors.figures.map import vocabulary_map
from promptpriors.figures.vectors import displacement, nearest, tokens_of
from promptpriors.models import MODEL_NOTES
from promptpriors.report.formatting import fixed
from promptpriors.runs import Map, Run, read_map
from promptpriors.runs.labels import BASELINE, grouped, prior_of, setting_of


class MapView(NamedTuple):
    """Map of the vocabulary as a figure, or the reason why there is none."""

    figure: dict[str, Any] | None
    plane: Map | None
    problem: str = ""


class Nearest(NamedTuple):
    """Nearest tokens at a site, with the map whose null values are shown.

    ``tokens`` are, by the run's name, those of each vector before and after training, with cosines.
    """

    site: str
    figure: dict[str, Any]
    plane: Map | None
    tokens: dict[str, list[tuple[list[tuple[str, str]], ...]]]


@dataclass
class MapCache:
    """Cache of maps and of the point clouds that figures share."""

    folder: Path
    maps: dict[str, Map] = field(default_factory=dict)
    points: dict[str, dict[str, Any]] = field(default_factory=dict)

    def read(self, name: str) -> Map:
        """Read a map once."""
        if name not in self.maps:
            self.maps[name] = read_map(self.folder / name)
        return self.maps[name]

    def share(self, name: str, figure: dict[str, Any]) -> dict[str, Any]:
        """Move the point cloud out of a map's figure into the shared ones."""
        cloud = figure["data"][0]
        self.points[name] = {key: cloud.pop(key) for key in ("x", "y", "text")}
        cloud["meta"] = {"cloud": list(self.points).index(name)}
        return figure


def sections(runs: Sequence[Run], page_styles: RunStyles, clouds: MapCache) -> list[dict[str, Any]]:
    """Gather figures and tables of finished runs by model and task, in the order of the folder.

    A task's name is followed by its parameters where two sections share it.
    """
    groups = grouped((run for run in runs if run.result is not None), setting_of).values()
    heads = [(mine[0].config["model"], mine[0].config["task"]) for mine in groups]
    counts = Counter((model, task["name"]) for model, task in heads)
    found = []
    for (model, task), mine in zip(heads, groups, strict=True):
        title = str(task["name"])
        if counts[model, title] > 1:
            title += f" ({', '.join(f'{k}={value}' for k, value in task.items() if k != 'name')})"
        found.append(_section(str(model), title, mine, page_styles, clouds))
    return found


def _section(
    model: str, task: str, runs: Sequence[Run], page_styles: RunStyles, clouds: MapCache
) -> dict[str, Any]:
    prompted = [run for run in runs if prior_of(run) != BASELINE]
    priors = dict.fromkeys(prior_of(run) for run in prompted)
    steps = {run.id: evaluations(run) for run in prompted}
    moved, unmoved = _with_vectors(prompted)
    names = dict.fromkeys((run.result or {}).get("map") for run in moved)
    maps = [_map(name, moved, page_styles, clouds) for name in names if name]
    return {
        "model": model,
        "task": task,
        "note": MODEL_NOTES.get(model, ""),
        "chips": [(prior, page_styles.styles[prior].colour) for prior in priors],
        "loss": plain(validation_loss(runs, page_styles)),
        "without": [fixed(value) for value in baselines(runs)],
        "dashed": len({page_styles.dashes[run.id] for run in prompted}) > 1,
        "losses": [
            (step, [fixed(steps[run.id].get(step)) for run in prompted])
            for step in sorted({step for found in steps.values() for step in found})
        ],
        "names": [page_styles.names[run.id] for run in prompted],
        "unmoved": unmoved,
        "maps": maps,
        "displacement": plain(displacement(moved, page_styles)) if moved else None,
        "nearest": list(_nearest(prompted, page_styles, maps)),
    }


def _with_vectors(runs: Sequence[Run]) -> tuple[list[Run], list[str]]:
    """Runs whose vectors are stored, and sentences about what others are shown without."""
    there, problems = [], []
    missing = sum(not run.has_vectors for run in runs)
    if missing:
        problems.append(
            f"{missing} of {len(runs)} runs are here without their vectors (prompt.safetensors): "
            "they are in the tables and the losses, and in no map and no displacement."
        )
    for run in runs:
        try:
            if run.has_vectors:
                run.tensors()
                there.append(run)
        except InputError as error:
            problems.append(f"Left out of maps and displacements: {error}")
    counts = Counter(name for run in runs for name in run.left_out)
    problems += [
        f"{count} of {len(runs)} runs were packed without {name}, which is not shown of them."
        for name, count in sorted(counts.items())
    ]
    return there, problems


def plain(figure: go.Figure) -> dict[str, Any]:
    """Figure as plain JSON values; arrays are base64."""
    return json.loads(figure.to_json() or "{}")


def _map(name: str, runs: list[Run], page_styles: RunStyles, clouds: MapCache) -> MapView:
    try:
        plane = clouds.read(name)
    except InputError as error:
        return MapView(None, None, str(error))
    mine = [run for run in runs if (run.result or {}).get("map") == name]
    return MapView(clouds.share(name, plain(vocabulary_map(plane, mine, page_styles))), plane)


def _nearest(runs: list[Run], page_styles: RunStyles, maps: list[MapView]) -> Iterable[Nearest]:
    sites = dict.fromkeys(s for run in runs for s in (run.result or {}).get("nearest_tokens") or {})
    for site in sites:
        plane = next((m.plane for m in maps if m.plane and m.plane.site == site), None)
        figure = plain(nearest(runs, plane and plane.nulls, site, page_styles))
        stored = {page_styles.names[run.id]: tokens_of(run, site) for run in runs}
        tokens = {name: _tokens(near) for name, near in stored.items() if near}
        yield Nearest(site, figure, plane, tokens)


def _tokens(stored: Mapping[str, list[list[dict[str, Any]]]]) -> list[tuple[Any, ...]]:
    ends = [
        [[(visible(t["token"]), fixed(t["cosine"])) for t in near] for near in stored[moment]]
        for moment in ("initial", "final")
    ]
    return list(zip(*ends, strict=True))
