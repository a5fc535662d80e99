"""What figures are gathered from: stores, runs, maps and priors, each made once and kept."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

from promptpriors.activations import capture, join, load_space
from promptpriors.activations.store import What
from promptpriors.analysis.projection import Plane, fit_plane, ordinary, project
from promptpriors.analysis.tsne import Tsne, fit_tsne
from promptpriors.config.run import RunConfig, parse_config
from promptpriors.config.sections import CaptureSection
from promptpriors.data import choose_task
from promptpriors.models import Backbone, load_model
from promptpriors.paper.figure_plan import Domain, FigurePlan
from promptpriors.progress import OnProgress
from promptpriors.registry import Choice
from promptpriors.rng import generator
from promptpriors.running.capture import examples_of, plan_of
from promptpriors.running.run import execute, fit
from promptpriors.running.workspace import Workspace
from promptpriors.runs import Run, load_prompt
from promptpriors.types import Prior, Site, Space

STORES = "stores"
"""The folder of stores below a runs folder."""
T = TypeVar("T")


class Material:
    """Makes what is missing, once.

    Args:
        plan: what the figures are made from.
        runs: the runs folder; stores lie in ``stores`` below it.
        workspace: has models and tasks.
        on_progress: called with stage, share done, and what is known so far.
    """

    def __init__(
        self, plan: FigurePlan, runs: Path, workspace: Workspace, on_progress: OnProgress
    ) -> None:
        self.plan, self.runs, self.workspace, self.on_progress = plan, runs, workspace, on_progress
        self._made: dict[Any, Any] = {}

    @property
    def config(self) -> RunConfig:
        """A config of the plan's model, for what is the same in every run."""
        first = next(iter(self.plan.runs))
        return self._once(("config", first), lambda: self._config(first, spaces=False))

    @property
    def backbone(self) -> Backbone:
        """The plan's model."""
        return self.workspace.backbone(self.config)

    @property
    def encoder(self) -> Backbone:
        """The encoder–decoder of figure 5."""
        return self._once("encoder", lambda: load_model(self.plan.encoder, reading=True))

    @property
    def blocks(self) -> list[Site]:
        """The inputs of the model's blocks."""
        return [site for site in self.backbone.sites if site.startswith("block.")]

    @property
    def last(self) -> Site:
        """The input of the last block."""
        return self.blocks[-1]

    @property
    def higher(self) -> Site:
        """A block two thirds up."""
        return self.blocks[2 * len(self.blocks) // 3]

    @property
    def sites(self) -> tuple[Site, ...]:
        """Where the domains are captured."""
        return tuple(dict.fromkeys(["embed", self.higher, *self.blocks[-3:]]))

    def random(self, *purpose: str | int) -> torch.Generator:
        """A stream of its own for each purpose."""
        return generator(self.plan.seed, "figures", *purpose)

    def vocabulary(self) -> Space:
        """The model's vocabulary."""
        return self.workspace.vocabulary(self.config)

    def store(self, domain: str) -> Path:
        """The store of a domain."""
        found = self.plan.domains[domain]
        return self.captured(domain, self.backbone, found, self.sites)

    def captured(
        self,
        name: str,
        backbone: Backbone,
        domain: Domain,
        sites: Sequence[Site],
        what: What = "tokens",
        run: str | None = None,
    ) -> Path:
        """A store of a task under a name, captured where it is missing.

        Behind the trained prompt of one of the plan's runs, if it is named.
        """

        def make() -> Path:
            examples = examples_of(self.workspace, domain.task, domain.split)
            folder = None if run is None else self.run(run).folder
            prompt = None if folder is None else load_prompt(folder)
            section = CaptureSection(
                split=domain.split, documents=domain.documents, tokens=domain.tokens, what=what
            )
            plan = plan_of(
                backbone,
                domain.task,
                section,
                examples,
                tuple(sites),
                prompt=None if folder is None else folder.name,
            )
            place = self.runs / STORES / name
            told = lambda share: self.on_progress(f"capturing {name}", share, {})  # noqa: E731
            return capture(backbone, examples, plan, place, prompt=prompt, told=told).folder

        return self._once(("store", name), make)

    def space(self, domain: str, site: Site, **chosen: Any) -> Space:
        """The activations of a domain at a site, as ``load_space`` takes them."""
        key = ("space", domain, site, repr(sorted(chosen.items())))
        return self._once(key, lambda: load_space(self.store(domain), site, **chosen))

    def joined(self, domains: Iterable[str], site: Site, **chosen: Any) -> Space:
        """Several domains' activations together."""
        return join([self.space(domain, site, **chosen) for domain in domains])

    def plane(self, name: str, points: Callable[[], Tensor]) -> Plane:
        """The principal plane of a cloud's ordinary points, the same wherever it is named."""
        return self._once(("plane", name), lambda: fit_plane(ordinary(points())))

    def tsne(self, name: str, points: Callable[[], Tensor]) -> Tsne:
        """The t-SNE map of a cloud, the same for every figure that names it."""

        def make() -> Tsne:
            self.on_progress(f"t-SNE of {name}", 0.0, {})
            return fit_tsne(points(), seed=self.plan.seed)

        return self._once(("tsne", name), make)

    def run(self, name: str) -> Run:
        """A run of the plan, trained where it is missing."""

        def make() -> Run:
            def told(stage: str, share: float, more: Mapping[str, Any]) -> None:
                self.on_progress(f"{name}: {stage}", share, more)

            return execute(self.run_config(name), self.runs, self.workspace, on_progress=told)

        return self._once(("run", name), make)

    def run_config(self, name: str) -> RunConfig:
        """The resolved config of a run of the plan."""
        return self._once(("config", name, "full"), lambda: self._config(name, spaces=True))

    def prior(self, name: str, site: Site) -> Prior:
        """The prior that a run's vectors at a site were drawn from, fitted again."""
        found = self._once(("prior", name), lambda: fit(self.run_config(name), self.workspace))
        return found[site] if isinstance(found, Mapping) else cast("Prior", found)

    def labels(self, tokens: Tensor, backbone: Backbone | None = None) -> list[str]:
        """The text of each token."""
        tokenizer = (backbone or self.backbone).tokenizer
        known = {i: tokenizer.decode([i]) for i in tokens.unique().tolist()}
        return [known[i] for i in tokens.tolist()]

    def _config(self, name: str, *, spaces: bool) -> RunConfig:
        blocks = self.workspace.blocks(_bare(self.plan))
        plain = dict(self.plan.runs[name])
        prompt = dict(plain.get("prompt", {}))
        if prompt.get("sites") == "last 3":
            prompt["sites"] = [f"block.{i}" for i in range(max(0, blocks - 3), blocks)]
            plain["prompt"] = prompt
        resolve = self._resolved if spaces else _without_spaces
        plain["prior"] = resolve(plain["prior"])
        return parse_config(plain).placed(blocks)

    def _resolved(self, prior: Any) -> Any:
        """A prior's config in which ``store:DOMAIN`` is the folder of that domain's store."""
        if isinstance(prior, list):
            return [self._resolved(part) for part in prior]
        if isinstance(prior, dict):
            return {key: self._resolved(value) for key, value in prior.items()}
        where, _, name = prior.partition(":") if isinstance(prior, str) else ("", "", "")
        if where == "store" and name in self.plan.domains:
            return f"store:{self.store(name)}"
        return prior

    def _once(self, key: Any, make: Callable[[], T]) -> T:
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]


def seen(plane: Plane, points: Tensor) -> Tensor:
    """Points on a plane."""
    return project(points, plane.mean, plane.components)


def _bare(plan: FigurePlan) -> RunConfig:
    plain = {"model": plan.model, "task": "mathematics", "prior": "xavier"}
    return parse_config(plain | {"device": plan.device.model_dump()})


def _without_spaces(_: Any) -> Any:
    return "xavier"


def task_of(name: str, **params: Any) -> Choice:
    """A task's choice."""
    return choose_task({"name": name, **params})
