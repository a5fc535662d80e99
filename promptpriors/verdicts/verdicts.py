"""The table of a study's verdicts: one primary statistic a question."""

from collections.abc import Mapping

from promptpriors.analysis.quality_scale import decides
from promptpriors.runs.tables import Cell
from promptpriors.verdicts.controls import ALPHA, Control
from promptpriors.verdicts.judge import NONE, Judged

YES_OR_NO = {"equal": "yes", "different": "no", "undecided": "undecided"}


def verdicts_of(judged: Judged) -> list[Mapping[str, Cell]]:
    """The controls, whether the task decides anything, and the two questions."""
    reference = judged.setting.compare.reference
    return [
        _row(
            "positive control",
            f"adjusted p of its difference to {reference}",
            judged.positive.p,
            _state(judged.positive),
        ),
        _row(
            "negative control",
            f"p of equality with {reference}",
            judged.negative.p,
            _state(judged.negative),
        ),
        _row(
            "does the task decide anything?",
            f"share of the way that {judged.leader} covers at its best rate",
            judged.share,
            _decides(judged),
        ),
        _differ(judged),
        _equal(judged),
    ]


def _row(question: str, statistic: str, value: float | None, verdict: str) -> Mapping[str, Cell]:
    return {"question": question, "statistic": statistic, "value": value, "verdict": verdict}


def _state(control: Control) -> str:
    return control.state + (f" ({control.why})" if control.why else "")


def _decides(judged: Judged) -> str:
    """No verdict where a control does not hold; that too little is covered is one itself."""
    share = judged.share
    controls = {judged.positive.state, judged.negative.state}
    if share is None or controls != {"passed"}:
        return judged.gate
    return "yes" if decides(share) else "no"


def _differ(judged: Judged) -> Mapping[str, Cell]:
    found, question = judged.differences, "do priors differ?"
    statistic = f"smallest adjusted p (Dunnett, against {judged.setting.compare.reference})"
    if found is None:
        why = judged.gate or NONE + judged.reasons["differences"]
        return _row(question, statistic, None, why)
    names = [
        f"{arm} {'higher' if row.difference > 0 else 'lower'}"
        for arm, row in found.items()
        if row.p <= ALPHA
    ]
    verdict = f"yes: {', '.join(names)}" if names else "undecided"
    p = min(row.p for row in found.values())
    return _row(question, statistic, p, judged.gate or verdict + _but(judged))


def _equal(judged: Judged) -> Mapping[str, Cell]:
    found, question = judged.equality, "are all priors equal?"
    statistic = "largest p of two one-sided tests over all pairs"
    if found is None:
        reasons = [judged.reasons[name] for name in ("pooled", "scale") if name in judged.reasons]
        why = judged.gate or NONE + "; ".join(reasons or ["there is one arm"])
        return _row(question, statistic, None, why)
    verdict = YES_OR_NO[found.verdict]
    if judged.aside and verdict == "yes":
        verdict = NONE + _lacking(judged)
    elif judged.aside:
        verdict += _but(judged)
    return _row(question, statistic, found.p, judged.gate or verdict)


def _but(judged: Judged) -> str:
    return f" (nothing is said of others: {_lacking(judged)})" if judged.aside else ""


def _lacking(judged: Judged) -> str:
    return "; ".join(f"of {arm} {why}" for arm, why in judged.aside.items())
