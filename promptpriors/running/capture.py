"""Captures of a task's activations, into a named folder or the cache."""

import hashlib
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from promptpriors.activations import Captured, Plan, capture, content_of
from promptpriors.activations.store import read_manifest
from promptpriors.config.sections import CaptureConfig, CaptureSection
from promptpriors.errors import InputError
from promptpriors.models import Backbone
from promptpriors.models.cache import cache_folder
from promptpriors.paths import check_folder, expand
from promptpriors.progress import OnProgress, silent
from promptpriors.prompts import Prompt
from promptpriors.registry import Choice
from promptpriors.running.workspace import Workspace
from promptpriors.runs import find_run, load_prompt
from promptpriors.runs.trained import warn_of_revision
from promptpriors.types import Example, Site, Task


def execute_capture(
    config: CaptureConfig,
    workspace: Workspace,
    *,
    run: str | None,
    runs: Path,
    on_progress: OnProgress,
) -> Captured:
    """Capture a task as a config says, with a run's prompt before the texts if one is named.

    Without sites these are ``embed`` and the last block's input.

    Raises:
        InputError: for whatever model, data, sites or folder have wrong.
        WorkError: if the disk fails.
    """
    section = config.capture
    folder = None if section.out is None else expand(section.out, "capture.out =")
    check_folder(folder or cache_folder(), "set capture.out to another", "store")
    on_progress("loading", 0.0, {})
    backbone = workspace.backbone(config.model, reading=True)
    sites, behind = section.sites, None
    if sites is None:
        sites = ["embed", *[site for site in backbone.sites if "block." in site][-1:]]
    if run is not None:
        trained = find_run(run, runs)
        warn_of_revision(trained, backbone)
        behind = trained.id, load_prompt(trained.folder).to(backbone.device)
    return capture_task(
        workspace,
        backbone,
        config.task,
        section,
        sites,
        folder=folder,
        behind=behind,
        on_progress=on_progress,
    )


def capture_task(
    workspace: Workspace,
    backbone: Backbone,
    task: Choice,
    section: CaptureSection,
    sites: Sequence[Site],
    *,
    folder: Path | None = None,
    behind: tuple[str, Prompt] | None = None,
    wait: bool = False,
    stage: str = "capturing",
    on_progress: OnProgress = silent,
) -> Captured:
    """Capture a task's activations; what is there is not read again.

    Without a folder the store is in the cache. ``behind`` is a run's id and its prompt, which
    stands before the texts; ``wait``, ``stage`` and ``on_progress`` as in ``activations.capture``.

    Raises:
        InputError: as ``activations.capture``; for a split that the task does not have.
    """
    name, prompt = behind or (None, None)
    examples, plan = plan_capture(workspace, backbone, task, section, tuple(sites), prompt=name)
    return capture(
        backbone,
        examples,
        plan,
        folder or store_path(plan),
        prompt=prompt,
        wait=wait,
        stage=stage,
        on_progress=on_progress,
    )


def ensure_store(
    workspace: Workspace,
    backbone: Backbone,
    task: Choice,
    section: CaptureSection,
    sites: Sequence[Site],
    on_progress: OnProgress,
) -> Path:
    """Find a task's cached store with these sites, or capture it."""
    _, plan = plan_capture(workspace, backbone, task, section)
    for folder in sorted(store_path(plan).parent.glob("*")):
        if (folder / "manifest.json").is_file():
            manifest = read_manifest(folder)
            if manifest["complete"] and set(sites) <= set(manifest["sites"]):
                return folder
    stage = f"capturing {task.name}"
    return capture_task(
        workspace, backbone, task, section, sites, wait=True, stage=stage, on_progress=on_progress
    ).folder


def plan_capture(
    workspace: Workspace,
    backbone: Backbone,
    task: Choice,
    section: CaptureSection,
    sites: tuple[Site, ...] = (),
    *,
    prompt: str | None = None,
) -> tuple[Sequence[Example], Plan]:
    """Find the examples of a capture and its plan, before anything is computed.

    Raises:
        InputError: for a split that the task does not have.
    """
    examples = _examples(workspace.task(task), section.split)
    plan = Plan(
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
    return examples, plan


def store_path(plan: Plan) -> Path:
    """Path of a store in the cache, by its content and sites."""
    sites = hashlib.sha256("\0".join(plan.sites).encode()).hexdigest()[:8]
    return cache_folder() / "stores" / plan.key / sites


def _examples(task: Task, split: str) -> Sequence[Example]:
    """The examples of a split; ``all``: of train, validation and test."""
    splits = task.splits
    if split == "all":
        names = [name for name in ("train", "validation", "test") if name in splits]
        return list(chain.from_iterable(splits[name] for name in names))
    if split not in splits:
        raise InputError(
            f"capture.split = {split!r}: task {task.name!r} has {', '.join(splits)}, and all"
        )
    return splits[split]
