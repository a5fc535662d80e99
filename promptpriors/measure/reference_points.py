"""Reference points of a folder's runs: real points, priors, visible coordinates."""

from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from promptpriors.activations import Store, load_space
from promptpriors.config.run import RunConfig
from promptpriors.errors import InputError, note
from promptpriors.measure.position import Cloud, View
from promptpriors.models import ModelSpec
from promptpriors.models.visible import visible
from promptpriors.running.run import fit_priors
from promptpriors.running.workspace import Workspace
from promptpriors.types import Prior, Site

MAX_POINTS = 20_000
"""Real points of a site among which the nearest are sought."""
Made = TypeVar("Made")


class ReferencePoints:
    """Real points, priors and views of a folder's runs, kept in the workspace."""

    def __init__(self, runs: Path, workspace: Workspace) -> None:
        self._workspace = workspace
        self._stores = [Store(path.parent) for path in sorted(runs.glob("stores/*/manifest.json"))]

    def cloud(
        self, config: RunConfig, revision: str, site: Site, *, seen: bool = False
    ) -> Cloud | None:
        """Real points: the vocabulary at ``embed``, at a block the stores' activations.

        Those of a run's model at its revision; with ``seen`` in visible coordinates.
        """

        def make() -> Cloud | None:
            points = self._points(config.model_spec, revision, site)
            view = self.view(config, site) if seen else None
            return None if points is None else Cloud(points, view)

        key = config.model_spec, revision, site, self.names(revision, site), seen
        return self._workspace.once("cloud", key, make)

    def names(self, revision: str, site: Site) -> str:
        """The names of a site's points: equal names are equal points."""
        if site == "embed":
            return "vocabulary"
        return ", ".join(sorted(str(store.manifest["key"]) for store in self._of(revision, site)))

    def prior(self, config: RunConfig, site: Site) -> Prior | None:
        """The run's prior, fitted again; None where its space is gone."""
        settings = config.task, config.prior, config.priors, config.prompt, config.capture
        key = config.model_spec, repr(settings)
        found = self._tried("its prior", key, lambda: fit_priors(config, self._workspace))
        return found[site] if isinstance(found, Mapping) else found

    def view(self, config: RunConfig, site: Site) -> View | None:
        """View into visible coordinates, where one block alone reads a vector."""
        if config.prompt.mode != "deep-cut":
            return None
        spec, name = config.model_spec, "its visible coordinates"
        backbone = self._workspace.backbone
        return self._tried(name, (spec, site), lambda: visible(backbone(spec), site))

    def _points(self, spec: ModelSpec, revision: str, site: Site) -> Tensor | None:
        if site == "embed":
            vocabulary = self._workspace.vocabulary
            return self._tried("its vocabulary", spec, lambda: vocabulary(spec).points)
        key = revision, site, self.names(revision, site)
        return self._workspace.once("points", key, lambda: self._activations(revision, site))

    def _activations(self, revision: str, site: Site) -> Tensor | None:
        stores = self._of(revision, site)
        if not stores:
            note(f"no store of this model below the folder has {site}: `promptpriors capture` one")
            return None
        share = MAX_POINTS // len(stores)
        return torch.cat([load_space(store, site, points=share).points for store in stores])

    def _of(self, revision: str, site: Site) -> list[Store]:
        return [
            store
            for store in self._stores
            if store.manifest["revision"] == revision
            and site in store.sites
            and store.manifest["what"] == "tokens"
        ]

    def _tried(self, name: str, key: Hashable, make: Callable[[], Made]) -> Made | None:
        """What can be made, once; else None, with a note."""

        def attempt() -> Made | None:
            try:
                return make()
            except InputError as error:
                note(f"{name} is left out: {error}")
                return None

        return self._workspace.once(name, key, attempt)
