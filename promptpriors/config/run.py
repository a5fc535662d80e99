"""Config of a run: typed, frozen, and checked before a model is loaded."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

from promptpriors.config.overrides import override
from promptpriors.config.sections import (
    CaptureSection,
    DeviceSection,
    PromptSection,
    TrainSection,
    fitted_to,
)
from promptpriors.config.sources import Source, identified, nested_choices, with_sources
from promptpriors.data import choose_task
from promptpriors.errors import InputError
from promptpriors.files import read_toml
from promptpriors.models import ModelSpec
from promptpriors.priors import PRIORS
from promptpriors.prompts import check_mode, sites_of
from promptpriors.prompts.objectives import check_mode_of
from promptpriors.registry import Choice, Field, Seed, Strict, choose, validate
from promptpriors.runs.places import anchored
from promptpriors.training import REGULARISERS
from promptpriors.training.settings import RelativeRate, check_warmup
from promptpriors.types import Site


class _Sections(Strict):
    """The file as a whole; ``task`` and ``prior`` are checked against their tables afterwards."""

    model: Annotated[str, Field(min_length=1)]
    seed: Seed = 0
    task: dict[str, Any] | str
    prior: dict[str, Any] | str
    prompt: PromptSection = PromptSection()
    train: TrainSection = TrainSection()
    capture: CaptureSection = CaptureSection()
    device: DeviceSection = DeviceSection()


@dataclass(frozen=True)
class RunConfig:
    """Resolved config of a run, every value present and checked.

    ``priors`` are those of single sites, ``prior`` is that of all others; ``regularisers`` stand
    here parsed and no longer in ``train``.
    """

    model: str
    seed: int
    task: Choice
    prior: Choice
    priors: Mapping[Site, Choice]
    regularisers: tuple[Choice, ...]
    prompt: PromptSection
    train: TrainSection
    capture: CaptureSection
    device: DeviceSection

    def plain(self) -> dict[str, Any]:
        """The config as ``config.toml`` holds it."""
        return self._written(Choice.plain)

    def identified(self, identity: Callable[[Source], str]) -> dict[str, Any]:
        """The part of the config that its id depends on, with sources' identities.

        The capture section counts through the sources alone, none of which a prompt without vectors
        reads.
        """
        empty = self.prompt.mode == "none"
        found = self._written(Choice.plain if empty else partial(identified, identity=identity))
        del found["capture"]
        return found

    def placed(self, blocks: int) -> "RunConfig":
        """The config with the prompt's sites, in a model of so many blocks.

        Raises:
            InputError: for a block that the model does not have, or a prior at a site where the
                prompt has no vectors.
        """
        sites = list(sites_of(self.prompt.mode, self.prompt.sites, blocks))
        for site in self.priors:
            if site not in sites:
                raise InputError(
                    f"prior.sites has {site!r}, where the prompt has no vectors; it has "
                    f"{', '.join(sites) or 'none'}"
                )
        return replace(self, prompt=self.prompt.model_copy(update={"sites": sites}))

    @cached_property
    def model_spec(self) -> ModelSpec:
        """The model on its device."""
        return self.device.model_spec(self.model)

    @property
    def by_site(self) -> bool:
        """True where each site has a prior of its own, or the fit depends on where it is drawn."""
        parts = nested_choices(self.prior)
        alike = all(part.name != "text" and not part.params["space"].by_site for part in parts)
        return bool(self.priors) or not alike

    def prior_at(self, site: Site) -> Choice:
        """The prior of a site."""
        return self.priors.get(site, self.prior)

    def sites_read(self) -> dict[str, tuple[Site, ...]]:
        """Sites by task that one pass captures for priors and regularisers.

        A prior that is drawn once for all sites, as ``kv`` has it, is drawn at ``embed``.
        """
        sites = self.prompt.sites or ["embed"]
        fitted = [
            (site, part)
            for site in (sites if self.by_site else ["embed"])
            for part in nested_choices(self.prior_at(site))
        ]
        fitted += [(site, choice) for site in sites for choice in self.regularisers]
        found: dict[str, set[Site]] = {}
        for site, choice in fitted:
            for source in choice.params["space"].parts if "space" in choice.params else ():
                if source.kind == "task":
                    found.setdefault(source.name, set()).add(source.at(site))
        return {
            task: tuple(sorted(read, key=lambda site: (site != "embed", len(site), site)))
            for task, read in found.items()
        }

    @property
    def order(self) -> int:
        """Seed of the data's order."""
        return self.seed if self.train.order is None else self.train.order

    @property
    def lr(self) -> float | dict[str, float]:
        """The rate as ``training.train`` takes it."""
        given = self.train.lr
        return {"relative": given.relative} if isinstance(given, RelativeRate) else given

    def _written(self, write: Callable[[Choice], dict[str, Any]]) -> dict[str, Any]:
        own = {site: write(choice) for site, choice in self.priors.items()}
        train = self.train.model_dump()
        train["regulariser"] = [write(choice) for choice in self.regularisers] or None
        return {
            "model": self.model,
            "seed": self.seed,
            "task": self.task.plain(),
            "prior": write(self.prior) | ({"sites": own} if own else {}),
            "prompt": self.prompt.model_dump(),
            "train": train,
            "capture": self.capture.model_dump(),
            "device": self.device.model_dump(),
        }


def read_config(path: Path, overrides: Iterable[str] = ()) -> RunConfig:
    """Read and check a TOML file.

    Overrides are ``key.key=value``, values as TOML, or as strings where they are no TOML. Relative
    paths are looked for in the working folder, then beside the file.

    Raises:
        InputError: for a missing or malformed file, and whatever the check finds.
    """
    return parse_config(anchored(override(read_toml(path), overrides), [path.parent]))


def parse_config(config: Mapping[str, Any]) -> RunConfig:
    """Check a config as read from TOML and fill in every default.

    Raises:
        InputError: for anything unknown, of a wrong type or range, or that does not go together.
    """
    sections: _Sections = validate(_Sections, config, "config")
    prompt, train = sections.prompt, sections.train
    if prompt.mode == "none":
        prompt = PromptSection(mode="none", length=0, sites=[], bos=prompt.bos)
    check_mode(prompt.mode, prompt.length, prompt.sites)
    check_mode_of(train.objective, prompt.mode)
    _check_lora(prompt, train)
    if train.frozen or (prompt.mode == "none" and train.lora is None):
        train = train.model_copy(update={"frozen": True, "steps": 0, "warmup": 0})
    elif train.steps == 0:
        raise InputError(
            "train.steps = 0: expected at least 1 (to evaluate the draw: frozen = true)"
        )
    check_warmup(train.warmup, train.steps)
    if sections.device.attention == "flex" and sections.device.name == "cpu" and not train.frozen:
        raise InputError(
            "device.attention = 'flex' has no backward pass on a CPU; take 'auto', or a GPU"
        )
    given = [] if train.regulariser is None else train.regulariser
    prior, own = sections.prior, {}
    if isinstance(prior, dict):
        prior = dict(prior)
        own = prior.pop("sites", {})
    if not isinstance(own, Mapping):
        raise InputError('prior.sites: expected sections such as [prior.sites."block.28"]')
    return RunConfig(
        model=sections.model,
        seed=sections.seed,
        task=choose_task(sections.task),
        prior=_prior(prior, prompt.length),
        priors={site: _prior(config, prompt.length) for site, config in own.items()},
        regularisers=tuple(map(_regulariser, given if isinstance(given, list) else [given])),
        prompt=prompt,
        train=train.model_copy(update={"regulariser": None}),
        capture=sections.capture,
        device=sections.device,
    )


def _prior(config: Any, length: int) -> Choice:
    defaults = {"length": max(1, length)}
    return with_sources(choose("prior", PRIORS, config, common=fitted_to, defaults=defaults))


def _regulariser(config: Any) -> Choice:
    choice = choose("regulariser", REGULARISERS, config, supplied=())
    return with_sources(choice, of=f"regulariser {choice.name!r}: space")


def _check_lora(prompt: PromptSection, train: TrainSection) -> None:
    """Refuse settings that do not go with ``train.lora``, if there is one."""
    if train.lora is None:
        return
    given = f"train.lora = {train.lora}"
    if prompt.mode != "none":
        raise InputError(
            f"{given} is trained in place of a prompt, and prompt.mode is {prompt.mode!r}\n"
            "Set prompt.mode = 'none', or leave out train.lora"
        )
    if isinstance(train.lr, RelativeRate):
        raise InputError(
            f"{given} needs an absolute rate, found train.lr = {{relative = {train.lr.relative:g}}}"
            "\nIts weights start at zero, which sets no scale; give a number, such as train.lr=1e-3"
        )
    if train.frozen:
        raise InputError(
            f"{given} is to be trained, and train.frozen is true; leave one of them out"
        )
    if train.regulariser:
        raise InputError(f"{given}: a regulariser holds a prompt's vectors, and there are none")
    if find_spec("peft") is None:
        raise InputError(f"{given} needs the library peft: pip install 'promptpriors[peft]'")
