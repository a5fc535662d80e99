"""Demonstration in minutes: SmolLM2, arithmetic, four priors, a report."""

import time
from pathlib import Path
from typing import Any, NamedTuple

from promptpriors.config.run import RunConfig, parse_config
from promptpriors.packing import encode
from promptpriors.paths import check_folder
from promptpriors.progress import OnProgress
from promptpriors.report import check_page
from promptpriors.running.cost import time_step
from promptpriors.running.run import execute, fit_and_draw
from promptpriors.running.workspace import Workspace

BASE: dict[str, Any] = {
    "model": "smollm2",
    "seed": 0,
    "task": {
        "name": "mathematics",
        "modules": ["add_or_sub", "mul", "div"],
        "difficulty": "easy",
        "train": 1000,
        "validation": 64,
        "test": 32,
        "test_on": "train",
    },
    "train": {
        "steps": 64,
        "batch": 8,
        "lr": {"relative": 0.1},
        "schedule": "cosine",
        "evaluate_every": 16,
    },
}
TEXT = "You are a helpful AI assistant that answers questions."
PRIORS: dict[str, dict[str, Any]] = {
    "vocabulary": {"name": "vocabulary"},
    "gaussian": {"name": "gaussian"},
    "isotropic": {"name": "isotropic", "sigma": "match"},
    "text": {"name": "text", "text": TEXT},
}
OVERHEAD = 1.45
"""A run's time over that of its steps: evaluations and answers, measured on two cores."""


class Plan(NamedTuple):
    """Configs by prior, folders, and the forecast as a sentence."""

    runs: Path
    page: Path
    configs: dict[str, RunConfig]
    workspace: Workspace
    announcement: str


def plan(out: Path) -> Plan:
    """Load the model, measure its rate on the demo's own batches, and forecast.

    Raises:
        InputError: if the model's wheel is missing, or the folder can't be written.
    """
    runs, page = out / "runs", out / "report.html"
    check_folder(runs, "give another by --out")
    check_page(page)
    configs = {name: parse_config({**BASE, "prior": prior}) for name, prior in PRIORS.items()}
    workspace = Workspace()
    first = next(iter(configs.values()))
    backbone, task = workspace.backbone(first.model_spec), workspace.task(first.task)
    batch = encode(backbone, task.splits["train"][: first.train.batch])
    seconds, tokens = time_step(backbone, fit_and_draw(first, workspace), batch)
    total = len(configs) * first.train.steps * seconds * OVERHEAD
    announcement = (
        f"SmolLM2-135M, arithmetic, {len(configs)} priors, {first.train.steps} steps each: about "
        f"{max(1, round(total / 60))} min here "
        f"({tokens / seconds:.0f} tokens per second forward and backward)"
    )
    return Plan(runs, page, configs, workspace, announcement)


def play(plan: Plan, prior: str, on_progress: OnProgress) -> dict[str, Any]:
    """Do one prior's run; returns its result with its folder."""
    began = time.perf_counter()
    run = execute(plan.configs[prior], plan.runs, plan.workspace, on_progress=on_progress)
    return {"folder": str(run.folder), "took": time.perf_counter() - began, **(run.result or {})}
