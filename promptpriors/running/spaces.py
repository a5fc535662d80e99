"""The space that a prior's config asks for: vocabulary, activations, or earlier prompts."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from promptpriors.activations import Store, join, load_space, matched_spaces
from promptpriors.activations.reading import Reader
from promptpriors.activations.texts import TEXT, Text
from promptpriors.config.run import RunConfig
from promptpriors.config.sources import Source, inside, sources
from promptpriors.data import choose_task
from promptpriors.errors import InputError
from promptpriors.models import Backbone, vocabulary
from promptpriors.progress import OnProgress, silent
from promptpriors.registry import Choice
from promptpriors.running.capture import ensure_store, examples_of, plan_of
from promptpriors.runs import list_runs
from promptpriors.types import Site, Space

if TYPE_CHECKING:
    from promptpriors.running.workspace import Workspace


def cloud(
    config: RunConfig,
    workspace: "Workspace",
    params: Mapping[str, Any],
    site: Site,
    on_progress: OnProgress = silent,
) -> Space:
    """The space of a prior with these parameters that is drawn at ``site``.

    Raises:
        InputError: for a store of another model, runs that have nothing at the site, or data that
            are missing.
    """
    if site != "embed" and "text" in params and params["space"] == "vocabulary":
        return text_space(workspace.backbone(config), params["text"], site)
    parts = sources(params["space"])
    if params["length_matched"]:
        stores = [_store(config, workspace, source, site, on_progress) for source in parts]
        places = {source.at(site) for source in parts}
        if len(places) > 1:
            raise InputError(f"length_matched spaces have one site, found {sorted(places)}")
        return join(matched_spaces(stores, places.pop()))
    return join([_part(config, workspace, source, params, site, on_progress) for source in parts])


def text_space(backbone: Backbone, text: str, site: Site) -> Space:
    """The activations of one text at a site, in order; any text encodes to all of them.

    Raises:
        InputError: for a text without tokens.
    """
    ids = tuple(backbone.encode(text))
    if not ids:
        raise InputError(f"prior 'text': text = {text!r} has no tokens")
    reader = Reader(backbone, [site], prompt=None, longest=len(ids))
    (reading,) = reader.read([[Text("text", ids, (TEXT,) * len(ids))]])
    points = reading.states[site].detach().to("cpu", torch.float32)
    return Space(site, points, positions=reading.positions, encode=lambda _: list(range(len(ids))))


def identity(config: RunConfig, workspace: "Workspace", space: str) -> str:
    """What a space is, wherever it lies: part of a run's id."""
    (source,) = sources(space)
    if source.kind == "task":
        task = _task(config, source.name)
        examples = examples_of(workspace, task, config.capture.split)
        plan = plan_of(workspace.backbone(config), task, config.capture, examples, ())
        return f"{source.site or 'site'}:{plan.key}"
    if source.kind == "store":
        return f"store:{Store(source.name).manifest['key']}"
    if source.kind == "runs":
        return f"runs:{','.join(sorted(run.id for run in _finished(source.name)))}"
    return space


def sites_read(config: RunConfig, task: str) -> list[Site]:
    """Every site of a task that priors and regularisers refer to, so that one pass captures all.

    A prior that is drawn once for all sites, as ``kv`` has it, is drawn at ``embed``.
    """
    sites = config.prompt.sites or ["embed"]
    asked = [
        (site, part.params["space"])
        for site in (sites if config.by_site else ["embed"])
        for part in inside(config.prior_at(site))
    ]
    held = [choice.params["space"] for choice in config.regularisers if "space" in choice.params]
    asked += [(site, space) for site in sites for space in held]
    found = {
        source.at(site)
        for site, space in asked
        for source in sources(space)
        if source.kind == "task" and source.name == task
    }
    return sorted(found, key=lambda site: (site != "embed", len(site), site))


def _part(
    config: RunConfig,
    workspace: "Workspace",
    source: Source,
    params: Mapping[str, Any],
    site: Site,
    on_progress: OnProgress,
) -> Space:
    if source.kind == "vocabulary":
        if params["pool"] != "token":
            raise InputError("prior.pool = 'mean' needs examples; a vocabulary has none")
        counts = workspace.counts(config) if params.get("most_frequent") is not None else None
        return vocabulary(workspace.backbone(config), counts=counts)
    if source.kind == "runs":
        return _posteriors(source.name, site, workspace.backbone(config).revision)
    store = _store(config, workspace, source, site, on_progress)
    return load_space(store, source.at(site), pool=params["pool"])


def _store(
    config: RunConfig, workspace: "Workspace", source: Source, site: Site, on_progress: OnProgress
) -> Store:
    backbone = workspace.backbone(config)
    if source.kind == "task":
        places = sites_read(config, source.name) or [source.at(site)]
        return Store(
            ensure_store(config, workspace, _task(config, source.name), places, on_progress)
        )
    store = Store(source.name)
    if store.manifest["revision"] != backbone.revision:
        raise InputError(
            f"store {source.name} holds activations of {store.manifest['model']} "
            f"({store.manifest['revision'][:40]}), the run's model is {backbone.name} "
            f"({backbone.revision[:40]}); capture it with this model"
        )
    return store


def _task(config: RunConfig, name: str) -> Choice:
    """The run's own task with its parameters, another one with its defaults."""
    return config.task if config.task.name == name else choose_task(name)


def _finished(folder: str) -> list[Any]:
    return [run for run in list_runs(Path(folder)) if run.status == "done"]


def _posteriors(folder: str, site: Site, revision: str) -> Space:
    """The trained vectors that finished runs have at a site; each run is a group."""
    found = [
        (run, run.tensors()[f"final/{site}"])
        for run in _finished(folder)
        if site in run.config["prompt"].get("sites", [])
        and run.config["prompt"]["mode"] != "kv"
        and run.about().get("model") == revision
    ]
    if not found:
        raise InputError(
            f"prior.space = 'runs:{folder}': no finished run there has vectors of this model at "
            f"{site}; train some, or name another folder"
        )
    groups = [torch.full((len(values),), i) for i, (_, values) in enumerate(found)]
    positions = [torch.arange(len(values)) for _, values in found]
    points = torch.cat([values for _, values in found])
    return Space(site, points, groups=torch.cat(groups), positions=torch.cat(positions))
