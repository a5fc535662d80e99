"""A run on several processes: what the others know of it, and what they do."""

from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple, NoReturn

import torch
from torch import Tensor

from promptpriors.errors import InputError
from promptpriors.experiments.config import RunConfig
from promptpriors.experiments.session import Session
from promptpriors.experiments.watch import silent
from promptpriors.experiments.work import Work
from promptpriors.prompts import Prompt
from promptpriors.training import Progress
from promptpriors.training.parallel import Crew, Team


class Job(NamedTuple):
    """What the main process says of a run before it begins.

    Attributes:
        prompt: as it was drawn, so that the others need no spaces.
        model: the model's revision.
        task: the task's fingerprint.
    """

    prompt: Prompt
    model: str
    task: str


def begin(team: Team, config: RunConfig, session: Session, prompt: Prompt) -> None:
    """Tell the others what the run is of, and wait until they are ready.

    Raises:
        InputError: if another process has another model or other data by the same name, or can't
            read them.
    """
    if team.size > 1:
        job = Job(prompt, session.revision(config), session.task(config).fingerprint)
        team.divided("begin", lambda _: torch.zeros(1))([job] * team.size)


def follow(config: RunConfig, session: Session, team: Crew) -> NoReturn:
    """Do shares of a run until the main process ends, and end as it does; nothing is written.

    Raises:
        InputError: for whatever config, model or data have wrong on this machine.
    """
    config = config.placed(session.blocks(config))
    backbone, loaded = session.backbone(config), session.task(config)

    def ready(job: Job) -> Tensor:
        found = session.revision(config), loaded.fingerprint
        for what, here, there in zip(("model", "task"), found, job[1:], strict=True):
            if here != there:
                raise InputError(
                    f"the {what} here is {here[:16]} and that of the main process {there[:16]}; "
                    "expected the same files on every machine"
                )
        section = config.train
        trains = not section.frozen and section.lora is None
        progress = Progress(job.prompt, config.lr) if trains else None
        known = (session, backbone, loaded.task, job.prompt, (), progress, silent)
        stack.enter_context(Work(config, Path(), *known, team=team).joined())
        return torch.zeros(1)

    with ExitStack() as stack:
        team.divided("begin", ready)
        team.serve()
