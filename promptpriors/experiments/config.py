"""A run's config: typed, frozen, strict. It is checked before any model is loaded."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from promptpriors.data import choose_task
from promptpriors.errors import InputError
from promptpriors.files import read_toml
from promptpriors.priors import PRIORS
from promptpriors.prompts import check_mode, sites_of
from promptpriors.registry import Choice, Field, Strict, choose, validate
from promptpriors.training.rates import LARGEST, Schedule

Positive = Annotated[float, Field(gt=0, le=LARGEST)]


class RelativeRate(Strict):
    """A rate in units of the start's root mean square per coordinate."""

    relative: Positive


class PromptSection(Strict):
    """``[prompt]``: how it enters the network and how many vectors it has; no sites: the mode's."""

    mode: str = "soft"
    length: Annotated[int, Field(ge=0, le=100_000)] = 20
    sites: list[str] | None = None
    bos: bool = False


class TrainSection(Strict):
    """``[train]``: see ``training.train``."""

    steps: Annotated[int, Field(ge=0)] = 200
    batch: Annotated[int, Field(ge=1)] = 16
    batch_tokens: Annotated[int, Field(ge=1)] | None = None
    lr: Positive | RelativeRate = RelativeRate(relative=0.1)
    schedule: Schedule = "constant"
    warmup: Annotated[int, Field(ge=0)] = 0
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    clip: Positive | None = None
    evaluate_every: Annotated[int, Field(ge=1)] = 20
    grouping: Literal["shared", "none"] = "shared"
    frozen: bool = False


class DeviceSection(Strict):
    """``[device]``: where and how it runs; but for the precision no part of a run's id.

    ``device_map`` spreads a model over several devices; ``checkpointing`` trades time for memory;
    ``trunk_cache`` keeps what the blocks below a deep prompt compute.
    """

    name: str = "cpu"
    device_map: Literal["auto", "balanced", "balanced_low_0", "sequential"] | None = None
    attention: Literal["auto", "blocks", "dense", "flex"] = "auto"
    checkpointing: bool = False
    trunk_cache: bool = True
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None


class _Sections(Strict):
    """The file as a whole; ``task`` and ``prior`` are checked against their tables afterwards."""

    model: str
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    task: dict[str, Any] | str
    prior: dict[str, Any] | str
    prompt: PromptSection = PromptSection()
    train: TrainSection = TrainSection()
    device: DeviceSection = DeviceSection()


@dataclass(frozen=True)
class RunConfig:
    """A resolved config: every value is there and checked."""

    model: str
    seed: int
    task: Choice
    prior: Choice
    prompt: PromptSection
    train: TrainSection
    device: DeviceSection

    def plain(self) -> dict[str, Any]:
        """As ``config.toml`` holds it."""
        sections = {
            name: getattr(self, name).model_dump() for name in ("prompt", "train", "device")
        }
        return {
            "model": self.model,
            "seed": self.seed,
            "task": self.task.plain(),
            "prior": self.prior.plain(),
            **sections,
        }

    def placed(self, blocks: int) -> "RunConfig":
        """The same with its sites, in a model of so many blocks.

        Raises:
            InputError: for a block that the model does not have.
        """
        sites = list(sites_of(self.prompt.mode, self.prompt.sites, blocks))
        return replace(self, prompt=self.prompt.model_copy(update={"sites": sites}))

    @property
    def lr(self) -> float | dict[str, float]:
        """The rate as ``training.train`` takes it."""
        given = self.train.lr
        return {"relative": given.relative} if isinstance(given, RelativeRate) else given


def read_config(path: Path, overrides: Iterable[str] = ()) -> RunConfig:
    """Read and check a TOML file.

    Args:
        path: the file.
        overrides: ``key.key=value`` each, values as TOML, or as strings where they are no TOML.

    Raises:
        InputError: for a missing or malformed file, and whatever the check finds.
    """
    return parse_config(override(read_toml(path), overrides))


def override(config: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """A copy of ``config`` with single values replaced.

    >>> override({"train": {"steps": 1}}, ["train.steps=5", "prior.name=xavier"])
    {'train': {'steps': 5}, 'prior': {'name': 'xavier'}}
    """
    result = {k: dict(v) if isinstance(v, Mapping) else v for k, v in config.items()}
    for item in overrides:
        key, equals, text = item.partition("=")
        if not equals or not key:
            raise InputError(f"override {item!r}: expected key=value, such as train.lr=1e-3")
        *path, last = key.strip().split(".")
        place = result
        for step in path:
            inner = place.get(step, {})
            if isinstance(inner, str) and step in {"task", "prior"}:
                inner = {"name": inner}
            if not isinstance(inner, Mapping):
                raise InputError(f"override {item!r}: {step!r} is a value, not a section")
            place[step] = dict(inner)
            place = place[step]
        place[last] = _value(text)
    return result


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
    if prompt.mode == "none" or train.frozen:
        train = train.model_copy(update={"frozen": True, "steps": 0, "warmup": 0})
    elif train.steps == 0:
        raise InputError(
            "train.steps = 0: expected at least 1 (to evaluate the draw: frozen = true)"
        )
    if train.warmup > train.steps:
        raise InputError(f"train.warmup = {train.warmup} is more than train.steps = {train.steps}")
    if sections.device.attention == "flex" and sections.device.name == "cpu" and not train.frozen:
        raise InputError(
            "device.attention = 'flex' has no backward pass on a CPU; take 'auto', or a GPU"
        )
    length = {"length": max(1, prompt.length)}
    return RunConfig(
        model=sections.model,
        seed=sections.seed,
        task=choose_task(sections.task),
        prior=choose("prior", PRIORS, sections.prior, common=fitted_to, defaults=length),
        prompt=prompt,
        train=train,
        device=sections.device,
    )


def fitted_to(
    *,
    space: str | list[str] = "vocabulary",
    pool: Literal["token", "mean"] = "token",
) -> None:
    """What every prior's config says besides its own parameters: the schema is this signature.

    Args:
        space: the cloud that the prior is fitted to.
        pool: one point a token, or one an example.
    """


def _value(text: str) -> Any:
    try:
        found = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    except (ValueError, RecursionError) as error:
        raise InputError(f"override value {text[:40]!r}: {error}") from None
    return found["value"] if len(found) == 1 else text
