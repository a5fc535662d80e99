"""One run: checked before its folder is made, ``result.json`` written last."""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path

import torch

from promptpriors.config.run import RunConfig
from promptpriors.config.sections import PromptSection
from promptpriors.errors import InputError, WorkError, note
from promptpriors.files import write_bytes, write_toml
from promptpriors.models import Backbone
from promptpriors.models.cache import cache_folder
from promptpriors.packing import Encoded, encode, packs_exactly
from promptpriors.paths import check_folder
from promptpriors.progress import OnProgress, silent
from promptpriors.prompts import Prompt, as_keys, check_way, draw_prompt, insert, root_rows
from promptpriors.prompts.modes import first_block
from promptpriors.prompts.objectives import check_objective
from promptpriors.registry import Choice
from promptpriors.running.checkpoint import remove_checkpoint
from promptpriors.running.spaces import Spaces
from promptpriors.running.training_run import Job, SharedTraining, TrainingRun, announce_run
from promptpriors.running.workspace import Workspace
from promptpriors.runs import Run, is_done, read_run, run_id
from promptpriors.runs.folder import held, read_done
from promptpriors.training import Diverged, Regulariser, regularise
from promptpriors.training.choices import encode_choices
from promptpriors.training.parallel import ALONE, Team, check_device
from promptpriors.types import Markup, Prior, Site, Space, Task

Priors = Prior | Mapping[Site, Prior] | None
"""One prior for all sites, one for each, or none for an empty prompt."""


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

    An id that the run was given before, ``known``, must still be its id. Of the team's processes
    this is the main one.

    Raises:
        InputError: for whatever the config, the model or the data have wrong, or if the run has
            another id by now; no folder is left.
        WorkError: when training diverges or memory or disk fail; ``error.txt`` says why.
    """
    config = config.placed(workspace.blocks(config.model))
    check_device(team, config.device.name, config.device.device_map)
    folder = runs / identify(config, workspace)
    if known and folder.name != known:
        raise InputError(
            f"this was run {known} and would be {folder.name} now: its data or its space (such as "
            "runs:FOLDER) have changed since; give the same command again"
        )
    if is_done(folder):
        on_progress("done before", 1.0, {"folder": folder})
        return read_done(folder)
    on_progress("loading", 0.0, {"folder": folder})
    check_folder(runs, "give another by --runs")
    if config.sites_read():
        cache_folder()
    config = _with_trunk(config)
    training = _prepare(config, workspace, on_progress, team)
    runs.mkdir(parents=True, exist_ok=True)
    model, task = workspace.revision(config.model), workspace.fingerprint(config.task)
    announce_run(team, Job(training.prompt, model, task))
    with held(folder):
        if is_done(folder):  # done by another process in the meantime
            return read_done(folder)
        folder.mkdir(exist_ok=True)
        write_toml(folder / "config.toml", config.plain())
        (folder / "error.txt").unlink(missing_ok=True)
        try:
            TrainingRun(training, folder, workspace).complete()
        except Exception as error:
            reason = _reason(error, config)
            with suppress(OSError):  # the disk may be full
                write_bytes(folder / "error.txt", f"{type(error).__name__}: {reason}\n".encode())
            if isinstance(error, Diverged):
                remove_checkpoint(folder)
            if isinstance(error, Diverged | torch.OutOfMemoryError | MemoryError | OSError):
                raise WorkError(f"{reason}\nThe run's folder is {folder}") from None
            raise
    return read_run(folder)


def _reason(error: Exception, config: RunConfig) -> str:
    """Why a run failed; the prior has its part in it unless the system has refused something."""
    if not isinstance(error, OSError):
        return f"prior {config.prior.name!r}: {error}"
    what = error.strerror or str(error)
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{what}\nOnce that is mended, the same command goes on from the last evaluation"


def fit_and_draw(config: RunConfig, workspace: Workspace) -> Prompt:
    """Fit the config's priors and draw its prompt."""
    return draw_start(config, workspace, fit_priors(config, workspace))


def fit_priors(config: RunConfig, workspace: Workspace, on_progress: OnProgress = silent) -> Priors:
    """Fit the config's prior, or that of each site; None without vectors."""
    if config.prompt.mode == "none":
        return None
    spaces = spaces_of(config, workspace, on_progress)
    if not config.by_site or (config.prompt.mode == "kv" and config.prior.name == "text"):
        return spaces.fitted(config.prior_at("embed"), "embed")
    return {site: spaces.fitted(config.prior_at(site), site) for site in config.prompt.sites or []}


def draw_start(config: RunConfig, workspace: Workspace, priors: Priors) -> Prompt:
    """Draw the config's prompt from fitted priors.

    With a prior for each block, ``kv`` starts from the keys and values that each block makes of
    vectors at its own input, which is where a ``deep-cut`` prompt starts.
    """
    section, backbone = config.prompt, workspace.backbone(config.model_spec)
    check_room(backbone, section)
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


def build_regularisers(
    config: RunConfig, workspace: Workspace, prompt: Prompt, priors: Priors
) -> list[Regulariser]:
    """Build the config's penalties for a prompt at its start."""
    spaces = spaces_of(config, workspace)

    def points(choice: Choice) -> dict[Site, Space] | None:
        """Real points at the prompt's sites that have some."""
        if "space" not in choice.params:
            return None
        params = {"pool": "token", "length_matched": False, **choice.params}
        everywhere = not params["space"].is_vocabulary
        sites = [site for site in prompt.sites if site == "embed" or everywhere]
        return {site: spaces.read(params, site) for site in sites}

    return [
        regularise(**choice.plain(), prompt=prompt, priors=priors, points=points(choice))
        for choice in (() if config.train.frozen else config.regularisers)
    ]


def identify(config: RunConfig, workspace: Workspace) -> str:
    """Compute a run's id, in which spaces count by their content.

    Raises:
        InputError: as ``execute``.
    """
    config = config.placed(workspace.blocks(config.model))
    plain = config.identified(spaces_of(config, workspace).identity)
    task = workspace.fingerprint(config.task)
    return run_id(plain, model=workspace.revision(config.model), task=task)


def spaces_of(config: RunConfig, workspace: Workspace, on_progress: OnProgress = silent) -> Spaces:
    """Bind a config's spaces to a workspace."""
    spec, sites = config.model_spec, config.sites_read()
    return Spaces(workspace, spec, config.task, config.capture, sites, on_progress)


def check_room(backbone: Backbone, prompt: PromptSection) -> None:
    """Check that a prompt leaves room for a text, before it is drawn or run.

    Raises:
        InputError: otherwise.
    """
    context, before = backbone.context, prompt.length + prompt.bos
    if context is not None and before + 2 > context:
        raise InputError(
            f"prompt.length = {prompt.length} leaves no room for a text: model {backbone.name!r} "
            f"has {context} positions\nShorten the prompt, or take another model"
        )


def check_lengths(backbone: Backbone, task: Task, before: int) -> dict[str, list[Encoded]]:
    """Tokenise every split, so that too long an example is found early.

    Raises:
        InputError: as ``packing.encode``.
    """
    more = task.max_new_tokens
    if task.choices:
        encode_choices(backbone, task.splits.get("test", ()), task.choices, before=before)
    return {
        split: encode(backbone, examples, before=before, more=more if split == "test" else 0)
        for split, examples in task.splits.items()
        if split in {"train", "validation", "test"}
    }


def note_control_tokens(backbone: Backbone, task: Task) -> None:
    """Say once if an example spells a control token of the model, which is read as text."""
    names = backbone.tokenizer.convert_ids_to_tokens(sorted(backbone.control_ids))
    spelled = re.compile("|".join(map(re.escape, names)) or "(?!)")
    for example in chain.from_iterable(task.splits.values()):
        for text in (*example.source, *example.targets, example.continuation or ""):
            if not isinstance(text, Markup) and (found := spelled.search(text)):
                otherwise = "; task.control_tokens = true would read those of sources as such"
                note(
                    f"example {example.id!r} spells the control token {found[0]!r} of the model, "
                    f"which is read as text{otherwise if task.name == 'jsonl' else ''}"
                )
                return


def _with_trunk(config: RunConfig) -> RunConfig:
    """The config, without a trunk cache that would be used and can't be written."""
    folder, sites = config.device.trunk_folder, config.prompt.sites
    if folder is None or not sites or not first_block(sites):
        return config
    try:
        check_folder(folder, "the lower blocks are computed in every epoch", "trunk cache")
    except InputError as error:
        note(str(error))
        return replace(config, device=config.device.model_copy(update={"trunk_cache": False}))
    return config


def _prepare(
    config: RunConfig, workspace: Workspace, on_progress: OnProgress, team: Team
) -> SharedTraining:
    """Fit, draw and check all that a run needs before its folder is made."""
    backbone, task = workspace.backbone(config.model_spec), workspace.task(config.task)
    check_room(backbone, config.prompt)
    before = config.prompt.length + config.prompt.bos
    encoded = check_lengths(backbone, task, before)
    note_control_tokens(backbone, task)
    priors = fit_priors(config, workspace, on_progress)
    prompt = draw_start(config, workspace, priors)
    regularisers = build_regularisers(config, workspace, prompt, priors)
    with torch.no_grad():
        (insert if packs_exactly(backbone) else root_rows)(backbone, prompt)
    for examples in encoded.values():
        check_way(backbone, prompt, examples)
        check_objective(config.train.objective, backbone, prompt, examples)
    return SharedTraining(config, backbone, task, prompt, regularisers, team, on_progress)
