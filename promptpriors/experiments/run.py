"""One run: everything is checked before a folder is made, ``result.json`` is written last."""

import time
from pathlib import Path

import torch

from promptpriors.errors import InputError, WorkError
from promptpriors.experiments.config import RunConfig
from promptpriors.experiments.session import Session, check_lengths
from promptpriors.experiments.work import Watch, Work, silent
from promptpriors.files import write_bytes, write_toml
from promptpriors.packing import packs_exactly
from promptpriors.priors import build_prior
from promptpriors.prompts import Prompt, draw_prompt, insert, root_rows
from promptpriors.runs import Run, read_run, run_id
from promptpriors.runs.folder import held
from promptpriors.training import Diverged, Progress


def execute(config: RunConfig, runs: Path, session: Session, *, watch: Watch = silent) -> Run:
    """Do a run, go on with one that was interrupted, or find it done.

    Args:
        config: resolved and checked.
        runs: the folder of run folders.
        session: what is shared with other runs of this process.
        watch: told how far the work is.

    Returns:
        The finished run.

    Raises:
        InputError: for whatever the config, the model or the data have wrong; no folder is left.
        WorkError: when training diverges or memory or disk fail; ``error.txt`` says why.
    """
    config = config.placed(session.blocks(config))
    loaded = session.task(config)
    identity = {"model": session.revision(config), "task": loaded.fingerprint}
    folder = runs / run_id(config.plain(), **identity)
    if (folder / "result.json").exists():
        watch("done before", 1.0, {"folder": folder})
        return read_run(folder)
    watch("loading", 0.0, {"folder": folder})
    backbone = session.backbone(config)
    prompt = draw(config, session)
    with torch.no_grad():
        (insert if packs_exactly(backbone) else root_rows)(backbone, prompt)
    check_lengths(backbone, loaded.task, prompt.before)
    progress = None
    if not config.train.frozen:
        progress = Progress(prompt, config.lr, weight_decay=config.train.weight_decay)
    _check_writable(runs)
    with held(folder):
        if (folder / "result.json").exists():  # done by another process in the meantime
            return read_run(folder)
        folder.mkdir(exist_ok=True)
        write_toml(folder / "config.toml", config.plain())
        (folder / "error.txt").unlink(missing_ok=True)
        work = Work(config, folder, session, backbone, loaded.task, prompt, progress, watch)
        try:
            work.do()
        except Exception as error:
            reason = f"prior {config.prior.name!r}: {error}"
            write_bytes(folder / "error.txt", f"{type(error).__name__}: {reason}\n".encode())
            if isinstance(error, Diverged):
                (folder / "state.safetensors").unlink(missing_ok=True)
            if isinstance(error, Diverged | torch.OutOfMemoryError | MemoryError | OSError):
                raise WorkError(f"{reason}\nThe run's folder is {folder}") from None
            raise
    return read_run(folder)


def draw(config: RunConfig, session: Session) -> Prompt:
    """Fit the config's prior and draw its prompt."""
    section = config.prompt
    if section.mode == "none":
        return Prompt("none", {}, bos=section.bos)
    prior = build_prior(config.prior, lambda params: session.space(config, params))
    return draw_prompt(
        prior,
        length=section.length,
        mode=section.mode,
        sites=section.sites or None,  # a model without known blocks has no default ones
        seed=config.seed,
        bos=section.bos,
        backbone=session.backbone(config),
    )


def _check_writable(runs: Path) -> None:
    try:
        runs.mkdir(parents=True, exist_ok=True)
        probe = runs / f".probe.{time.time_ns()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(
            f"the output folder {runs} can't be written ({error.strerror}); give another by --runs"
        ) from None
