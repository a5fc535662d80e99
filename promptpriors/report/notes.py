"""Runs that may be compared: one model on one task, its parameters included."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from promptpriors.figures import setting_of
from promptpriors.runs import Run

NOTES = {
    "smollm2": "SmolLM2-135M-Instruct, dequantised from 4-bit (Q4_1) weights, instruction-tuned",
    "tiny": "a randomly initialised model for tests: numbers from it mean nothing",
}
"""What a reader must know about a model before believing a figure."""


@dataclass(frozen=True)
class Group:
    """The finished runs of one model on one task.

    Attributes:
        model: as the config names it.
        task: the task's name, with its parameters where two groups share the name.
        runs: in the order of the folder.
    """

    model: str
    task: str
    runs: list[Run]

    @property
    def note(self) -> str:
        """What must be known about the model, or nothing."""
        return NOTES.get(self.model, "")


def grouped(runs: Sequence[Run]) -> list[Group]:
    """Finished runs by model and task, in the order in which the groups first occur."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        if run.result is not None:
            groups.setdefault(setting_of(run), []).append(run)
    heads = [(str(g[0].config["model"]), str(g[0].config["task"]["name"])) for g in groups.values()]
    counts = Counter(heads)
    return [
        Group(model, name if counts[model, name] == 1 else _in_full(mine[0]), mine)
        for (model, name), mine in zip(heads, groups.values(), strict=True)
    ]


def _in_full(run: Run) -> str:
    """The task's name with its parameters."""
    task = run.config["task"]
    rest = ", ".join(f"{key}={value}" for key, value in task.items() if key != "name")
    return f"{task['name']} ({rest})"
