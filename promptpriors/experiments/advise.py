"""A short range test: which relative rate to start from."""

from dataclasses import replace

from promptpriors.errors import WorkError
from promptpriors.experiments.config import RunConfig
from promptpriors.experiments.doctor import CHECKED, Finding
from promptpriors.experiments.run import draw
from promptpriors.experiments.session import Session
from promptpriors.experiments.watch import Watch
from promptpriors.training import train

RATES = (0.01, 0.03, 0.1, 0.3, 1.0)
"""Tried, in units of the start's rms per coordinate."""
STEPS = 15
"""Updates a rate."""


def advise(config: RunConfig, session: Session, watch: Watch) -> Finding:
    """Train the same draw for a few steps at each rate; the lowest validation loss wins.

    It is a place to start from and no result: one draw, few steps, a part of the validation split.

    Raises:
        InputError: as a run of the same config would.
    """
    config = config.placed(session.blocks(config))
    backbone, task = session.backbone(config), session.task(config).task
    few = replace(task, splits={**task.splits, "validation": task.splits["validation"][:CHECKED]})
    losses: dict[float, float] = {}
    for number, rate in enumerate(RATES):
        try:
            records = train(
                backbone,
                draw(config, session),
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
                watch("trying rates", (number + record.step / STEPS) / len(RATES), {})
                losses[rate] = record.val_loss or 0.0
        except WorkError:
            losses[rate] = float("inf")
    best = min(losses, key=lambda rate: losses[rate])
    shown = ", ".join(f"{rate:g}: {loss:.3f}" for rate, loss in losses.items())
    return Finding(
        "advice", None, f"train.lr.relative={best:g} (loss after {STEPS} steps: {shown})"
    )
