"""Inputs of the figures: stores, runs, maps and priors of one plan."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

from promptpriors.activations import join, load_space
from promptpriors.activations.spaces import Pool
from promptpriors.activations.store import What
from promptpriors.analysis.projection import Plane, fit_plane, ordinary, project
from promptpriors.analysis.tsne import Tsne, fit_tsne
from promptpriors.config.run import RunConfig, parse_config
from promptpriors.config.sections import CaptureSection
from promptpriors.models import Backbone, ModelSpec
from promptpriors.paper.figure_plan import Domain, FigurePlan
from promptpriors.progress import OnProgress
from promptpriors.rng import generator
from promptpriors.running.capture import capture_task
from promptpriors.running.run import execute, fit_priors
from promptpriors.running.workspace import Workspace
from promptpriors.runs import Run, load_prompt
from promptpriors.types import Prior, Site, Space

DRAWN_POINTS = 20_000
"""Points of a space that are drawn; all count in the numbers."""
Made = TypeVar("Made")


@dataclass(frozen=True)
class FigureInputs:
    """Inputs of one plan's figures, kept in the workspace; stores lie below the runs folder."""

    plan: FigurePlan
    runs: Path
    workspace: Workspace
    on_progress: OnProgress

    @property
    def spec(self) -> ModelSpec:
        """The plan's model on its device."""
        return self.plan.device.model_spec(self.plan.model)

    @property
    def backbone(self) -> Backbone:
        """The plan's model."""
        return self.workspace.backbone(self.spec)

    @property
    def encoder(self) -> Backbone:
        """The encoder–decoder of figure 5."""
        return self.workspace.backbone(ModelSpec(self.plan.encoder), reading=True)

    @property
    def blocks(self) -> list[Site]:
        """The inputs of the model's blocks."""
        return [site for site in self.backbone.sites if site.startswith("block.")]

    @property
    def last_block(self) -> Site:
        """The input of the last block."""
        return self.blocks[-1]

    @property
    def two_thirds_block(self) -> Site:
        """The input of a block two thirds up."""
        return self.blocks[2 * len(self.blocks) // 3]

    @property
    def sites(self) -> tuple[Site, ...]:
        """Sites at which the domains are captured."""
        return tuple(dict.fromkeys(["embed", self.two_thirds_block, *self.blocks[-3:]]))

    def random(self, *purpose: str | int) -> torch.Generator:
        """A stream of its own for each purpose."""
        return generator(self.plan.seed, "figures", *purpose)

    def sample(self, points: Tensor) -> Tensor:
        """At most ``DRAWN_POINTS`` points of a space, at random."""
        return points[torch.randperm(len(points), generator=self.random("shown"))[:DRAWN_POINTS]]

    def vocabulary(self) -> Space:
        """The model's vocabulary."""
        return self.workspace.vocabulary(self.spec)

    def store(self, domain: str) -> Path:
        """The store of a domain."""
        return self.captured(domain, self.backbone, self.plan.domains[domain], self.sites)

    def captured(
        self,
        name: str,
        backbone: Backbone,
        domain: Domain,
        sites: Sequence[Site],
        what: What = "tokens",
        run: str | None = None,
    ) -> Path:
        """A store of a task by name, captured where it is missing; behind a run's prompt."""

        def make() -> Path:
            folder = self.run(run).folder if run else None
            return capture_task(
                self.workspace,
                backbone,
                domain.choice,
                CaptureSection(**domain.model_dump(exclude={"task"}), what=what),
                sites,
                folder=self.runs / "stores" / name,
                behind=folder and (folder.name, load_prompt(folder)),
                stage=f"capturing {name}",
                on_progress=self.on_progress,
            ).folder

        return self._once("figure store", name, make)

    def space(self, domain: str, site: Site, *, pool: Pool = "token", first: bool = False) -> Space:
        """The activations of a domain at a site, as ``load_space`` takes them."""
        key = domain, site, pool, first
        load = partial(load_space, site=site, pool=pool, first=first)
        return self._once("figure space", key, lambda: load(self.store(domain)))

    def joined(self, site: Site, *domains: str) -> Tensor:
        """Points of several domains' activations together."""
        return join([self.space(domain, site) for domain in domains]).points

    def text_plane(self, site: Site) -> Plane:
        """The principal plane of C4 and SQuAD at a site."""
        return self.plane(f"c4 squad {site}", lambda: self.joined(site, "c4", "squad"))

    def plane(self, name: str, points: Callable[[], Tensor]) -> Plane:
        """The principal plane of a space's ordinary points, by name."""
        return self._once("figure plane", name, lambda: fit_plane(ordinary(points())))

    def tsne(self, name: str, points: Callable[[], Tensor]) -> Tsne:
        """The t-SNE map of a space, by name."""

        def make() -> Tsne:
            self.on_progress(f"t-SNE of {name}", 0.0, {})
            return fit_tsne(points(), seed=self.plan.seed)

        return self._once("figure t-SNE", name, make)

    def run(self, name: str) -> Run:
        """A run of the plan, trained where it is missing."""

        def report(stage: str, share: float, known: Mapping[str, Any]) -> None:
            self.on_progress(f"{name}: {stage}", share, known)

        config = self.run_config(name)
        train = partial(execute, config, self.runs, self.workspace, on_progress=report)
        return self._once("figure run", name, train)

    def run_config(self, name: str) -> RunConfig:
        """The resolved config of a run of the plan, whose stores are captured."""

        def make() -> RunConfig:
            blocks = self.workspace.blocks(self.plan.model)
            plain = deepcopy(self.plan.runs[name])
            if plain.get("prompt", {}).get("sites") == "last 3":
                last = range(max(0, blocks - 3), blocks)
                plain["prompt"]["sites"] = [f"block.{i}" for i in last]
            plain["prior"] = self._with_folders(plain["prior"])
            return parse_config(plain).placed(blocks)

        return self._once("figure config", name, make)

    def prior(self, name: str, site: Site) -> Prior:
        """The prior of a run's vectors at a site, fitted again."""
        fit = partial(fit_priors, self.run_config(name), self.workspace)
        fitted = self._once("figure prior", name, fit)
        return fitted[site] if isinstance(fitted, Mapping) else cast("Prior", fitted)

    def _with_folders(self, prior: Any) -> Any:
        """A prior's config with the folder of a domain's store for ``store:DOMAIN``."""
        if isinstance(prior, list):
            return [self._with_folders(part) for part in prior]
        if isinstance(prior, dict):
            return {key: self._with_folders(value) for key, value in prior.items()}
        where, _, name = str(prior).partition(":")
        stored = where == "store" and name in self.plan.domains
        return f"store:{self.store(name)}" if stored else prior

    def _once(self, kind: str, key: Hashable, make: Callable[[], Made]) -> Made:
        """Make an input once for this plan and runs folder."""
        return self.workspace.once(kind, (self.plan.fingerprint, self.spec, self.runs, key), make)


def on_plane(plane: Plane, points: Tensor) -> Tensor:
    """Project points on a plane."""
    return project(points, plane.mean, plane.components)


def rows_of(space: Space, rows: Tensor) -> Space:
    """Take points of a space by number or mask, with all that is known of each."""
    kept = {k: v[rows] for k, v in space._asdict().items() if isinstance(v, Tensor)}
    return space._replace(**kept)
