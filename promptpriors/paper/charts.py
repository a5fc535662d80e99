"""Charts of the page: domains at each site, with the runs' trajectories."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from promptpriors.errors import InputError
from promptpriors.paper.figure_plan import RUNS
from promptpriors.paper.inputs import FigureInputs, on_plane
from promptpriors.runs import Run, list_runs, read_chart, write_chart
from promptpriors.runs.charts import CHARTS, Chart
from promptpriors.types import Site, Space

DOMAINS = {"c4": "C4", "squad": "SQuAD", "mathematics": "arithmetic"}
POINTS = 4000
"""Of each domain on a chart of tokens; t-SNE is slow, and a page has room for so many."""


def chart_all(inputs: FigureInputs) -> Iterator[str]:
    """Make and store every chart; yields their titles."""
    for name in dict.fromkeys(name for names in RUNS.values() for name in names):
        inputs.run(name)
    runs = [run for run in list_runs(inputs.runs) if run.status == "done"]
    rows = inputs.vocabulary()
    yield _store(inputs, "vocabulary", "vocabulary", {"vocabulary": rows}, runs)
    for site in inputs.sites:
        if site in {"embed", inputs.two_thirds_block, inputs.last_block}:
            spaces = {shown: _sampled(inputs, name, site) for name, shown in DOMAINS.items()}
            yield _store(inputs, f"tokens-{site}", f"tokens at {site}", spaces, runs)
    last = inputs.last_block
    means = {shown: inputs.space(name, last, pool="mean") for name, shown in DOMAINS.items()}
    yield _store(inputs, f"means-{last}", f"means of examples at {last}", means, runs)


def _store(
    inputs: FigureInputs, name: str, title: str, spaces: Mapping[str, Space], runs: list[Run]
) -> str:
    site = next(iter(spaces.values())).site
    path = inputs.runs / CHARTS / f"{name}.safetensors"
    revision = inputs.backbone.revision
    found = {run.id: _trajectory(run, site, revision) for run in runs}
    trajectories = {run: values for run, values in found.items() if values is not None}
    if _is_current(path, inputs.plan.fingerprint, set(trajectories)):
        return title
    points = torch.cat([space.points for space in spaces.values()])
    plane = inputs.plane(name, lambda: points)
    map_ = inputs.tsne(name, lambda: points)
    flat = [values.flatten(0, 1) for values in trajectories.values()]
    every = torch.cat([*flat, points[:0]])
    sizes = [len(part) for part in flat]
    placed = {"pca": on_plane(plane, every), "tsne": map_.place(every)}
    split = {layout: whole.split(sizes) for layout, whole in placed.items()}
    prompts = {
        run: {layout: parts[i].unflatten(0, values.shape[:2]) for layout, parts in split.items()}
        for i, (run, values) in enumerate(trajectories.items())
    }
    counts = torch.tensor([len(space.points) for space in spaces.values()])
    chart = Chart(
        model=revision,
        site=site,
        title=title,
        domains=list(spaces),
        domain=torch.arange(len(spaces)).repeat_interleave(counts),
        document=torch.cat([_documents(space) for space in spaces.values()]),
        labels=[label for space in spaces.values() for label in _labels(inputs, space)],
        layouts={"pca": on_plane(plane, points), "tsne": map_.coordinates},
        explained=plane.explained,
        prompts=prompts,
        source=inputs.plan.fingerprint,
    )
    write_chart(path, chart)
    return title


def _is_current(path: Path, source: str, runs: set[str]) -> bool:
    """Whether a chart of the same plan and runs is there."""
    try:
        known = read_chart(path)
    except InputError:
        return False
    return known.source == source and set(known.prompts) == runs


def _trajectory(run: Run, site: Site, revision: str) -> Tensor | None:
    """A run's vectors at a site at every stored moment, if they are of this model."""
    if run.about().get("model") != revision or run.config["prompt"]["mode"] == "kv":
        return None
    return run.tensors().get(f"trajectory/{site}")


def _sampled(inputs: FigureInputs, domain: str, site: Site) -> Space:
    space = inputs.space(domain, site)
    if len(space.points) <= POINTS:
        return space
    rows = torch.randperm(len(space.points), generator=inputs.random("chart", domain))[:POINTS]
    rows = rows.sort().values
    kept = {k: v[rows] for k, v in space._asdict().items() if isinstance(v, Tensor)}
    return space._replace(**kept)


def _documents(space: Space) -> Tensor:
    return torch.arange(len(space.points)) if space.groups is None else space.groups


def _labels(inputs: FigureInputs, space: Space) -> list[str]:
    if space.tokens is not None:
        return inputs.labels(space.tokens)
    return [f"document {i}" for i in _documents(space).tolist()]
