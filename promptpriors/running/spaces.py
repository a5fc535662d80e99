"""Spaces that priors and regularisers ask for: vocabulary, activations, or earlier prompts."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from promptpriors.activations import Store, join, load_space, matched_spaces
from promptpriors.activations.reading import Reader
from promptpriors.activations.texts import TEXT, Text
from promptpriors.config.sections import CaptureSection
from promptpriors.config.sources import Source, Sources
from promptpriors.data import choose_task
from promptpriors.errors import InputError
from promptpriors.models import Backbone, ModelSpec, vocabulary
from promptpriors.packing import encode
from promptpriors.priors import build_prior
from promptpriors.registry import Choice
from promptpriors.running.capture import ensure_store, examples_of, plan_of
from promptpriors.running.workspace import Workspace
from promptpriors.runs import Run, list_runs
from promptpriors.types import OnProgress, Prior, Site, Space, silent

KEPT_PRIORS = 8
"""Fitted priors that are kept: those of real points hold all their points."""


@dataclass(frozen=True)
class SpaceContext:
    """Model, task and captures that the spaces of one run are read from.

    Attributes:
        spec: the model.
        task: the run's own, with its parameters; another one has its defaults.
        capture: extent of activations.
        sites: by task, every site that one pass captures.
    """

    spec: ModelSpec
    task: Choice
    capture: CaptureSection
    sites: Mapping[str, tuple[Site, ...]]

    @property
    def key(self) -> Hashable:
        """Equal keys mean equal points of the same source and site."""
        return self.spec, repr(self.capture), repr(self.task)

    def task_named(self, name: str) -> Choice:
        """The task of a source."""
        return self.task if self.task.name == name else choose_task(name)


def read_space(
    workspace: Workspace,
    context: SpaceContext,
    params: Mapping[str, Any],
    site: Site = "embed",
    on_progress: OnProgress = silent,
) -> Space:
    """Read the space of a prior or regulariser; the last one is kept.

    Args:
        workspace: has models and tasks.
        context: of the run.
        params: the choice's: ``space``, ``pool``, ``length_matched``, and what else counts.
        site: where the prior is drawn.
        on_progress: called with stage, share done, and what is known so far.

    Raises:
        InputError: for a store of another model, runs that have nothing at the site, or data that
            are missing.
    """
    space: Sources = params["space"]
    rows = space.is_vocabulary and params["pool"] == "token" and site == "embed"
    if rows and not params.get("most_frequent"):
        return workspace.vocabulary(context.spec)
    counted = ("space", "pool", "length_matched", "most_frequent", "text")
    key = context.key, repr([params.get(name) for name in counted]), site

    def read() -> Space:
        if site != "embed" and "text" in params and space.is_vocabulary:
            return text_space(workspace.backbone(context.spec), params["text"], site)
        if params["length_matched"]:
            return _matched(workspace, context, space, site, on_progress)
        parts = space.parts
        return join([_part(workspace, context, part, params, site, on_progress) for part in parts])

    return workspace.once("space", key, read, keep=1)


def fitted_prior(
    workspace: Workspace,
    context: SpaceContext,
    choice: Choice,
    site: Site,
    on_progress: OnProgress = silent,
) -> Prior:
    """Fit a prior that is drawn at a site, or take it from those last used.

    Raises:
        InputError: as ``read_space``; for a space that the prior can't be fitted to.
    """

    def space(params: Mapping[str, Any]) -> Space:
        return read_space(workspace, context, params, site, on_progress)

    key = context.key, repr(choice), site
    return workspace.once("prior", key, lambda: build_prior(choice, space), keep=KEPT_PRIORS)


def text_space(backbone: Backbone, text: str, site: Site) -> Space:
    """Read the activations of one text at a site, in order; any text encodes to all of them.

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


def source_identity(workspace: Workspace, context: SpaceContext, source: Source) -> str:
    """Identify a source by its content, wherever it lies: part of a run's id."""
    if source.kind == "task":
        task, section = context.task_named(source.name), context.capture
        examples = examples_of(workspace, task, section.split)
        plan = plan_of(workspace.backbone(context.spec), task, section, examples, ())
        return f"{source.site or 'site'}:{plan.key}"
    if source.kind == "store":
        return f"store:{Store(source.name).manifest['key']}"
    if source.kind == "runs":
        return f"runs:{','.join(sorted(run.id for run in _finished(source.name)))}"
    return source.text


def _part(
    workspace: Workspace,
    context: SpaceContext,
    source: Source,
    params: Mapping[str, Any],
    site: Site,
    on_progress: OnProgress,
) -> Space:
    backbone = workspace.backbone(context.spec)
    if source.kind == "vocabulary":
        if params["pool"] != "token":
            raise InputError("prior.pool = 'mean' needs examples; a vocabulary has none")
        counted = params.get("most_frequent") is not None
        counts = _token_counts(workspace, backbone, context.task) if counted else None
        return vocabulary(backbone, counts=counts)
    if source.kind == "runs":
        return _posteriors(source.name, site, backbone.revision)
    store = _store(workspace, context, source, site, on_progress)
    return load_space(store, source.at(site), pool=params["pool"])


def _matched(
    workspace: Workspace,
    context: SpaceContext,
    space: Sources,
    site: Site,
    on_progress: OnProgress,
) -> Space:
    """The union of captured spaces whose texts have the same lengths."""
    stores = [_store(workspace, context, part, site, on_progress) for part in space.parts]
    sites = {part.at(site) for part in space.parts}
    if len(sites) > 1:
        raise InputError(f"length_matched spaces have one site, found {sorted(sites)}")
    return join(matched_spaces(stores, sites.pop()))


def _store(
    workspace: Workspace,
    context: SpaceContext,
    source: Source,
    site: Site,
    on_progress: OnProgress,
) -> Store:
    if source.kind == "task":
        sites = context.sites.get(source.name) or (source.at(site),)
        task, section = context.task_named(source.name), context.capture
        return Store(ensure_store(workspace, context.spec, task, section, sites, on_progress))
    backbone, store = workspace.backbone(context.spec), Store(source.name)
    if store.manifest["revision"] != backbone.revision:
        raise InputError(
            f"store {source.name} holds activations of {store.manifest['model']} "
            f"({store.manifest['revision'][:40]}), the run's model is {backbone.name} "
            f"({backbone.revision[:40]}); capture it with this model"
        )
    return store


def _token_counts(
    workspace: Workspace, backbone: Backbone, task: Choice
) -> Float[Tensor, " vocab"]:
    """Occurrences of each token id in the task's train split."""
    encoded = encode(backbone, workspace.task(task).splits["train"])
    ids = torch.tensor([i for e in encoded for piece in (*e.pieces, e.target) for i in piece])
    size = backbone.model.get_input_embeddings().num_embeddings
    return torch.bincount(ids, minlength=size).float()


def _finished(folder: str) -> list[Run]:
    return [run for run in list_runs(Path(folder)) if run.status == "done"]


def _posteriors(folder: str, site: Site, revision: str) -> Space:
    """The trained vectors that finished runs have at a site; each run is a group."""
    trained = [
        run.tensors()[f"final/{site}"]
        for run in _finished(folder)
        if site in run.config["prompt"].get("sites", [])
        and run.config["prompt"]["mode"] != "kv"
        and run.about().get("model") == revision
    ]
    if not trained:
        raise InputError(
            f"prior.space = 'runs:{folder}': no finished run there has vectors of this model at "
            f"{site}; train some, or name another folder"
        )
    groups = [torch.full((len(values),), i) for i, values in enumerate(trained)]
    positions = [torch.arange(len(values)) for values in trained]
    return Space(site, torch.cat(trained), groups=torch.cat(groups), positions=torch.cat(positions))
