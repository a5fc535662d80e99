"""Position of runs' vectors among real points, before and after training."""

from collections.abc import Callable, Hashable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from promptpriors.activations import Store, load_space
from promptpriors.analysis.collapse import collapse
from promptpriors.analysis.location import between, displacement, kept, mahalanobis, reach_ratio
from promptpriors.analysis.spread import Scale, effective_rank
from promptpriors.config.run import RunConfig
from promptpriors.errors import InputError, note
from promptpriors.geometry import Moments, moments, neighbour_distance
from promptpriors.models import ModelSpec
from promptpriors.models.visible import visible
from promptpriors.priors import fit_prior
from promptpriors.rng import generator
from promptpriors.running.run import fit_priors
from promptpriors.running.workspace import Workspace
from promptpriors.runs import Run
from promptpriors.runs.positions import Position
from promptpriors.types import Prior, Site, Space

DRAWS = 99  # null prompts
CENTRED = 4096  # draws by which a prior's mean is measured
MAX_POINTS = 20_000  # of a site, among which the nearest are sought

View = Callable[[Tensor], Tensor]
Made = TypeVar("Made")


class Cloud:
    """Real points of a site, raw or in a view, with their moments measured once."""

    def __init__(self, points: Tensor, view: View | None = None) -> None:
        self.raw = points
        self.points = points if view is None else view(points)

    @cached_property
    def moments(self) -> Moments:
        """Mean and covariance of the points in the view."""
        return moments(self.points)

    @cached_property
    def scale(self) -> Scale:
        """Mean and deviation of each coordinate."""
        return Scale(self.moments.mean, self.moments.covariance.diagonal().sqrt())

    @cached_property
    def gaussian(self) -> Prior:
        """The Gaussian of the raw points."""
        return fit_prior("gaussian", Space("points", self.raw))


class Ends(NamedTuple):
    """Initial and final vectors of a run at a site, and the rates of its steps there."""

    run: str
    site: str
    start: Tensor
    end: Tensor
    rates: list[float]


def ends_of(run: Run, site: Site) -> Ends:
    """Read a finished run's vectors and rates at a site."""
    tensors = run.tensors()
    rates = [record["lr"].get(site) for record in run.metrics() if record.get("lr")]
    start, end = (tensors[f"{when}/{site}"].float() for when in ("initial", "final"))
    return Ends(run.id, site, start, end, [float(rate or 0) for rate in rates])


def position(ends: Ends, cloud: Cloud | None, prior: Prior | None, view: View | None) -> Position:
    """Measure a run at a site, in raw coordinates or as a block reads them.

    Args:
        ends: vectors before and after training.
        cloud: real points of the site with the same view; None where there are none, which leaves
            much out.
        prior: what the vectors were drawn from, for fresh draws; None leaves that null out.
        view: into visible coordinates; None for raw ones.
    """
    see = view or (lambda points: points)
    start, end = see(ends.start), see(ends.end)
    values: dict[str, Any] = {"displacement": displacement({"": start}, {"": end})}
    for when, vectors in (("start", start), ("end", end)):
        values[f"norm_{when}"] = float(vectors.norm(dim=1).mean())
        apart = float(torch.pdist(vectors).mean()) if len(vectors) > 1 else None
        values[f"pair_distance_{when}"] = apart
        if cloud is not None:
            radii = mahalanobis(vectors, cloud.moments.mean, cloud.moments.covariance)
            nearest = neighbour_distance(vectors, cloud.points)
            values |= {
                f"effective_rank_{when}": effective_rank(vectors, scale=cloud.scale),
                f"radius_{when}": float(radii.median()),
                f"nearest_{when}": float(nearest.mean()),
            }
    if view is None and prior is not None:
        values |= _of_prior(ends, prior)
    if cloud is not None:
        if view is None:
            values["reach_ratio"] = reach_ratio(ends.rates, ends.start, cloud.points)
        values |= _nulls(ends, cloud, prior, see)
    return Position.model_validate(values)


def _of_prior(ends: Ends, prior: Prior) -> dict[str, float | None]:
    """What is left of the start, and for a prior between two others the place on their line."""
    values = {"kept": kept(ends.start, ends.end, centre(prior, ends.site))}
    first, second = (getattr(prior, name, None) for name in ("first", "second"))
    if isinstance(first, Prior) and isinstance(second, Prior):
        centres = centre(first, ends.site), centre(second, ends.site)
        values["between_priors_start"] = between(ends.start, *centres)
        values["between_priors_end"] = between(ends.end, *centres)
    return values


def centre(prior: Prior, site: Site) -> Tensor:
    """Estimate a prior's mean at a site, of shape (dim,), from fixed draws."""
    draws = prior.sample(CENTRED, generator=generator(0, "compare", "centre", site))
    return draws.double().mean(dim=0)


def _nulls(ends: Ends, cloud: Cloud, prior: Prior | None, see: View) -> dict[str, Any]:
    """The three nulls; in visible coordinates lengths are all one, so displacements are raw."""
    stream = generator(0, "compare", ends.run, ends.site)
    length = len(ends.start)

    def draws(source: Prior) -> Tensor:
        return see(source.sample(DRAWS * length, generator=stream)).unflatten(0, (DRAWS, length))

    gaussian = draws(cloud.gaussian)
    found = collapse(
        see(ends.start),
        see(ends.end),
        cloud.points,
        redrawn=gaussian if prior is None else draws(prior),
        gaussian=gaussian,
        generator=stream,
        draws=DRAWS,
    )
    return {
        name: {"null": against.null, "p": against.p, "effect": against.effect}
        for name, against in found._asdict().items()
        if name != "redrawn" or prior is not None
    }


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

    def revision(self, model: str) -> str:
        """Version, commit or content hash that a model's name means today."""
        return self._workspace.revision(model)

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
