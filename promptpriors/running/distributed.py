"""One run on several processes: announced by the main one, followed by the others."""

from contextlib import ExitStack
from typing import NamedTuple, NoReturn

import torch
from torch import Tensor

from promptpriors.config.run import RunConfig
from promptpriors.errors import InputError
from promptpriors.prompts import Prompt
from promptpriors.running.training_run import SharedTraining
from promptpriors.running.workspace import Workspace
from promptpriors.training.parallel import Crew, Team


class Job(NamedTuple):
    """Announcement of a run to the other processes.

    Attributes:
        prompt: as it was drawn, so that the others need no spaces.
        model: the model's revision.
        task: the task's fingerprint.
    """

    prompt: Prompt
    model: str
    task: str


def announce_run(team: Team, prompt: Prompt, *, model: str, task: str) -> None:
    """Announce a run to the other processes, and wait until they are ready.

    Args:
        team: the processes.
        prompt: as it was drawn.
        model: the model's revision.
        task: the task's fingerprint.

    Raises:
        InputError: if another process has another model or other data by the same name, or can't
            read them.
    """
    if team.size > 1:
        job = Job(prompt, model, task)
        team.divided("begin", lambda _: torch.zeros(1))([job] * team.size)


def follow(config: RunConfig, workspace: Workspace, team: Crew) -> NoReturn:
    """Do shares of a run until the main process ends, and end as it does.

    Raises:
        InputError: for whatever config, model or data have wrong on this machine.
    """
    config = config.placed(workspace.blocks(config.model))
    backbone, task = workspace.backbone(config.model_spec), workspace.task(config.task)
    own = {
        "model": workspace.revision(config.model),
        "task": workspace.fingerprint(config.task),
    }

    def register(job: Job) -> Tensor:
        for name, here in own.items():
            there = getattr(job, name)
            if here != there:
                raise InputError(
                    f"the {name} here is {here[:16]} and that of the main process {there[:16]}; "
                    "expected the same files on every machine"
                )
        training = SharedTraining(config, backbone, task, job.prompt, team=team)
        stack.enter_context(training.ready())
        training.scores("")
        list(training.records())
        return torch.zeros(1)

    with ExitStack() as stack:
        team.divided("begin", register)
        team.serve()
