"""Training of one run, in its folder and shared among processes."""

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, NoReturn

import torch
from torch import Tensor, nn

from promptpriors.config.run import RunConfig
from promptpriors.errors import InputError
from promptpriors.files import finite, write_json, write_tensors
from promptpriors.models import Backbone
from promptpriors.packing import encode
from promptpriors.progress import OnProgress, silent
from promptpriors.prompts import Prompt, trunk_of
from promptpriors.prompts.objectives import mean_objective
from promptpriors.running.checkpoint import (
    METRICS,
    RunState,
    remove_checkpoint,
    resume,
    write_checkpoint,
)
from promptpriors.running.cost import peak_memory_mib, reset_peak_memory
from promptpriors.running.result import nearest_tokens, summarise, vocabulary_map
from promptpriors.running.workspace import Workspace
from promptpriors.training import Progress, Record, Regulariser, evaluate, train
from promptpriors.training.evaluation import measure
from promptpriors.training.lora import adapted
from promptpriors.training.parallel import ALONE, Crew, Team
from promptpriors.types import Task


@dataclass
class SharedTraining:
    """Training and scoring of one run, divided among its processes.

    ``progress`` is None for a frozen prompt, which is evaluated and not trained, and for an adapter
    until it is in the model.
    """

    config: RunConfig
    backbone: Backbone
    task: Task
    prompt: Prompt
    regularisers: Sequence[Regulariser] = ()
    team: Team = ALONE
    on_progress: OnProgress = silent
    progress: Progress | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        if not self.config.train.frozen and self.config.train.lora is None:
            self._begin()

    def _begin(self, adapter: Sequence[nn.Parameter] = ()) -> None:
        lr, decay = self.config.lr, self.config.train.weight_decay
        self.progress = Progress(self.prompt, lr, weight_decay=decay, adapter=adapter)

    @contextmanager
    def ready(self) -> Iterator[None]:
        """Move the prompt to its device and put a trained adapter into the model."""
        self.prompt.to(self.backbone.device)
        rank = self.config.train.lora
        if rank is None:
            yield
            return
        with adapted(self.backbone, rank, seed=self.config.seed) as weights:
            self._begin(weights)
            yield

    def scores(self, stage: str) -> dict[str, float]:
        """Score the prompt on the test split."""
        on_progress = self.on_progress
        return evaluate(
            self.backbone,
            self.prompt,
            self.task,
            progress=lambda share: on_progress(stage, share, {}),
            team=self.team,
            trained=self.progress.parameters if self.progress else [],
        )

    def records(self) -> Iterator[Record]:
        """Train and yield a record a step, or the one record of a frozen prompt."""
        section, trunk = self.config.train, self.config.device.trunk_folder
        if self.progress is not None:
            return train(
                self.backbone,
                self.prompt,
                self.task,
                steps=section.steps,
                batch=section.batch,
                schedule=section.schedule,
                warmup=section.warmup,
                clip=section.clip,
                evaluate_every=section.evaluate_every,
                batch_tokens=section.batch_tokens,
                grouping=section.grouping,
                checkpointing=self.config.device.checkpointing,
                trunk=trunk,
                regularisers=self.regularisers,
                objective=section.objective,
                seed=self.config.order,
                progress=self.progress,
                team=self.team,
            )
        examples = self.task.splits["validation"]
        encoded = encode(self.backbone, examples, before=self.prompt.before)
        kept = trunk_of(self.backbone, self.prompt, encoded, trunk)
        measured = measure(
            "validation", self.backbone, self.prompt, encoded, trunk=kept, team=self.team
        )
        if not self.team.main:
            return iter([])
        objective = loss = measured().loss
        if section.objective != "answer":
            objective = mean_objective(section.objective, self.backbone, self.prompt, encoded)
        return iter([Record(0, None, loss, {}, 0.0, 0, val_objective=objective)])


@dataclass(frozen=True)
class TrainingRun:
    """Run of the main process, in its folder."""

    training: SharedTraining
    folder: Path
    workspace: Workspace

    def complete(self) -> None:
        """Score the start, train, score the end, and write the results."""
        began, training = time.perf_counter(), self.training
        config, backbone, team = training.config, training.backbone, training.team
        reset_peak_memory(backbone.device)
        floor = self.workspace.floor(config.model_spec, config.task, bos=config.prompt.bos)
        with training.ready():
            state = RunState(training.prompt.snapshot())
            steps = config.train.steps
            resume(self.folder, state, training.progress, steps, training.on_progress)
            if not state.scores_initial:
                state.scores_initial = training.scores("scoring the start")
            self._train(state, began)
            trained = training.progress is not None
            scores = training.scores("scoring the end") if trained else state.scores_initial
        final, path = training.prompt.snapshot(), self.folder / "prompt.safetensors"
        metadata = {"format": 1, "mode": training.prompt.mode, "model": backbone.revision}
        write_tensors(path, state.tensors(final), metadata)
        nearest = nearest_tokens(self.workspace, config.model_spec, state.initial, final)
        result = summarise(
            config,
            state=state,
            final=final,
            progress=training.progress,
            floor=floor,
            scores=scores,
            task=training.task,
            nearest=nearest,
        )
        result |= {
            "prompt_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "map": vocabulary_map(self.workspace, config.model_spec, self.folder.parent),
            "seconds": time.perf_counter() - began + state.spent,
            "peak_memory_mib": peak_memory_mib(backbone.device),
        }
        if team.size > 1:
            result["processes"] = team.size
        write_json(self.folder / "result.json", result)
        remove_checkpoint(self.folder)
        training.on_progress("done", 1.0, {"folder": self.folder})

    def _train(self, state: RunState, began: float) -> None:
        """Keep each record; at each evaluation the values and, but for an adapter, a checkpoint."""
        training, section = self.training, self.training.config.train
        with (self.folder / METRICS).open("a", encoding="utf-8") as metrics:
            for record in training.records():
                row = record._asdict()
                state.records.append(row)
                metrics.write(json.dumps(finite(row)) + "\n")
                metrics.flush()
                training.on_progress("training", record.step / max(1, section.steps), row)
                if record.val_loss is None:
                    continue
                state.steps.append(record.step)
                state.trajectory.append(training.prompt.snapshot())
                progress = training.progress
                if progress and section.lora is None and progress.step < section.steps:
                    spent = time.perf_counter() - began + state.spent
                    write_checkpoint(self.folder, state, progress, spent)


class Job(NamedTuple):
    """Announcement of a run to the other processes.

    Its prompt is drawn, so that the others need no spaces; model and task are their revision and
    fingerprint.
    """

    prompt: Prompt
    model: str
    task: str


def announce_run(team: Team, job: Job) -> None:
    """Announce a run to the other processes and wait until they are ready.

    Raises:
        InputError: if another process has another model or other data by the same name, or can't
            read them.
    """
    if team.size > 1:
        team.divided("begin", lambda _: torch.zeros(1))([job] * team.size)


def follow(config: RunConfig, workspace: Workspace, team: Crew) -> NoReturn:
    """Do shares of a run until the main process ends, and end as it does.

    Raises:
        InputError: for whatever config, model or data have wrong on this machine.
    """
    config = config.placed(workspace.blocks(config.model))
    backbone, task = workspace.backbone(config.model_spec), workspace.task(config.task)
    model, data = workspace.revision(config.model), workspace.fingerprint(config.task)

    def register(job: Job) -> Tensor:
        for name, here, there in (("model", model, job.model), ("task", data, job.task)):
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
