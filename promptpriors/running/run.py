"""One run: everything is checked before a folder is made, ``result.json`` is written last."""

import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from promptpriors.config.run import RunConfig
from promptpriors.config.sources import identified
from promptpriors.errors import InputError, WorkError
from promptpriors.files import write_bytes, write_toml
from promptpriors.packing import packs_exactly
from promptpriors.priors import build_prior
from promptpriors.progress import OnProgress, silent
from promptpriors.prompts import Prompt, as_keys, draw_prompt, insert, root_rows
from promptpriors.prompts.objectives import check_objective
from promptpriors.registry import Choice
from promptpriors.running.distributed import begin
from promptpriors.running.spaces import identity
from promptpriors.running.training_run import TrainingRun
from promptpriors.running.workspace import Workspace, check_lengths
from promptpriors.runs import Run, is_done, read_run, run_id
from promptpriors.runs.folder import held
from promptpriors.training import Diverged, Progress, Regulariser, regularise
from promptpriors.training.parallel import ALONE, Team, check_device
from promptpriors.types import Prior, Site, Space


def execute(
    config: RunConfig,
    runs: Path,
    workspace: Workspace,
    *,
    known: str | None = None,
    on_progress: OnProgress = silent,
    team: Team = ALONE,
) -> Run:
    """Do a run, go on with one that was interrupted, or find it done.

    Args:
        config: resolved and checked.
        runs: the folder of run folders.
        workspace: what is shared with other runs of this process.
        known: the id that the run was given before, if any; it must still be its id.
        on_progress: called with stage, share done, and what is known so far.
        team: the processes that share the work, of which this is the main one.

    Returns:
        The finished run.

    Raises:
        InputError: for whatever the config, the model or the data have wrong, or if the run has
            another id by now; no folder is left.
        WorkError: when training diverges or memory or disk fail; ``error.txt`` says why.
    """
    config = config.placed(workspace.blocks(config))
    check_device(team, config.device.name, config.device.device_map)
    loaded = workspace.task(config)
    folder = runs / identify(config, workspace)
    if known and folder.name != known:
        raise InputError(
            f"this was run {known} and would be {folder.name} now: its data or its space (such as "
            "runs:FOLDER) have changed since; give the same command again"
        )
    if is_done(folder):
        on_progress("done before", 1.0, {"folder": folder})
        return read_run(folder)
    on_progress("loading", 0.0, {"folder": folder})
    backbone = workspace.backbone(config)
    priors = fit(config, workspace, on_progress)
    prompt = place(config, workspace, priors)
    regularisers = hold(config, workspace, prompt, priors)
    with torch.no_grad():
        (insert if packs_exactly(backbone) else root_rows)(backbone, prompt)
    encoded = check_lengths(backbone, loaded.task, prompt.before)
    for examples in encoded.values():
        check_objective(config.train.objective, backbone, prompt, examples)
    progress = None
    if not config.train.frozen and config.train.lora is None:  # an adapter's is made with it
        progress = Progress(prompt, config.lr, weight_decay=config.train.weight_decay)
    check_writable(runs)
    begin(team, config, workspace, prompt)
    with held(folder):
        if is_done(folder):  # done by another process in the meantime
            return read_run(folder)
        folder.mkdir(exist_ok=True)
        write_toml(folder / "config.toml", config.plain())
        (folder / "error.txt").unlink(missing_ok=True)
        task = loaded.task
        parts = (
            config,
            folder,
            workspace,
            backbone,
            task,
            prompt,
            regularisers,
            progress,
            on_progress,
        )
        work = TrainingRun(*parts, team=team)
        try:
            work.do()
        except Exception as error:
            reason = f"prior {config.prior.name!r}: {error}"
            with suppress(OSError):  # the disk may be full
                write_bytes(folder / "error.txt", f"{type(error).__name__}: {reason}\n".encode())
            if isinstance(error, Diverged):
                (folder / "state.safetensors").unlink(missing_ok=True)
            if isinstance(error, Diverged | torch.OutOfMemoryError | MemoryError | OSError):
                raise WorkError(f"{reason}\nThe run's folder is {folder}") from None
            raise
    return read_run(folder)


def draw(config: RunConfig, workspace: Workspace) -> Prompt:
    """Fit the config's priors and draw its prompt."""
    return place(config, workspace, fit(config, workspace))


def fit(
    config: RunConfig, workspace: Workspace, on_progress: OnProgress = silent
) -> Prior | dict[Site, Prior] | None:
    """Fit the config's prior, or where sites differ that of each; None for an empty prompt."""
    sites = config.prompt.sites or []
    if config.prompt.mode == "none":
        return None

    def fitted(site: Site) -> Prior:
        def space(params: Mapping[str, Any]) -> Space:
            return workspace.space(config, params, site, on_progress)

        choice = config.prior_at(site)
        return workspace.fitted(config, choice, site, lambda: build_prior(choice, space))

    alone = not config.by_site or (config.prompt.mode == "kv" and config.prior.name == "text")
    return fitted("embed") if alone else {site: fitted(site) for site in sites}


def place(
    config: RunConfig, workspace: Workspace, priors: Prior | Mapping[Site, Prior] | None
) -> Prompt:
    """Draw the config's prompt.

    With a prior for each block, ``kv`` starts from the keys and values that each block makes of
    vectors at its own input, which is where a ``deep-cut`` prompt starts.
    """
    section, backbone = config.prompt, workspace.backbone(config)
    if priors is None:
        return Prompt("none", {}, bos=section.bos)
    by_block = section.mode == "kv" and isinstance(priors, Mapping)
    prompt = draw_prompt(
        priors,
        length=section.length,
        mode="deep-cut" if by_block else section.mode,
        sites=section.sites or None,  # a model without known blocks has no default ones
        seed=config.seed,
        bos=section.bos,
        backbone=backbone,
    )
    return as_keys(backbone, prompt) if by_block else prompt


def hold(
    config: RunConfig,
    workspace: Workspace,
    prompt: Prompt,
    priors: Prior | Mapping[Site, Prior] | None,
) -> list[Regulariser]:
    """What holds the prompt in training."""
    found = []
    for choice in config.regularisers if not config.train.frozen else []:
        points = _points(config, workspace, choice, prompt) if "space" in choice.params else None
        known = {"prompt": prompt, "priors": priors, "points": points}
        found.append(regularise(choice.name, **known, **choice.params))
    return found


def _points(
    config: RunConfig, workspace: Workspace, choice: Choice, prompt: Prompt
) -> dict[Site, Space]:
    """The real points that a regulariser refers to, at the prompt's sites that have some."""
    params = {"pool": "token", "length_matched": False, **choice.params}
    sites = [s for s in prompt.sites if s == "embed" or params["space"] != "vocabulary"]
    return {site: workspace.space(config, params, site) for site in sites}


def identify(config: RunConfig, workspace: Workspace) -> str:
    """The run's id: spaces are known by what they hold, and the capture section through them.

    Raises:
        InputError: as ``execute``.
    """
    config = config.placed(workspace.blocks(config))
    plain = {key: value for key, value in config.plain().items() if key != "capture"}

    def known(choice: Mapping[str, Any]) -> dict[str, Any]:
        return identified(choice, lambda space: identity(config, workspace, space))

    if config.prompt.mode != "none":
        plain["prior"] = known(plain["prior"])
    held = plain["train"]["regulariser"]
    if held:
        plain["train"] |= {"regulariser": [known(choice) for choice in held]}
    task = workspace.task(config).fingerprint
    return run_id(plain, model=workspace.revision(config), task=task)


def check_writable(runs: Path) -> None:
    """Make the folder of run folders and try to write in it.

    Raises:
        InputError: if it can't be written.
    """
    try:
        runs.mkdir(parents=True, exist_ok=True)
        probe = runs / f".probe.{time.time_ns()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(
            f"the output folder {runs} can't be written ({error.strerror}); give another by --runs"
        ) from None
