"""Change of the gap between two domains behind a finished run's prompt."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from promptpriors.activations import load_space
from promptpriors.analysis.separation import excess
from promptpriors.config.run import parse_config
from promptpriors.config.sections import CaptureSection
from promptpriors.data import choose_task
from promptpriors.errors import InputError
from promptpriors.registry import Choice
from promptpriors.rng import generator
from promptpriors.running.capture import capture_task
from promptpriors.running.workspace import Workspace
from promptpriors.runs import Run, load_prompt
from promptpriors.runs.places import config_of
from promptpriors.runs.records import BRIDGE
from promptpriors.runs.trained import warn_of_revision
from promptpriors.types import Space

FORMAT, SPLIT = 1, "train"


def measure_bridge(
    run: Run,
    workspace: Workspace,
    *,
    documents: int = 100,
    tokens: int = 64,
    other: Choice | None = None,
    model: str | None = None,
) -> dict[str, Any]:
    """Compare two domains' separation in the last block with and without a prompt.

    The same documents of the run's own task and of another one are read with and without the
    prompt; each gives one random token, the same on both sides.

    Args:
        run: a finished one with vectors.
        workspace: its models and data.
        documents: of each domain, from the start of its train split.
        tokens: of each document, at most.
        other: the other domain; C4 unless given.
        model: where the run's model is now, if not where it recorded it.

    Returns:
        What ``bridge.json`` in the run's folder holds: ``settings``, ``model`` (its revision),
        ``site``; ``ratio`` of the separations (energy distance over the mean distance between two
        documents of the other domain, as ``separations`` measures it), 1 where the prompt changes
        nothing, and ``interval``, 95 % over documents.

    Raises:
        InputError: for an unfinished run, one without vectors, a run on the other domain itself,
            fewer than 8 documents, or data that are missing.
    """
    config, other = parse_config(config_of(run, model)), other or choose_task("c4")
    if run.status != "done" or config.prompt.mode == "none":
        raise InputError(f"run {run.id} has no trained prompt; take another run")
    if config.task == other:
        raise InputError(f"run {run.id} is on {other.name} itself; take a run on another task")
    backbone = workspace.backbone(config.model_spec)
    warn_of_revision(run, backbone)
    domains = {"own": config.task, "other": other}
    settings: dict[str, Any] = {"format": FORMAT, "documents": documents, "tokens": tokens}
    settings |= {name: choice.plain() for name, choice in domains.items()}
    known = run.record(BRIDGE) or {}
    if known.get("settings") == settings and known.get("model") == backbone.revision:
        return known
    blocks = [site for site in backbone.sites if site.startswith("block.")]
    if not blocks:
        raise InputError(f"run {run.id}: {backbone.name} has no blocks whose input can be read")
    site = blocks[-1]
    section = CaptureSection(split=SPLIT, documents=documents, tokens=tokens)
    prompt = load_prompt(run.folder).to(backbone.device)

    def read(task: Choice, folder: Path | None) -> Space:
        """A domain at the site: without the prompt from the cache, behind it into a folder."""
        behind = None if folder is None else (run.id, prompt)
        captured = capture_task(
            workspace, backbone, task, section, [site], folder=folder, behind=behind, wait=True
        )
        return load_space(captured.folder, site)

    with TemporaryDirectory() as folder:
        without = {name: read(task, None) for name, task in domains.items()}
        behind = {name: read(task, Path(folder) / name) for name, task in domains.items()}
    random, reference = generator(0, "bridge"), ("other", "other")
    found = excess(behind, without, reference=reference, generator=random, quotient=True)
    gap = found["own", "other"]
    measured = {"settings": settings, "model": backbone.revision, "site": site}
    run.write_record(BRIDGE, measured | {"ratio": gap.estimate, "interval": [gap.low, gap.high]})
    return run.record(BRIDGE) or {}
