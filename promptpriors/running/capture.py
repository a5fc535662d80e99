"""Captures of a config: into a folder of the user's, or into the cache for a prior's space."""

import hashlib
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from promptpriors.activations import Captured, Plan, capture, content_of
from promptpriors.activations.store import read_manifest
from promptpriors.config.capture import CaptureConfig
from promptpriors.config.run import RunConfig
from promptpriors.config.sections import CaptureSection
from promptpriors.errors import InputError
from promptpriors.models import Backbone
from promptpriors.models.cache import cache_folder
from promptpriors.progress import OnProgress
from promptpriors.prompts import Prompt
from promptpriors.registry import Choice
from promptpriors.runs import find_run, load_prompt
from promptpriors.runs.trained import warn_of_revision
from promptpriors.types import Example, Site

if TYPE_CHECKING:
    from promptpriors.running.workspace import Workspace

LAST = 1
"""Blocks at the end whose input is captured, besides ``embed``, where no sites are named."""


def execute_capture(
    config: CaptureConfig,
    workspace: "Workspace",
    *,
    run: str | None,
    runs: Path,
    on_progress: OnProgress,
) -> Captured:
    """Capture a task as the config says.

    Args:
        config: checked.
        workspace: has models and tasks.
        run: the run whose prompt stands before the texts.
        runs: folder of run folders.
        on_progress: called with stage, share done, and what is known so far.

    Raises:
        InputError: for whatever model, data, sites or folder have wrong.
        WorkError: if the disk fails.
    """
    section = config.capture
    on_progress("loading", 0.0, {})
    backbone = workspace.backbone(config, reading=True)
    prompt, name = (None, None) if run is None else _prompt(run, runs, backbone)
    sites = tuple(_usual(backbone) if section.sites is None else section.sites)
    examples = examples_of(workspace, config.task, section.split)
    plan = plan_of(backbone, config.task, section, examples, sites, prompt=name)
    folder = place(plan) if section.out is None else Path(section.out).expanduser()
    return capture(
        backbone,
        examples,
        plan,
        folder,
        prompt=prompt,
        told=lambda share: on_progress("capturing", share, {}),
    )


def ensure_store(
    config: RunConfig,
    workspace: "Workspace",
    task: Choice,
    sites: Sequence[Site],
    on_progress: OnProgress,
) -> Path:
    """The cached store of a task with these sites; captured when missing, by one process."""
    backbone = workspace.backbone(config)
    examples = examples_of(workspace, task, config.capture.split)
    plan = plan_of(backbone, task, config.capture, examples, tuple(sites))
    for folder in sorted(_shelf(plan).glob("*")):
        if (folder / "manifest.json").is_file():
            manifest = read_manifest(folder)
            if manifest["complete"] and set(sites) <= set(manifest["sites"]):
                return folder
    stage = f"capturing {task.name}"
    folder = place(plan)
    capture(
        backbone,
        examples,
        plan,
        folder,
        wait=True,
        told=lambda share: on_progress(stage, share, {}),
    )
    return folder


def examples_of(workspace: "Workspace", task: Choice, split: str) -> Sequence[Example]:
    """The examples of a split; ``all``: of train, validation and test.

    Raises:
        InputError: for a split that the task does not have.
    """
    splits = workspace.load(task).task.splits
    if split == "all":
        names = [name for name in ("train", "validation", "test") if name in splits]
        return list(chain.from_iterable(splits[name] for name in names))
    if split not in splits:
        raise InputError(
            f"capture.split = {split!r}: task {task.name!r} has {', '.join(splits)}, and all"
        )
    return splits[split]


def plan_of(
    backbone: Backbone,
    task: Choice,
    section: CaptureSection,
    examples: Sequence[Example],
    sites: tuple[Site, ...],
    *,
    prompt: str | None = None,
) -> Plan:
    """What a capture will hold."""
    return Plan(
        model=backbone.name,
        revision=backbone.revision,
        precision=str(backbone.dtype).removeprefix("torch."),
        task=task.plain(),
        split=section.split,
        content=content_of(examples, section.documents),
        sites=sites,
        tokens=section.tokens,
        documents=section.documents,
        dtype=section.dtype,
        what=section.what,
        bidirectional=backbone.bidirectional,
        prompt=prompt,
    )


def place(plan: Plan) -> Path:
    """Where a store lies that has no place of its own: by what it holds, in the cache."""
    sites = hashlib.sha256("\0".join(plan.sites).encode()).hexdigest()[:8]
    return _shelf(plan) / sites


def _shelf(plan: Plan) -> Path:
    return cache_folder() / "stores" / plan.key


def _usual(backbone: Backbone) -> list[Site]:
    """``embed`` and the input of the last block."""
    blocks = [site for site in backbone.sites if "block." in site]
    return ["embed", *blocks[-LAST:]]


def _prompt(name: str, runs: Path, backbone: Backbone) -> tuple[Prompt, str]:
    """The trained prompt of a run, and the run's id; warns if it was trained on another model."""
    run = find_run(name, runs)
    warn_of_revision(run, backbone)
    return load_prompt(run.folder).to(backbone.device), run.id
