"""Production of the paper's figures, and of the charts of the page."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from promptpriors.errors import InputError
from promptpriors.paper import domain_figures as domains
from promptpriors.paper import prompt_figures as prompts
from promptpriors.paper import vocabulary_figures as vocabulary
from promptpriors.paper.figure_plan import DOMAINS, NEEDED, RUNS, FigurePlan
from promptpriors.paper.figure_rules import judge_figures
from promptpriors.paper.inputs import FigureInputs, on_plane, rows_of
from promptpriors.progress import OnProgress
from promptpriors.running.workspace import Workspace
from promptpriors.runs import Run, list_runs, read_chart, write_chart
from promptpriors.runs.charts import CHARTS, Chart
from promptpriors.runs.claims import write_claims
from promptpriors.runs.pictures import PICTURES, Picture, read_picture, write_picture
from promptpriors.types import Site, Space

FIGURES: dict[int, Callable[[FigureInputs], Picture]] = {
    1: vocabulary.sentences,
    2: domains.texts,
    3: domains.answers,
    4: domains.layers,
    5: domains.means,
    **{n: partial(vocabulary.soft, number=n, name=RUNS[n][0]) for n in (6, 7, 8)},
    9: vocabulary.exclusion,
    10: lambda inputs: prompts.fitted(inputs, 10, "embed", RUNS[10]),
    11: lambda inputs: prompts.fitted(inputs, 11, inputs.last_block, RUNS[11]),
    12: prompts.between,
    13: prompts.autoencoder,
}
Stored = TypeVar("Stored", Picture, Chart)
POINTS = 4000
"""Of each domain on a chart of tokens; t-SNE is slow, and a page has room for so many."""


def produce(
    plan: FigurePlan,
    numbers: Sequence[int],
    runs: Path,
    workspace: Workspace,
    *,
    command: str,
    on_progress: OnProgress,
) -> Iterator[Picture]:
    """Make and store figures; those of the same plan are found again.

    All of them together are followed by the charts of the page and what they say of the claims.

    Args:
        plan: what they are made from.
        numbers: of ``FIGURES``.
        runs: the runs folder; pictures go to ``figures`` below it.
        workspace: models and tasks.
        command: kept with each picture.
        on_progress: told of each stage.

    Raises:
        InputError: for whatever model, data or config have wrong.
        WorkError: if training diverges or the disk fails.
    """
    material = FigureInputs(plan, runs, workspace, on_progress)
    folder, source = runs / PICTURES, plan.fingerprint
    for number in numbers:
        picture = _current(partial(read_picture, folder, number), source)
        if picture is None:
            on_progress(f"figure {number}", 0.0, {})
            picture = replace(FIGURES[number](material), command=command, source=source)
            write_picture(folder, picture)
        yield picture
    if set(FIGURES) <= set(numbers):
        for title in _chart_all(material):
            on_progress(f"chart: {title}", 1.0, {})
        write_claims(runs, judge_figures(runs))


def _chart_all(inputs: FigureInputs) -> Iterator[str]:
    """Make and store every chart; yields their titles."""
    for name in NEEDED:
        inputs.run(name)
    runs = [run for run in list_runs(inputs.runs) if run.status == "done"]
    yield _chart(inputs, "vocabulary", "vocabulary", {"vocabulary": inputs.vocabulary()}, runs)
    for site in inputs.sites:
        if site in {"embed", inputs.two_thirds_block, inputs.last_block}:
            spaces = {shown: _sampled(inputs, name, site) for name, shown in DOMAINS.items()}
            yield _chart(inputs, f"tokens-{site}", f"tokens at {site}", spaces, runs)
    last = inputs.last_block
    means = {shown: inputs.space(name, last, pool="mean") for name, shown in DOMAINS.items()}
    yield _chart(inputs, f"means-{last}", f"means of examples at {last}", means, runs)


def _chart(
    inputs: FigureInputs, name: str, title: str, spaces: Mapping[str, Space], runs: list[Run]
) -> str:
    site = next(iter(spaces.values())).site
    path = inputs.runs / CHARTS / f"{name}.safetensors"
    revision = inputs.backbone.revision
    found = {run.id: _trajectory(run, site, revision) for run in runs}
    trajectories = {run: values for run, values in found.items() if values is not None}
    known = _current(partial(read_chart, path), inputs.plan.fingerprint)
    if known is not None and set(known.prompts) == set(trajectories):
        return title
    points = torch.cat([space.points for space in spaces.values()])
    plane = inputs.plane(name, lambda: points)
    map_ = inputs.tsne(name, lambda: points)
    flat = [values.flatten(0, 1) for values in trajectories.values()]
    every = torch.cat([*flat, points[:0]])
    sizes = [len(part) for part in flat]
    placed = {"pca": on_plane(plane, every), "tsne": map_.place(every)}
    split = {layout: whole.split(sizes) for layout, whole in placed.items()}
    counts = torch.tensor([len(space.points) for space in spaces.values()])
    documents = [_documents(space) for space in spaces.values()]
    chart = Chart(
        model=revision,
        site=site,
        title=title,
        domains=list(spaces),
        domain=torch.arange(len(spaces)).repeat_interleave(counts),
        document=torch.cat(documents),
        labels=[label for space in spaces.values() for label in _labels(inputs, space)],
        layouts={"pca": on_plane(plane, points), "tsne": map_.coordinates},
        explained=plane.explained,
        prompts={
            run: {layout: parts[i].unflatten(0, path.shape[:2]) for layout, parts in split.items()}
            for i, (run, path) in enumerate(trajectories.items())
        },
        source=inputs.plan.fingerprint,
    )
    write_chart(path, chart)
    return title


def _trajectory(run: Run, site: Site, revision: str) -> Tensor | None:
    """A run's vectors at a site at every stored moment, if they are of this model."""
    if run.metadata().get("model") != revision or run.config["prompt"]["mode"] == "kv":
        return None
    return run.tensors().get(f"trajectory/{site}")


def _sampled(inputs: FigureInputs, domain: str, site: Site) -> Space:
    """At most ``POINTS`` of a space's points, in their old order."""
    space = inputs.space(domain, site)
    rows = torch.randperm(len(space.points), generator=inputs.random("chart", domain))[:POINTS]
    return rows_of(space, rows.sort().values)


def _documents(space: Space) -> Tensor:
    return torch.arange(len(space.points)) if space.groups is None else space.groups


def _labels(inputs: FigureInputs, space: Space) -> list[str]:
    if space.tokens is None:
        return [f"document {i}" for i in _documents(space).tolist()]
    tokenizer = inputs.backbone.tokenizer
    known = {i: tokenizer.decode([i]) for i in space.tokens.unique().tolist()}
    return [known[i] for i in space.tokens.tolist()]


def _current(read: Callable[[], Stored], source: str) -> Stored | None:
    """What is stored, if it was gathered from the same plan."""
    try:
        found = read()
    except InputError:
        return None
    return found if found.source == source else None
