"""The work of one run inside its folder: train, keep, resume, sum up."""

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import torch
from torch import Tensor

from promptpriors.config.run import RunConfig
from promptpriors.errors import InputError
from promptpriors.files import (
    finite,
    read_json_lines,
    read_tensors,
    write_bytes,
    write_json,
    write_tensors,
)
from promptpriors.models import Backbone
from promptpriors.packing import encode
from promptpriors.progress import OnProgress
from promptpriors.prompts import Prompt, trunk_of
from promptpriors.prompts.objectives import mean_objective
from promptpriors.running.cost import peak_memory_mib, reset_peak_memory
from promptpriors.running.result import summarise
from promptpriors.running.workspace import Workspace
from promptpriors.training import Progress, Record, Regulariser, evaluate, train
from promptpriors.training.evaluation import measure
from promptpriors.training.lora import adapted
from promptpriors.training.parallel import ALONE, Team
from promptpriors.types import Task


@dataclass
class TrainingRun:
    """One run in progress.

    Attributes:
        regularisers: what holds the prompt in training.
        progress: None for a frozen prompt, which is evaluated and not trained, and for an adapter
            until it is in the model.
        initial: the prompt as it was drawn.
        steps: of the trajectory.
        trajectory: the prompt's values at each evaluation.
        records: a row of ``metrics.jsonl`` each.
        scores_initial: on the test split, before training.
        spent: seconds of earlier starts of this run.
        team: the processes that do it.
    """

    config: RunConfig
    folder: Path
    workspace: Workspace
    backbone: Backbone
    task: Task
    prompt: Prompt
    regularisers: Sequence[Regulariser]
    progress: Progress | None
    on_progress: OnProgress
    initial: dict[str, Tensor] = field(init=False)
    steps: list[int] = field(default_factory=list)
    trajectory: list[dict[str, Tensor]] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    scores_initial: dict[str, float] = field(default_factory=dict)
    spent: float = 0.0
    team: Team = ALONE

    def do(self) -> None:
        """Score the start, train, score the end, and write the results."""
        began = time.perf_counter()
        reset_peak_memory(self.backbone.device)
        self.prompt.to(self.backbone.device)
        self.initial = self.prompt.snapshot()
        floor = self.workspace.floor(self.config)
        with self._adapter():
            self._resume()
            if not self.scores_initial:
                self.scores_initial = self._scores("scoring the start")
            self._train(began)
            trained = self.progress is not None
            scores = self._scores("scoring the end") if trained else self.scores_initial
        about = {"format": 1, "mode": self.prompt.mode, "model": self.backbone.revision}
        path = self.folder / "prompt.safetensors"
        write_tensors(path, self._tensors(), about)
        result = summarise(self, floor=floor, scores=scores) | {
            "prompt_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "map": self.workspace.map(self.config, self.folder.parent),
            "seconds": time.perf_counter() - began + self.spent,
            "peak_memory_mib": peak_memory_mib(self.backbone.device),
        }
        if self.team.size > 1:
            result["processes"] = self.team.size
        write_json(self.folder / "result.json", result)
        (self.folder / "state.safetensors").unlink(missing_ok=True)
        self.on_progress("done", 1.0, {"folder": self.folder})

    @contextmanager
    def joined(self) -> Iterator[None]:
        """On a process beside the main one: its shares of the work are registered."""
        self.prompt.to(self.backbone.device)
        with self._adapter():
            self._scores("")
            list(self._records())
            yield

    @contextmanager
    def _adapter(self) -> Iterator[None]:
        """The model with an adapter in it, where that is what is trained; else as it is."""
        section = self.config.train
        if section.lora is None:
            yield
            return
        with adapted(self.backbone, section.lora, seed=self.config.seed) as weights:
            lr, decay = self.config.lr, section.weight_decay
            self.progress = Progress(self.prompt, lr, weight_decay=decay, adapter=weights)
            yield

    def _scores(self, stage: str) -> dict[str, float]:
        def progress(share: float) -> None:
            self.on_progress(stage, share, {})

        trained = self.progress.parameters if self.progress else []
        about = {"progress": progress, "team": self.team, "trained": trained}
        return evaluate(self.backbone, self.prompt, self.task, **about)

    def _train(self, began: float) -> None:
        with (self.folder / "metrics.jsonl").open("a", encoding="utf-8") as metrics:
            for record in self._records():
                self._keep(record, metrics)
                if record.val_loss is not None:
                    self.steps.append(record.step)
                    self.trajectory.append(self.prompt.snapshot())
                    self._checkpoint(time.perf_counter() - began + self.spent)

    def _records(self) -> Iterator[Record]:
        """Records of training, or the one of a frozen prompt."""
        section = self.config.train
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
                trunk=self.workspace.trunk(self.config),
                regularisers=self.regularisers,
                objective=section.objective,
                seed=self.config.order,
                progress=self.progress,
                team=self.team,
            )
        examples = self.task.splits["validation"]
        encoded = encode(self.backbone, examples, before=self.prompt.before)
        trunk = trunk_of(self.backbone, self.prompt, encoded, self.workspace.trunk(self.config))
        about = {"trunk": trunk, "team": self.team}
        measured = measure("validation", self.backbone, self.prompt, encoded, **about)
        if not self.team.main:
            return iter([])
        aim = loss = measured().loss
        if section.objective != "answer":
            aim = mean_objective(section.objective, self.backbone, self.prompt, encoded)
        return iter([Record(0, None, loss, {}, 0.0, 0, val_objective=aim)])

    def _keep(self, record: Record, metrics: TextIO) -> None:
        row = record._asdict()
        self.records.append(row)
        metrics.write(json.dumps(finite(row)) + "\n")
        metrics.flush()
        self.on_progress("training", record.step / max(1, self.config.train.steps), row)

    def _tensors(self) -> dict[str, Tensor]:
        """The contents of ``prompt.safetensors``."""
        final = self.prompt.snapshot()
        tensors = {"trajectory/steps": torch.tensor(self.steps)}
        for site in self.prompt.sites:
            tensors[f"initial/{site}"] = self.initial[site]
            tensors[f"final/{site}"] = final[site]
            tensors[f"trajectory/{site}"] = torch.stack([t[site] for t in self.trajectory])
        return tensors

    def _checkpoint(self, spent: float) -> None:
        """Keep all that is needed to go on; by rename, so the last one is always whole.

        Not for an adapter: a run that was interrupted begins at the beginning.
        """
        section = self.config.train
        if self.progress is None or section.lora or self.progress.step == section.steps:
            return
        about = {
            "progress": self.progress.counters(),
            "scores_initial": self.scores_initial,
            "spent": spent,
        }
        tensors = self._tensors() | self.progress.tensors()
        write_tensors(self.folder / "state.safetensors", tensors, about)

    def _resume(self) -> None:
        """Go on from the last checkpoint, if there is a whole one; else start clean."""
        path, metrics = self.folder / "state.safetensors", self.folder / "metrics.jsonl"
        rows: list[dict[str, Any]] = []
        if self.progress is not None and path.exists():
            try:
                tensors, about = read_tensors(path)
                rows = self._records_before(tensors, about, metrics)
            except (InputError, KeyError, TypeError, AttributeError):
                self.on_progress("the checkpoint is damaged, starting again", 0.0, {})
            else:
                self.scores_initial, self.spent = about["scores_initial"], about["spent"]
                if about["progress"]["step"] == 0:  # nothing was trained: begin at the beginning
                    write_bytes(metrics, b"")
                    return
                self.progress.restore(tensors, about["progress"])
                self.steps = tensors["trajectory/steps"].tolist()
                sites = self.prompt.sites
                self.initial = {site: tensors[f"initial/{site}"] for site in sites}
                for k in range(len(self.steps)):
                    self.trajectory.append({s: tensors[f"trajectory/{s}"][k] for s in sites})
        self.records = rows
        if path.is_dir():
            raise InputError(f"{path} is a folder; remove it")
        write_bytes(metrics, "".join(json.dumps(row) + "\n" for row in rows).encode())

    def _records_before(
        self, tensors: Mapping[str, Tensor], about: Mapping[str, Any], metrics: Path
    ) -> list[dict[str, Any]]:
        """The records up to a checkpoint; raises if it is damaged or not of this run."""
        step, names = about["progress"]["step"], ("value", "exp_avg", "exp_avg_sq", "initial")
        if self.progress is None or not set(self.progress.counters()) <= set(about["progress"]):
            raise InputError("the checkpoint lacks a counter")
        if not isinstance(about["scores_initial"], dict) or not about["spent"] >= 0:
            raise InputError("the checkpoint lacks scores or time")
        for site, value in self.prompt.values.items():
            kept = names if step else ("value", "initial")
            if any(tensors[f"{name}/{site}"].shape != value.shape for name in kept):
                raise InputError("the checkpoint is of another shape")
            if len(tensors[f"trajectory/{site}"]) != len(tensors["trajectory/steps"]):
                raise InputError("the checkpoint's trajectory is cut off")
        rows = [row for row in read_json_lines(metrics) if row["step"] <= step]
        whole = [row["step"] for row in rows] == list(range(step + 1))
        if not whole or not 0 <= step < self.config.train.steps:
            raise InputError("the records do not lead to the checkpoint")
        return rows
