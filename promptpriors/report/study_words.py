"""What must be known to read a study, in words."""

from collections.abc import Iterable, Mapping, Sequence

from promptpriors.report.formatting import fixed, whole
from promptpriors.report.study_curves import Curves
from promptpriors.report.study_rows import Difference
from promptpriors.runs import Run
from promptpriors.runs.studies import StudyRecord, StudyRun

METRICS = {"val_loss": "validation loss", "val_loss_best": "lowest validation loss"}
"""Losses by their names in ``result.json``; all are nats per target token."""


def axis_of(metric: str) -> str:
    """What differences are of, with its unit; a loss where the study's file is not there."""
    if metric and metric not in METRICS:
        return metric
    return f"{METRICS.get(metric, 'loss')}, nats per target token"


def margin_of(rows: Sequence[Difference]) -> float | None:
    """The margin that the rows share, in units of the metric."""
    return next((float(r.margin) for r in rows if isinstance(r.margin, int | float)), None)


def facts_of(
    study: StudyRecord | None,
    members: Sequence[StudyRun],
    drawn: Curves,
    runs: Mapping[str, Run],
    margin: float | None,
) -> list[tuple[str, str]]:
    """Name and text of what is compared, how, and over how many runs."""
    if study is None:
        return []
    rules, arms = study.compare, [member for member in members if member.kind == "arm"]
    share = f"{100 * rules.margin:.3g} % of floor to ceiling"
    levels = [
        (level.role, fixed(level.value))
        for level in drawn.levels
        if level.role in {"floor", "ceiling"}
    ]
    there = [runs[member.id].config for member in members if member.id in runs]
    facts = [
        ("model", _listed(str(config["model"]) for config in there)),
        ("task", _listed(str(config["task"].get("name")) for config in there)),
        ("compared by", METRICS.get(rules.metric, rules.metric)),
        ("equal within", share if margin is None else f"±{margin:.3g}, {share}"),
        *levels,
        ("arms × rates × seeds", _counts(arms)),
        ("runs", _runs(len(members), len(drawn.lost))),
    ]
    return [(name, text) for name, text in facts if text]


def earlier_of(study: StudyRecord | None) -> list[str]:
    """A sentence for each comparison that was fixed before this one."""
    return [
        "The comparison was fixed otherwise before: "
        + ", ".join(f"{name} {value}" for name, value in rules.items())
        + ". What is chosen after runs were seen shows less."
        for rules in (study.earlier if study else [])
    ]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))


def _counts(arms: Sequence[StudyRun]) -> str:
    """How many arms, rates and seeds there are; nothing without arms."""
    sizes = [len({getattr(m, name) for m in arms}) for name in ("arm", "rate", "seed")]
    return " × ".join(map(whole, sizes)) if arms else ""


def _runs(number: int, lost: int) -> str:
    return whole(number) if not lost else f"{whole(number)}, {whole(lost)} not finished"
