"""The controls of a study: one that must come out different, one that must come out equal."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from promptpriors.config.overrides import put
from promptpriors.config.study import StudyFile
from promptpriors.geometry import rms
from promptpriors.running.workspace import Workspace
from promptpriors.study.arms import Planned, arms_of, planned

POSITIVE = "positive control"
AGAIN = 1_000_000
"""Added to the seeds of the negative control: other draws in the same order of the data."""
SLOW = 0.05
"""The positive control's largest relative rate, so that a fast reference does not bring it near."""


def controls(study: StudyFile, workspace: Workspace, arms: Sequence[Planned]) -> Iterator[Planned]:
    """The positive and the negative control, made of the reference's runs.

    Positive: σ = 1 at the reference's lowest rate, so that its start is far for the steps it can
    take; a relative rate is at most ``SLOW``, and in absolute size what it is for the vocabulary's
    spread. It counts as a run at the reference's lowest rate.
    Negative: the reference under a second name: other draws, the same order of the data.
    """
    name = study.compare.reference
    mine = [run for run in arms if run.arm == name and not run.config.train.frozen]
    if name is None or not mine:
        return
    overrides = arms_of(study).get(name, {})
    for setting in dict.fromkeys(run.setting for run in mine):
        here = [run for run in mine if run.setting == setting]
        lowest = min(here, key=lambda run: _size(run.config.lr)).rate
        for run in here:
            if run.rate == lowest:
                yield _positive(study, workspace, run)
    for run in mine:
        varied = {
            **run.factors,
            "seed": run.config.seed + AGAIN,
            "train.order": run.seed,
        }
        again = planned(study, f"{name}, second name", overrides, varied, kind="negative")
        yield again._replace(setting=run.setting, rate=run.rate, factors=run.factors)


def _positive(study: StudyFile, workspace: Workspace, run: Planned) -> Planned:
    lr: Any = run.config.lr
    if isinstance(lr, dict):
        rate = min(lr["relative"], SLOW) * rms(workspace.vocabulary(run.config).points)
        lr = {"relative": float(f"{rate:.2g}")}  # no last digit of a sum may decide on the id
    plain = put(run.plain, "prior", {"name": "isotropic", "sigma": 1.0})
    control = planned(replace(study, base=put(plain, "train.lr", lr)), POSITIVE, {}, {})
    return control._replace(
        kind="positive", setting=run.setting, rate=run.rate, factors=run.factors
    )


def _size(lr: Any) -> float:
    return lr if isinstance(lr, int | float) else lr["relative"]
