"""Forecast of a study's time and memory, from steps measured here."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from promptpriors.config.run import RunConfig
from promptpriors.priors import fit_prior
from promptpriors.progress import OnProgress
from promptpriors.running.cost import cost, peak_memory_mib, reset_peak_memory
from promptpriors.running.run import draw_start
from promptpriors.running.workspace import Workspace
from promptpriors.study.plan import Entry


class Forecast(NamedTuple):
    """Time and memory that runs will need.

    Attributes:
        seconds: by the run's id, what is made once (spaces, trunk, fits) not counted.
        memory_mib: of one worker at its peak, model and libraries included; None if unknown.
    """

    seconds: dict[str, float]
    memory_mib: float | None


def forecast(entries: Sequence[Entry], workspace: Workspace, on_progress: OnProgress) -> Forecast:
    """Forecast runs by measuring one of each shape.

    Costs do not depend on prior, rate or seed.

    LoRA is measured as a prompt of one vector, which it is not: its own cost lies higher.

    Args:
        entries: the runs that are still to do.
        workspace: has models and data.
        on_progress: called with stage, share done, and what is known so far.
    """
    known: dict[str, float] = {}
    seconds = {}
    for number, entry in enumerate(entries):
        config = entry.run.config
        if not known:
            reset_peak_memory(workspace.backbone(config.model_spec).device)
        shape = _shape(config)
        if shape not in known:
            on_progress("measuring", number / len(entries), {})
            known[shape] = _measure(config, workspace)
        seconds[entry.id] = known[shape]
    first = entries[0].run.config if entries else None
    memory = peak_memory_mib(workspace.backbone(first.model_spec).device) if first else None
    return Forecast(seconds, memory)


def _shape(config: RunConfig) -> str:
    train = config.train.model_copy(update={"lr": 1.0, "order": None})
    return repr((config.model, config.task, config.prompt, train, config.device))


def _measure(config: RunConfig, workspace: Workspace) -> float:
    if config.train.lora:
        soft = config.prompt.model_copy(update={"mode": "soft", "length": 1, "sites": ["embed"]})
        config = replace(config, prompt=soft)
    prior = None
    if config.prompt.mode != "none":
        prior = fit_prior("isotropic", workspace.vocabulary(config.model_spec), sigma=1.0)
    return cost(config, workspace, draw_start(config, workspace, prior)).seconds
