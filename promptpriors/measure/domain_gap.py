"""Whether a finished run's prompt brings two domains closer together higher up in the network."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from promptpriors.activations import capture, load_space
from promptpriors.analysis.separation import excess
from promptpriors.config.run import parse_config
from promptpriors.config.sections import CaptureSection
from promptpriors.data import choose_task
from promptpriors.errors import InputError
from promptpriors.models import Backbone
from promptpriors.prompts import Prompt
from promptpriors.registry import Choice
from promptpriors.rng import generator
from promptpriors.running.capture import examples_of, place, plan_of
from promptpriors.running.workspace import Workspace
from promptpriors.runs import Run, load_prompt
from promptpriors.runs.trained import warn_of_revision
from promptpriors.types import Site, Space

FILE, FORMAT, SPLIT = "bridge.json", 1, "train"


def measure_bridge(
    run: Run,
    workspace: Workspace,
    *,
    documents: int = 100,
    tokens: int = 64,
    other: Choice | None = None,
) -> dict[str, Any]:
    """Hold two domains' separation in the last block behind a run's prompt against that without it.

    The same documents of the run's own task and of another one are read with and without the
    prompt; each gives one random token, the same on both sides.

    Args:
        run: a finished one with vectors.
        workspace: its models and data.
        documents: of each domain, from the start of its train split.
        tokens: of each document, at most.
        other: the other domain; C4 unless given.

    Returns:
        What ``bridge.json`` in the run's folder holds: ``settings``, ``model`` (its revision),
        ``site``; ``ratio`` of the separations (energy distance over the mean distance between two
        documents of the other domain, as ``separations`` measures it), 1 where the prompt changes
        nothing, and ``interval``, 95 % over documents.

    Raises:
        InputError: for an unfinished run, one without vectors, a run on the other domain itself,
            fewer than 8 documents, or data that are missing.
    """
    config, other = parse_config(run.config), other or choose_task("c4")
    if run.status != "done" or config.prompt.mode == "none":
        raise InputError(f"run {run.id} has no trained prompt; take another run")
    if config.task == other:
        raise InputError(f"run {run.id} is on {other.name} itself; take a run on another task")
    backbone = workspace.backbone(config)
    warn_of_revision(run, backbone)
    domains = {"own": config.task, "other": other}
    settings = {"format": FORMAT, "documents": documents, "tokens": tokens}
    settings |= {name: choice.plain() for name, choice in domains.items()}
    known = run.record(FILE)
    if known and known.get("settings") == settings and known.get("model") == backbone.revision:
        return known
    blocks = [site for site in backbone.sites if site.startswith("block.")]
    if not blocks:
        raise InputError(f"run {run.id}: {backbone.name} has no blocks whose input can be read")
    site = blocks[-1]
    section = CaptureSection(split=SPLIT, documents=documents, tokens=tokens)
    prompt = load_prompt(run.folder).to(backbone.device)
    with TemporaryDirectory() as folder:
        without, behind = (
            {
                name: _read(backbone, workspace, choice, section, site, store)
                for name, choice in domains.items()
            }
            for store in (None, (Path(folder), run.id, prompt))
        )
    found = excess(
        behind,
        without,
        reference=("other", "other"),
        generator=generator(0, "bridge"),
        quotient=True,
    )["own", "other"]
    run.write_record(
        FILE,
        {
            "settings": settings,
            "model": backbone.revision,
            "site": site,
            "ratio": found.estimate,
            "interval": [found.low, found.high],
        },
    )
    return run.record(FILE) or {}


def _read(
    backbone: Backbone,
    workspace: Workspace,
    task: Choice,
    section: CaptureSection,
    site: Site,
    behind: tuple[Path, str, Prompt] | None,
) -> Space:
    """A domain at a site: without a prompt from the cache, behind one into a folder."""
    examples = examples_of(workspace, task, section.split)
    folder, name, prompt = behind or (None, None, None)
    plan = plan_of(backbone, task, section, examples, (site,), prompt=name)
    store = place(plan) if folder is None else folder / plan.key
    captured = capture(backbone, examples, plan, store, prompt=prompt, wait=True)
    return load_space(captured.folder, site)
