"""What stands beside the arms: the plain model, a text in words, and LoRA as the ceiling."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from promptpriors.config.overrides import put
from promptpriors.config.study import StudyFile
from promptpriors.running.workspace import Workspace
from promptpriors.runs.studies import Kind
from promptpriors.study.arms import Planned, planned

LORA_RATES = (3e-4, 1e-3, 3e-3)
"""The ceiling is the best of these."""


def baselines(study: StudyFile, workspace: Workspace, arms: Sequence[Planned]) -> Iterator[Planned]:
    """The study's baselines, once in each setting, on the data of its first run.

    Args:
        study: names them.
        workspace: has the model that says how long a text is.
        arms: the runs that are compared.
    """
    for setting in dict.fromkeys(run.setting for run in arms):
        first = next(run for run in arms if run.setting == setting)
        for name in study.baselines:
            kind, _, rest = name.partition(":")
            if kind == "none":
                yield _beside(study, first, "none", {"prompt": {"mode": "none"}})
            elif kind == "text":
                length = max(1, len(workspace.backbone(first.config).encode(rest)))
                change = {
                    "prior": {"name": "text", "text": rest},
                    "prompt": {"mode": "soft", "length": length},
                    "train": {"frozen": True},
                }
                yield _beside(study, first, f"text: {rest}", change)
            elif kind == "lora":
                for rate in LORA_RATES:
                    yield _lora(study, first, int(rest), rate)


def _lora(study: StudyFile, first: Planned, rank: int, rate: float) -> Planned:
    train = dict(first.plain.get("train", {}))
    for key in ("frozen", "objective", "regulariser"):
        train.pop(key, None)
    change = {"prompt": {"mode": "none"}, "train": train | {"lora": rank, "lr": rate}}
    return _beside(study, first, f"lora {rank}", change, kind="ceiling")


def _beside(
    study: StudyFile, first: Planned, label: str, change: dict[str, Any], kind: Kind = "baseline"
) -> Planned:
    """A run on the data of another: model, task, seed, device and the token before texts stay."""
    base: Mapping[str, Any] = {**first.plain, "prior": "isotropic", **change}
    if "bos" in first.plain.get("prompt", {}):
        base = put(base, "prompt.bos", first.plain["prompt"]["bos"])
    found = planned(replace(study, base=base), label, {}, {}, kind=kind)
    factors = {key: value for key, value in first.factors.items() if key == "seed"}
    return found._replace(setting=first.setting, factors=factors)
