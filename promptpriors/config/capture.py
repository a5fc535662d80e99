"""The config of a capture: model, task and what is read of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptpriors.config.overrides import override
from promptpriors.config.sections import CaptureSection, DeviceSection
from promptpriors.data import choose_task
from promptpriors.files import read_toml
from promptpriors.registry import Choice, Strict, validate


class _CaptureSections(Strict):
    """The file as ``promptpriors capture`` reads it; what a run needs besides does not matter."""

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
    """What a capture needs to know."""

    model: str
    task: Choice
    capture: CaptureSection
    device: DeviceSection


def read_capture(path: Path, overrides: Iterable[str] = ()) -> CaptureConfig:
    """Read and check what a capture needs of a TOML file, which may be a run's.

    Raises:
        InputError: as ``read_config``.
    """
    config = override(read_toml(path), overrides)
    sections = validate(_CaptureSections, config, "config")
    task = choose_task(sections.task)
    return CaptureConfig(sections.model, task, sections.capture, sections.device)
