"""Config of a capture: model, task, and the activations that are read."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptpriors.config.overrides import override
from promptpriors.config.sections import CaptureSection, DeviceSection
from promptpriors.data import choose_task
from promptpriors.files import read_toml
from promptpriors.models import ModelSpec
from promptpriors.registry import Choice, Strict, validate


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
    config = override(read_toml(path), overrides)
    sections = validate(_CaptureSections, config, "config")
    device, task = sections.device, choose_task(sections.task)
    spec = device.model_spec(sections.model)
    return CaptureConfig(spec, task, sections.capture, device.threads)
