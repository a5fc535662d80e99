"""Plan of the figures: domains, captures and a few runs, from a TOML file."""

import hashlib
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
DOMAINS = {"c4": "C4", "squad": "SQuAD", "mathematics": "arithmetic"}
"""Domains that the figures speak of, with their labels."""
RUNS: dict[int, tuple[str, ...]] = {
    6: ("isotropic-fast",),
    7: ("isotropic-slow",),
    8: ("gaussian-fast",),
    3: ("squad-gaussian",),
    10: ("squad-gaussian", "squad-xavier"),
    11: ("deep-gaussian", "deep-xavier"),
    12: ("deep-interpolation",),
}
NEEDED = tuple(dict.fromkeys(name for names in RUNS.values() for name in names))


class Domain(Strict):
    """``[domains.NAME]``: a task and how much of it is captured."""

    task: dict[str, Any] | str
    split: str = "train"
    documents: Annotated[int, Field(ge=40)] = 400
    tokens: Annotated[int, Field(ge=2)] = 256

    @property
    def choice(self) -> Choice:
        """The checked task; raises InputError if there is none."""
        return choose_task(self.task)


class LayersSection(Strict):
    """``[layers]``: C4 at every block, for figure 4."""

    documents: Annotated[int, Field(ge=40)] = 200
    tokens: Annotated[int, Field(ge=2)] = 64


class MeansSection(Strict):
    """``[means]``: C4 and single arithmetic tasks by example, for figure 5."""

    modules: list[str]
    documents: Annotated[int, Field(ge=40)] = 100


class FigurePlan(Strict):
    """Plan of the figures.

    Attributes:
        model: of every figure but the fifth.
        encoder: the encoder–decoder of figure 5.
        seed: of draws, maps and tests.
        base: what the configs of all runs share.
        runs: by name, whole configs whose spaces may say ``store:DOMAIN``.
    """

    model: str
    encoder: str
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    domains: dict[str, Domain]
    layers: LayersSection = LayersSection()
    means: MeansSection
    base: dict[str, Any] = Field(default_factory=dict)
    runs: dict[str, dict[str, Any]]
    device: DeviceSection = DeviceSection()

    @cached_property
    def fingerprint(self) -> str:
        """Hash of all that the figures depend on."""
        whole = {
            "version": VERSION,
            "model": revision(self.model),
            "encoder": revision(self.encoder),
            "domains": {
                name: [domain.choice.plain(), domain.split, domain.documents, domain.tokens]
                for name, domain in self.domains.items()
            },
            **self.model_dump(include={"seed", "layers", "means", "runs"}),
        }
        return hashlib.sha256(canonical(whole).encode()).hexdigest()[:16]


def read_plan(path: Path) -> FigurePlan:
    """Read and check a plan.

    Raises:
        InputError: for a missing or malformed file, a domain or run that a figure needs and the
            file lacks, or a task that does not exist.
    """
    plan = validate(FigurePlan, read_toml(path), "config")
    for kind, needed, given in (("domain", DOMAINS, plan.domains), ("run", NEEDED, plan.runs)):
        missing = [name for name in needed if name not in given]
        if missing:
            raise InputError(
                f"{path}: the figures need the {kind}s {', '.join(needed)}; "
                f"add [{kind}s.{missing[0]}]"
            )
    for domain in plan.domains.values():
        choose_task(domain.task)
    own = {"model": plan.model, "device": plan.device.model_dump(), "seed": plan.seed}
    shared = merged(own, plan.base)
    return plan.model_copy(update={"runs": {k: merged(shared, v) for k, v in plan.runs.items()}})
