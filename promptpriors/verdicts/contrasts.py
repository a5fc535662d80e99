"""The tables of differences: arms against the reference, and every pair of arms."""

from collections.abc import Mapping
from itertools import combinations

from promptpriors.analysis.pooled import quantile
from promptpriors.runs.studies import Kind
from promptpriors.runs.tables import Cell
from promptpriors.verdicts.controls import ALPHA, Control, Row
from promptpriors.verdicts.judge import NONE, Judged

Record = Mapping[str, Cell]
KINDS: tuple[Kind, ...] = ("arm", "positive", "negative")


def differences_of(judged: Judged) -> list[Record]:
    """A row an arm other than the reference, and one a control."""
    reference = judged.setting.compare.reference
    controls = {"positive": judged.positive, "negative": judged.negative}
    return [
        {
            "arm": arm,
            "kind": kind,
            "reference": reference,
            **_difference(judged, arm, controls.get(kind)),
        }
        for kind in KINDS
        for arm in judged.setting.by_arm(kind)
        if arm != reference
    ]


def _difference(judged: Judged, arm: str, control: Control | None) -> dict[str, Cell]:
    row = control.row if control else (judged.differences or {}).get(arm)
    if row is None:
        why = control.why if control else judged.aside.get(arm)
        return _without(judged, why, "differences")
    verdict = judged.gate or _verdict(row, judged.margin)
    return {**row._asdict(), "margin": judged.margin, "verdict": verdict}


def _verdict(row: Row, margin: float | None) -> str:
    """Whether the arm is told from the reference; if not, whether it is found equal to it."""
    if row.p <= ALPHA:
        return "higher" if row.difference > 0 else "lower"
    within = margin is not None and -margin < row.low and row.high < margin
    return "equal" if within else "undecided"


def equality_of(judged: Judged) -> list[Record]:
    """A row a pair of arms, and one for all of them."""
    arms = list(judged.setting.by_arm("arm"))
    if len(arms) < 2:
        return []
    rows = _pairs(judged)
    records: list[Record] = []
    for first, second in combinations(arms, 2):
        lacking = judged.aside.get(first) or judged.aside.get(second)
        found = _without(judged, lacking, "pooled", "scale") | rows.get((first, second), {})
        records.append({"first": first, "second": second, **found})
    whole = _without(judged, None, "pooled", "scale")
    if judged.equality:
        verdict = judged.gate or judged.equality.verdict
        if judged.aside and verdict == "equal":
            verdict = NONE + "; ".join(f"of {arm} {why}" for arm, why in judged.aside.items())
        whole |= {"p": judged.equality.p, "verdict": verdict}
    return [*records, {"first": "all pairs", "second": "", **whole}]


def _pairs(judged: Judged) -> dict[tuple[str, str], dict[str, Cell]]:
    """Differences with their intervals; p and verdict where there is a margin."""
    pooled = judged.pooled
    if pooled is None:
        return {}
    contrasts = pooled.differences(combinations(pooled.arms, 2))
    half = quantile(1 - ALPHA, pooled.df) * contrasts.errors
    columns = (contrasts.estimates, contrasts.estimates - half, contrasts.estimates + half)
    found: dict[tuple[str, str], dict[str, Cell]] = {
        pair: dict(zip(("difference", "low", "high"), values, strict=True))
        for pair, *values in zip(contrasts.pairs, *(c.tolist() for c in columns), strict=True)
    }
    for pair in judged.equality.pairs if judged.equality else ():
        said = {"p": pair.p, "verdict": judged.gate or pair.verdict}
        found[pair.first, pair.second] |= said
    return found


def _without(judged: Judged, lacking: str | None, *needed: str) -> dict[str, Cell]:
    """A row of what can't be said, with the first reason."""
    reasons = [judged.reasons[name] for name in needed if name in judged.reasons]
    why = NONE + lacking if lacking else judged.gate or NONE + "; ".join(reasons)
    names = ("difference", "low", "high", "p")
    return {**dict.fromkeys(names), "margin": judged.margin, "verdict": why}
