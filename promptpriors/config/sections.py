"""Sections of a config: types, ranges and defaults; and the config of a capture."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from promptpriors.config.overrides import override
from promptpriors.data import choose_task
from promptpriors.files import read_toml
from promptpriors.models import Attention, ModelSpec
from promptpriors.models.cache import cache_path
from promptpriors.prompts.draw import Drawn
from promptpriors.registry import Choice, Field, Seed, Strict, validate
from promptpriors.runs.places import anchored
from promptpriors.training.settings import MOST_EXAMPLES, MOST_STEPS, Settings


class PromptSection(Drawn):
    """``[prompt]``: mode, length and sites; without sites, the mode's own."""


class TrainSection(Settings):
    """``[train]``: settings of ``training.train``.

    ``order`` is the seed of the data's order, without it the run's. ``objective`` is a row of
    ``prompts.objectives``. ``lora`` is the rank of an adapter trained in place of a prompt.
    """

    regulariser: str | dict[str, Any] | list[str | dict[str, Any]] | None = None
    frozen: bool = False
    order: Seed | None = None
    objective: str = "answer"
    lora: Annotated[int, Field(ge=1, le=100_000)] | None = None


class DeviceSection(Strict):
    """``[device]``: device, precision and kernels of a run.

    Only the precision is part of a run's id. ``device_map`` spreads a model over several devices;
    ``checkpointing`` trades time for memory; ``trunk_cache`` keeps what the blocks below a deep
    prompt compute.
    """

    name: str = "cpu"
    device_map: Literal["auto", "balanced", "balanced_low_0", "sequential"] | None = None
    attention: Attention = "auto"
    checkpointing: bool = False
    trunk_cache: bool = True
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None

    def model_spec(self, model: str) -> ModelSpec:
        """A model on this device."""
        return ModelSpec(model, self.dtype, self.name, self.device_map, self.attention)

    @property
    def trunk_folder(self) -> Path | None:
        """Folder of the trunk's activations; None where they are not kept."""
        return cache_path() / "trunk" if self.trunk_cache else None


class CaptureSection(Strict):
    """``[capture]``: extent and form of a task's activations."""

    sites: list[str] | None = None
    split: str = "train"
    documents: Annotated[int, Field(ge=1, le=MOST_STEPS)] = 1000
    tokens: Annotated[int, Field(ge=2, le=MOST_EXAMPLES)] = 256
    dtype: Literal["float16", "float32"] = "float16"
    what: Literal["tokens", "mean"] = "tokens"
    out: str | None = None


def fitted_to(
    *,
    space: str | list[str] = "vocabulary",
    pool: Literal["token", "mean"] = "token",
    length_matched: bool = False,
) -> None:
    """Declare the parameters of every prior's config: the signature is the schema.

    Args:
        space: the cloud that the prior is fitted to.
        pool: one point a token, or one an example.
        length_matched: whether the domains of a union have texts of the same lengths.
    """


class _CaptureSections(Strict):
    """The file as ``promptpriors capture`` reads it; a run's other sections do not matter."""

    model: str
    seed: Any = 0
    task: dict[str, Any] | str
    prior: Any = None
    prompt: Any = None
    train: Any = None
    capture: CaptureSection = CaptureSection()
    device: DeviceSection = DeviceSection()


@dataclass(frozen=True)
class CaptureConfig:
    """Resolved config of a capture."""

    model: ModelSpec
    task: Choice
    capture: CaptureSection
    threads: int | None = None


def read_capture(path: Path, overrides: Iterable[str] = ()) -> CaptureConfig:
    """Read the config of a capture from a TOML file, which may be a run's.

    Raises:
        InputError: as ``read_config``.
    """
    plain = anchored(override(read_toml(path), overrides), [path.parent])
    found = validate(_CaptureSections, plain, "config")
    model, task = found.device.model_spec(found.model), choose_task(found.task)
    return CaptureConfig(model, task, found.capture, found.device.threads)
