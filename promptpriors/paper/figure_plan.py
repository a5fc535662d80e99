"""Plan of the figures: domains, captures and a few runs, from a TOML file."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from promptpriors.config.overrides import merged
from promptpriors.config.sections import DeviceSection
from promptpriors.data import choose_task
from promptpriors.errors import InputError
from promptpriors.files import canonical, read_toml
from promptpriors.models import revision
from promptpriors.registry import Choice, Field, Strict, validate

VERSION = 1
"""Raised whenever a figure or a chart of the same plan would change."""
DOMAINS = ("c4", "squad", "mathematics")
"""Domains that the figures speak of."""
RUNS = {
    6: ("isotropic-fast",),
    7: ("isotropic-slow",),
    8: ("gaussian-fast",),
    3: ("squad-gaussian",),
    10: ("squad-gaussian", "squad-xavier"),
    11: ("deep-gaussian", "deep-xavier"),
    12: ("deep-interpolation",),
}
"""The runs that a figure shows."""


class DomainSection(Strict):
    """``[domains.NAME]``: a task and how much of it is captured."""

    task: dict[str, Any] | str
    split: str = "train"
    documents: Annotated[int, Field(ge=40)] = 400
    tokens: Annotated[int, Field(ge=2)] = 256


class LayersSection(Strict):
    """``[layers]``: C4 at every block, for figure 4."""

    documents: Annotated[int, Field(ge=40)] = 200
    tokens: Annotated[int, Field(ge=2)] = 64


class MeansSection(Strict):
    """``[means]``: C4 and single arithmetic tasks by example, for figure 5."""

    modules: list[str]
    documents: Annotated[int, Field(ge=40)] = 100


class _File(Strict):
    model: str
    encoder: str
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    domains: dict[str, DomainSection]
    layers: LayersSection = LayersSection()
    means: MeansSection
    base: dict[str, Any] = Field(default_factory=dict)
    runs: dict[str, dict[str, Any]]
    device: DeviceSection = DeviceSection()


@dataclass(frozen=True)
class Domain:
    """Extent of one domain's capture."""

    task: Choice
    split: str
    documents: int
    tokens: int


@dataclass(frozen=True)
class FigurePlan:
    """Checked plan of the figures.

    Attributes:
        path: the file it was read from.
        model: of every figure but the fifth.
        encoder: the encoder–decoder of figure 5.
        seed: of draws, maps and tests.
        domains: by name.
        layers: see ``LayersSection``.
        means: see ``MeansSection``.
        runs: by name, configs whose spaces may say ``store:DOMAIN``.
        device: where it runs.
    """

    path: Path
    model: str
    encoder: str
    seed: int
    domains: Mapping[str, Domain]
    layers: LayersSection
    means: MeansSection
    runs: Mapping[str, dict[str, Any]]
    device: DeviceSection

    @cached_property
    def fingerprint(self) -> str:
        """Hash of all that the figures depend on."""
        whole = {
            "version": VERSION,
            "model": revision(self.model),
            "encoder": revision(self.encoder),
            "seed": self.seed,
            "domains": {
                name: [domain.task.plain(), domain.split, domain.documents, domain.tokens]
                for name, domain in self.domains.items()
            },
            "layers": self.layers.model_dump(),
            "means": self.means.model_dump(),
            "runs": dict(self.runs),
        }
        return hashlib.sha256(canonical(whole).encode()).hexdigest()[:16]


def read_plan(path: Path) -> FigurePlan:
    """Read and check a plan.

    Raises:
        InputError: for a missing or malformed file, a domain or run that a figure needs and the
            file lacks, or a task that does not exist.
    """
    file = validate(_File, read_toml(path), "config")
    runs = dict.fromkeys(name for names in RUNS.values() for name in names)
    for kind, needed, given in (("domain", DOMAINS, file.domains), ("run", runs, file.runs)):
        missing = [name for name in needed if name not in given]
        if missing:
            raise InputError(
                f"{path}: the figures need the {kind}s {', '.join(needed)}; "
                f"add [{kind}s.{missing[0]}]"
            )
    domains = {
        name: Domain(choose_task(section.task), section.split, section.documents, section.tokens)
        for name, section in file.domains.items()
    }
    own = {"model": file.model, "device": file.device.model_dump(), "seed": file.seed}
    shared = merged(own, file.base)
    return FigurePlan(
        path=path,
        model=file.model,
        encoder=file.encoder,
        seed=file.seed,
        domains=domains,
        layers=file.layers,
        means=file.means,
        runs={name: merged(shared, run) for name, run in file.runs.items()},
        device=file.device,
    )
