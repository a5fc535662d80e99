"""Spaces for priors and regularisers: vocabulary, activations, or earlier prompts."""

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
from promptpriors.config.sources import Source, Sources, task_at
from promptpriors.errors import InputError, note
from promptpriors.models import Backbone, ModelSpec, vocabulary
from promptpriors.packing import encode
from promptpriors.priors import build_prior
from promptpriors.progress import OnProgress, silent
from promptpriors.registry import Choice
from promptpriors.running.capture import ensure_store, plan_capture
from promptpriors.running.workspace import Workspace
from promptpriors.runs import Run, list_runs
from promptpriors.types import Prior, Site, Space

KEPT_PRIORS = 8
"""Fitted priors that are kept: those of real points hold all their points."""


@dataclass(frozen=True)
class Spaces:
    """Spaces of one run, read from its model, its task and captures.

    ``sites`` are those that one pass captures, by task. A task other than the run's own has its
    defaults for parameters.
    """

    workspace: Workspace
    spec: ModelSpec
    task: Choice
    capture: CaptureSection
    sites: Mapping[str, tuple[Site, ...]]
    on_progress: OnProgress = silent

    def read(self, params: Mapping[str, Any], site: Site = "embed") -> Space:
        """Read the space of a prior or regulariser that is drawn at a site.

        Raises:
            InputError: for a store of another model, runs that have nothing at the site, or data
                that are missing.
        """
        space: Sources = params["space"]
        rows = space.is_vocabulary and params["pool"] == "token" and site == "embed"
        if rows and not params.get("most_frequent"):
            self._note_control_tokens(params.get("text", ""))
            return self.workspace.vocabulary(self.spec)

        def read() -> Space:
            if site != "embed" and "text" in params and space.is_vocabulary:
                return text_space(self._backbone, params["text"], site)
            if params["length_matched"]:
                return self._matched(space, site)
            return join([self._part(source, params, site) for source in space.parts])

        counted = ("space", "pool", "length_matched", "most_frequent", "text")
        key = self._key, repr([params.get(name) for name in counted]), site
        return self.workspace.once("space", key, read, keep=1)

    def fitted(self, choice: Choice, site: Site) -> Prior:
        """Fit a prior for a site, or take it from those last used.

        Raises:
            InputError: as ``read``; for a space that the prior can't be fitted to.
        """

        def fit() -> Prior:
            return build_prior(choice, lambda params: self.read(params, site))

        return self.workspace.once("prior", (self._key, repr(choice), site), fit, keep=KEPT_PRIORS)

    def identity(self, source: Source) -> str:
        """Identify a source by its content, for a run's id."""
        if source.kind == "task":
            task = self._task(source.name)
            _, plan = plan_capture(self.workspace, self._backbone, task, self.capture)
            return f"{source.site or 'site'}:{plan.key}"
        if source.kind == "store":
            return f"store:{Store(source.name).manifest['key']}"
        if source.kind == "runs":
            return f"runs:{','.join(sorted(run.id for run in _finished(source.name)))}"
        return source.text

    @property
    def _key(self) -> Hashable:
        """Equal keys mean equal points of the same source and site."""
        return self.spec, repr(self.capture), repr(self.task)

    @property
    def _backbone(self) -> Backbone:
        return self.workspace.backbone(self.spec)

    def _note_control_tokens(self, text: str) -> None:
        """Say which control tokens of a prior's text the vocabulary has no rows for."""
        backbone = self._backbone
        if lost := sorted({*backbone.encode(text, control=True)} & backbone.control_ids):
            names = ", ".join(backbone.tokenizer.convert_ids_to_tokens(lost))
            note(f"the vocabulary has no row for control tokens; left out of the text: {names}")

    def _task(self, name: str) -> Choice:
        return self.task if self.task.name == name else task_at(name)

    def _part(self, source: Source, params: Mapping[str, Any], site: Site) -> Space:
        if source.kind == "vocabulary":
            if params["pool"] != "token":
                raise InputError("prior.pool = 'mean' needs examples; a vocabulary has none")
            counted = params.get("most_frequent") is not None
            return vocabulary(self._backbone, counts=self._token_counts() if counted else None)
        if source.kind == "runs":
            return _posteriors(source.name, site, self._backbone.revision)
        return load_space(self._store(source, site), source.at(site), pool=params["pool"])

    def _matched(self, space: Sources, site: Site) -> Space:
        """The union of captured spaces whose texts have the same lengths."""
        stores = [self._store(source, site) for source in space.parts]
        sites = {source.at(site) for source in space.parts}
        if len(sites) > 1:
            raise InputError(f"length_matched spaces have one site, found {sorted(sites)}")
        return join(matched_spaces(stores, sites.pop()))

    def _store(self, source: Source, site: Site) -> Store:
        backbone = self._backbone
        if source.kind == "task":
            sites = self.sites.get(source.name) or (source.at(site),)
            task = self._task(source.name)
            return Store(
                ensure_store(self.workspace, backbone, task, self.capture, sites, self.on_progress)
            )
        store = Store(source.name)
        if store.manifest["revision"] != backbone.revision:
            raise InputError(
                f"store {source.name} holds activations of {store.manifest['model']} "
                f"({store.manifest['revision'][:40]}), the run's model is {backbone.name} "
                f"({backbone.revision[:40]}); capture it with this model"
            )
        return store

    def _token_counts(self) -> Float[Tensor, " vocab"]:
        """Occurrences of each token id in the task's train split."""
        backbone = self._backbone
        encoded = encode(backbone, self.workspace.task(self.task).splits["train"])
        ids = torch.tensor([i for e in encoded for piece in (*e.pieces, e.target) for i in piece])
        size = backbone.model.get_input_embeddings().num_embeddings
        return torch.bincount(ids, minlength=size).float()


def text_space(backbone: Backbone, text: str, site: Site) -> Space:
    """Read the activations of one text at a site, in order.

    Any text encodes to all of them.

    Raises:
        InputError: for a text without tokens.
    """
    ids = tuple(backbone.encode(text, control=True))
    if not ids:
        raise InputError(f"prior 'text': text = {text!r} has no tokens")
    reader = Reader(backbone, [site], prompt=None, longest=len(ids))
    (reading,) = reader.read([[Text("text", ids, (TEXT,) * len(ids))]])
    points = reading.states[site].detach().to("cpu", torch.float32)
    return Space(site, points, positions=reading.positions, encode=lambda _: list(range(len(ids))))


def _finished(folder: str) -> list[Run]:
    return [run for run in list_runs(Path(folder)) if run.status == "done"]


def _posteriors(folder: str, site: Site, revision: str) -> Space:
    """The trained vectors that finished runs have at a site; each run is a group."""
    trained = [
        run.tensors()[f"final/{site}"]
        for run in _finished(folder)
        if site in run.config["prompt"].get("sites", [])
        and run.config["prompt"]["mode"] != "kv"
        and run.metadata().get("model") == revision
    ]
    if not trained:
        raise InputError(
            f"prior.space = 'runs:{folder}': no finished run there has vectors of this model at "
            f"{site}; train some, or name another folder"
        )
    groups = [torch.full((len(values),), i) for i, values in enumerate(trained)]
    positions = [torch.arange(len(values)) for values in trained]
    return Space(site, torch.cat(trained), groups=torch.cat(groups), positions=torch.cat(positions))
