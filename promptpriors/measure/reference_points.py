"""What is known of the sites of a folder's runs: real points, priors, visible coordinates."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from promptpriors.activations import Store, load_space
from promptpriors.config.run import RunConfig
from promptpriors.errors import InputError, note
from promptpriors.measure.position import Cloud, View
from promptpriors.models.visible import visible
from promptpriors.running.run import fit
from promptpriors.running.workspace import Workspace
from promptpriors.types import Prior, Site

POINTS = 20_000
"""Points of a cloud that nearest ones are looked for among."""


class Places:
    """Finds each thing once; what can't be had is named and left out.

    Args:
        runs: the folder; stores are looked for below it.
        workspace: has models.
    """

    def __init__(self, runs: Path, workspace: Workspace) -> None:
        self._workspace = workspace
        self._stores = [Store(path.parent) for path in sorted(runs.glob("stores/*/manifest.json"))]
        self._known: dict[Any, Any] = {}

    def cloud(
        self, config: RunConfig, revision: str, site: Site, *, seen: bool = False
    ) -> Cloud | None:
        """The vocabulary at ``embed``; at a block the activations of the folder's stores.

        Args:
            config: the run's.
            revision: of its model.
            site: of its prompt.
            seen: in visible coordinates.
        """

        def make() -> Cloud | None:
            points = self._points(config, revision, site)
            view = self.view(config, site) if seen else None
            return None if points is None else Cloud(points, view)

        return self._once(("cloud", revision, site, seen), make)

    def names(self, revision: str, site: Site) -> str:
        """What the cloud of a site is made of: equal names are equal points."""
        if site == "embed":
            return "vocabulary"
        return ", ".join(sorted(str(store.manifest["key"]) for store in self._of(revision, site)))

    def prior(self, config: RunConfig, site: Site) -> Prior | None:
        """The run's prior, fitted again; None where its space is gone."""

        def make() -> Prior | None:
            found = fit(config, self._workspace)
            return found[site] if isinstance(found, Mapping) else found

        return self._tried((repr(config.prior), config.model, site), make, "its prior")

    def view(self, config: RunConfig, site: Site) -> View | None:
        """Into visible coordinates, where a vector is read by one block alone."""
        if config.prompt.mode != "deep-cut":
            return None
        make = lambda: visible(self._workspace.backbone(config), site)  # noqa: E731
        return self._tried(("visible", config.model, site), make, "its visible coordinates")

    def _points(self, config: RunConfig, revision: str, site: Site) -> Tensor | None:
        if site == "embed":
            return self._once(("vocabulary", revision), lambda: self._vocabulary(config))
        return self._once((revision, site), lambda: self._activations(revision, site))

    def _vocabulary(self, config: RunConfig) -> Tensor | None:
        make = lambda: self._workspace.vocabulary(config).points  # noqa: E731
        return self._tried(("points", config.model), make, "its vocabulary")

    def _activations(self, revision: str, site: Site) -> Tensor | None:
        mine = self._of(revision, site)
        if not mine:
            note(f"no store of this model below the folder has {site}: `promptpriors capture` one")
            return None
        share = POINTS // len(mine)
        return torch.cat([load_space(store, site, points=share).points for store in mine])

    def _of(self, revision: str, site: Site) -> list[Store]:
        return [
            store
            for store in self._stores
            if store.manifest["revision"] == revision
            and site in store.sites
            and store.manifest["what"] == "tokens"
        ]

    def _tried(self, key: Any, make: Callable[[], Any], what: str) -> Any:
        def attempt() -> Any:
            try:
                return make()
            except InputError as error:
                note(f"{what} is left out: {error}")
                return None

        return self._once(key, attempt)

    def _once(self, key: Any, make: Callable[[], Any]) -> Any:
        if key not in self._known:
            self._known[key] = make()
        return self._known[key]
