"""Range test of relative learning rates."""

from dataclasses import replace

from promptpriors.config.run import RunConfig
from promptpriors.errors import WorkError
from promptpriors.progress import OnProgress
from promptpriors.running.doctor import CHECKED, Finding
from promptpriors.running.run import fit_and_draw
from promptpriors.running.workspace import Workspace
from promptpriors.training import train

RATES = (0.01, 0.03, 0.1, 0.3, 1.0)
"""Tried, in units of the start's rms per coordinate."""
STEPS = 15
"""Updates a rate."""


def advise(config: RunConfig, workspace: Workspace, on_progress: OnProgress) -> Finding:
    """Recommend the rate of lowest validation loss after a few steps.

    It is a place to start from and no result: one draw, few steps, a part of the validation split.

    Raises:
        InputError: as a run of the same config would.
    """
    config = config.placed(workspace.blocks(config.model))
    backbone, task = workspace.backbone(config.model_spec), workspace.task(config.task)
    few = replace(task, splits={**task.splits, "validation": task.splits["validation"][:CHECKED]})
    losses: dict[float, float] = {}
    for number, rate in enumerate(RATES):
        try:
            records = train(
                backbone,
                fit_and_draw(config, workspace),
                few,
                steps=STEPS,
                batch=config.train.batch,
                lr={"relative": rate},
                clip=config.train.clip,
                evaluate_every=STEPS,
                grouping=config.train.grouping,
                seed=config.seed,
            )
            for record in records:
                on_progress("trying rates", (number + record.step / STEPS) / len(RATES), {})
                losses[rate] = record.val_loss or 0.0
        except WorkError:
            losses[rate] = float("inf")
    best = min(losses, key=lambda rate: losses[rate])
    shown = ", ".join(f"{rate:g}: {loss:.3f}" for rate, loss in losses.items())
    return Finding(
        "advice", None, f"train.lr.relative={best:g} (loss after {STEPS} steps: {shown})"
    )
