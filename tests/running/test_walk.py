"""On its way from the command line to the first step, a run's config only goes down."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytest
import tomli_w

from promptpriors.cli.run import run
from promptpriors.config.run import RunConfig
from promptpriors.running.training_run import SharedTraining, TrainingRun
from tests.running.test_run import TINY
from tests.test_imports import MODULES, imported

CARRIERS = RunConfig, SharedTraining, TrainingRun
"""The config, and what carries it along."""
MODULES_PASSED = 20
"""Modules that a config may pass."""


class FirstStepError(Exception):
    """Ends the walk."""


def below(module: str) -> set[str]:
    """A module and all that it imports, at once or by others."""
    found, todo = {module}, [module]
    while todo:
        new = set(imported(todo.pop())) - found
        found |= new
        todo += new
    return found


def has_config(frame: FrameType) -> bool:
    """Whether a function got the config: as an argument, as self, or from a function around it."""
    code = frame.f_code
    names = [*code.co_varnames[: code.co_argcount + code.co_kwonlyargcount], *code.co_freevars]
    return any(isinstance(frame.f_locals.get(name), CARRIERS) for name in names)


def own_module(frame: FrameType) -> str | None:
    """The module of ours in which a frame runs; a wrapper that checks types runs in none."""
    module = frame.f_globals.get("__name__")
    return module if module in MODULES and Path(frame.f_code.co_filename).is_file() else None


def module_of(frame: FrameType | None) -> str | None:
    """The module of ours in which a frame, or the first one around it, runs."""
    while frame is not None and own_module(frame) is None:
        frame = frame.f_back
    return None if frame is None else own_module(frame)


def walk(call: Callable[[], object]) -> list[tuple[str, str]]:
    """Calls that hand the config on until the first step, as pairs of modules."""
    steps: list[tuple[str, str]] = []

    def notice(frame: FrameType, event: str, _: object) -> None:
        module = own_module(frame) if event == "call" else None
        if module is None:
            return
        if module == "promptpriors.training.loop" and frame.f_code.co_name == "train":
            raise FirstStepError
        if has_config(frame):
            steps.append((module_of(frame.f_back) or module, module))

    sys.setprofile(notice)
    try:
        call()
    except FirstStepError:
        return steps
    finally:
        sys.setprofile(None)
    raise AssertionError("no step was taken")


@pytest.mark.slow
def test_a_config_goes_down_through_few_modules_and_never_climbs(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("PROMPTPRIORS_CACHE", str(tmp_path / "cache"))
    prior = {"name": "gaussian", "space": ["tokens:mathematics", "vocabulary"]}
    train = {**TINY["train"], "regulariser": {"name": "repulsion", "space": "tokens:mathematics"}}
    path = tmp_path / "run.toml"
    task = {"name": "mathematics", "train": 12, "validation": 4, "test": 1}
    small = {"prior": prior, "task": task, "train": train, "capture": {"documents": 8}}
    path.write_text(tomli_w.dumps({**TINY, **small}))
    steps = walk(lambda: run(path, None, tmp_path / "runs"))
    passed = list(dict.fromkeys(module for step in steps for module in step))
    assert {"promptpriors.cli.run", "promptpriors.running.training_run"} <= set(passed)
    assert len(passed) <= MODULES_PASSED, passed
    assert [(above, to) for above, to in steps if to not in below(above)] == []
