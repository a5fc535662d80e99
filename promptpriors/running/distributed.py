"""A run on several processes: what the others know of it, and what they do."""

from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple, NoReturn

import torch
from torch import Tensor

from promptpriors.config.run import RunConfig
from promptpriors.errors import InputError
from promptpriors.progress import silent
from promptpriors.prompts import Prompt
from promptpriors.running.training_run import TrainingRun
from promptpriors.running.workspace import Workspace
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


def begin(team: Team, config: RunConfig, workspace: Workspace, prompt: Prompt) -> None:
    """Tell the others what the run is of, and wait until they are ready.

    Raises:
        InputError: if another process has another model or other data by the same name, or can't
            read them.
    """
    if team.size > 1:
        job = Job(prompt, workspace.revision(config), workspace.task(config).fingerprint)
        team.divided("begin", lambda _: torch.zeros(1))([job] * team.size)


def follow(config: RunConfig, workspace: Workspace, team: Crew) -> NoReturn:
    """Do shares of a run until the main process ends, and end as it does; nothing is written.

    Raises:
        InputError: for whatever config, model or data have wrong on this machine.
    """
    config = config.placed(workspace.blocks(config))
    backbone, loaded = workspace.backbone(config), workspace.task(config)

    def ready(job: Job) -> Tensor:
        found = workspace.revision(config), loaded.fingerprint
        for what, here, there in zip(("model", "task"), found, job[1:], strict=True):
            if here != there:
                raise InputError(
                    f"the {what} here is {here[:16]} and that of the main process {there[:16]}; "
                    "expected the same files on every machine"
                )
        section = config.train
        trains = not section.frozen and section.lora is None
        progress = Progress(job.prompt, config.lr) if trains else None
        known = (workspace, backbone, loaded.task, job.prompt, (), progress, silent)
        stack.enter_context(TrainingRun(config, Path(), *known, team=team).joined())
        return torch.zeros(1)

    with ExitStack() as stack:
        team.divided("begin", ready)
        team.serve()
