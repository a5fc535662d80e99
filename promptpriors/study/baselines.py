"""Runs beside a study's arms: controls, baselines, and LoRA as the ceiling."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from promptpriors.config.overrides import put
from promptpriors.config.study import StudyFile
from promptpriors.geometry import rms
from promptpriors.running.workspace import Workspace
from promptpriors.runs.studies import Kind
from promptpriors.study.arms import Planned, arms_of, planned

LORA_RATES = (3e-4, 1e-3, 3e-3)
"""The ceiling is the best of these."""
POSITIVE = "positive control"
SECOND_SEED = 1_000_000
"""Added to the seeds of the negative control: other draws in the same order of the data."""
SLOW_RATE = 0.05
"""The positive control's largest relative rate, so that a fast reference does not bring it near."""


def baselines(study: StudyFile, workspace: Workspace, arms: Sequence[Planned]) -> Iterator[Planned]:
    """Plan the study's baselines, once in each setting, on the data of its first run."""
    for setting in dict.fromkeys(run.setting for run in arms):
        first = next(run for run in arms if run.setting == setting)
        for name in study.baselines:
            kind, _, rest = name.partition(":")
            if kind == "none":
                yield _baseline(study, first, "none", {"prompt": {"mode": "none"}})
            elif kind == "text":
                backbone = workspace.backbone(first.config.model_spec)
                length = max(1, len(backbone.encode(rest, control=True)))
                change = {
                    "prior": {"name": "text", "text": rest},
                    "prompt": {"mode": "soft", "length": length},
                    "train": {"frozen": True},
                }
                yield _baseline(study, first, f"text: {rest}", change)
            elif kind == "lora":
                for rate in LORA_RATES:
                    yield _lora(study, first, int(rest), rate)


def controls(study: StudyFile, workspace: Workspace, arms: Sequence[Planned]) -> Iterator[Planned]:
    """Plan the positive and the negative control, made of the reference's runs.

    Positive: σ = 1 at the reference's lowest rate, so that its start is far for the steps it can
    take; a relative rate is at most ``SLOW_RATE``, and in absolute size what it is for the
    vocabulary's spread. It counts as a run at the reference's lowest rate.
    Negative: the reference under a second name: other draws, the same order of the data.
    """
    name = study.compare.reference
    own = [run for run in arms if run.arm == name and not run.config.train.frozen]
    if name is None or not own:
        return
    overrides = arms_of(study).get(name, {})
    for setting in dict.fromkeys(run.setting for run in own):
        alike = [run for run in own if run.setting == setting]
        lowest = min(alike, key=lambda run: _size(run.config.lr)).rate
        for run in alike:
            if run.rate == lowest:
                yield _positive(study, workspace, run)
    for run in own:
        seed = run.config.seed + SECOND_SEED
        varied = {**run.factors, "seed": seed, "train.order": run.seed}
        again = planned(study, f"{name}, second name", overrides, varied, kind="negative")
        yield again._replace(setting=run.setting, rate=run.rate, factors=run.factors)


def _lora(study: StudyFile, first: Planned, rank: int, rate: float) -> Planned:
    besides = ("frozen", "objective", "regulariser")
    train = {key: v for key, v in first.plain.get("train", {}).items() if key not in besides}
    change = {"prompt": {"mode": "none"}, "train": train | {"lora": rank, "lr": rate}}
    return _baseline(study, first, f"lora {rank}", change, kind="ceiling")


def _baseline(
    study: StudyFile, first: Planned, label: str, change: dict[str, Any], kind: Kind = "baseline"
) -> Planned:
    """A run on the data of another: model, task, seed, device and the token before texts stay."""
    base: Mapping[str, Any] = {**first.plain, "prior": "isotropic", **change}
    if "bos" in first.plain.get("prompt", {}):
        base = put(base, "prompt.bos", first.plain["prompt"]["bos"])
    run = planned(replace(study, base=base), label, {}, {}, kind=kind)
    factors = {key: value for key, value in first.factors.items() if key == "seed"}
    return run._replace(setting=first.setting, factors=factors)


def _positive(study: StudyFile, workspace: Workspace, run: Planned) -> Planned:
    lr: Any = run.config.lr
    if isinstance(lr, dict):
        spread = rms(workspace.vocabulary(run.config.model_spec).points)
        rate = min(lr["relative"], SLOW_RATE) * spread
        lr = {"relative": float(f"{rate:.2g}")}  # no last digit of a sum may decide on the id
    plain = put(run.plain, "prior", {"name": "isotropic", "sigma": 1.0})
    base = put(plain, "train.lr", lr)
    control = planned(replace(study, base=base), POSITIVE, {}, {}, kind="positive")
    return control._replace(setting=run.setting, rate=run.rate, factors=run.factors)


def _size(lr: Any) -> float:
    return lr if isinstance(lr, int | float) else lr["relative"]
