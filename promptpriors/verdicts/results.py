"""Results of studies, computed once from their finished runs."""

from collections.abc import Sequence

from promptpriors.analysis.quality_scale import decides
from promptpriors.runs.study_results import (
    Answer,
    AnswerState,
    Controls,
    Scale,
    SettingResult,
    StudyResult,
)
from promptpriors.verdicts.contrasts import arms_of, contrasts_of, pairs_of
from promptpriors.verdicts.controls import differs
from promptpriors.verdicts.judge import SettingStatistics, judge
from promptpriors.verdicts.outcomes import Setting
from promptpriors.verdicts.plateaus import plateaus_of
from promptpriors.verdicts.variance import components_of, power_of

ANSWERS: dict[str, AnswerState] = {"equal": "yes", "different": "no", "undecided": "undecided"}


def study_results(settings: Sequence[Setting]) -> list[StudyResult]:
    """Judge every study of a folder, in the order of the settings."""
    names = dict.fromkeys(setting.study for setting in settings)
    return [study_result([s for s in settings if s.study == name]) for name in names]


def study_result(settings: Sequence[Setting]) -> StudyResult:
    """Judge a study, each of its settings by itself."""
    return StudyResult(
        name=settings[0].study, settings=[_setting_result(judge(setting)) for setting in settings]
    )


def _setting_result(statistics: SettingStatistics) -> SettingResult:
    setting, scale = statistics.setting, statistics.scale
    pairs, all_pairs = pairs_of(statistics)
    return SettingResult(
        setting=setting.name,
        metric=setting.compare.metric,
        unit=setting.unit,
        lower_is_better=setting.lower_is_better,
        scale=None if scale is None else Scale(floor=scale.floor, ceiling=scale.ceiling),
        scale_reason=statistics.lacking("scale"),
        margin=statistics.margin,
        margin_share=setting.compare.margin,
        reference=setting.compare.reference,
        arms=arms_of(statistics),
        contrasts=contrasts_of(statistics),
        pairs=pairs,
        all_pairs=all_pairs,
        controls=Controls(positive=statistics.positive.result, negative=statistics.negative.result),
        power=power_of(statistics),
        components=components_of(statistics),
        plateaus=plateaus_of(statistics),
        verdicts=_answers(statistics),
    )


def _answers(statistics: SettingStatistics) -> list[Answer]:
    """Both controls, whether the task decides anything, and the two questions."""
    reference = statistics.setting.compare.reference
    positive, negative = statistics.positive.result, statistics.negative.result
    return [
        Answer(
            question="positive_control", state=positive.state, reason=positive.reason,
            statistic=f"adjusted p of its difference to {reference}", value=positive.p,
        ),
        Answer(
            question="negative_control", state=negative.state, reason=negative.reason,
            statistic=f"p of equality with {reference}", value=negative.p,
        ),
        _task_decides(statistics),
        _priors_differ(statistics),
        _priors_equal(statistics),
    ]  # fmt: skip


def _task_decides(statistics: SettingStatistics) -> Answer:
    """There is no verdict where a control does not hold; that too little is covered is one."""
    share = statistics.share
    controls = {statistics.positive.result.state, statistics.negative.result.state}
    state, reason = _none(statistics.gate)
    if share is not None and controls == {"passed"}:
        state, reason = ("yes" if decides(share) else "no"), ""
    statistic = f"share of the way that {statistics.leader} covers at its best rate"
    return Answer(
        question="task_decides", state=state, reason=reason, statistic=statistic, value=share
    )


def _priors_differ(statistics: SettingStatistics) -> Answer:
    differences, gate = statistics.differences, statistics.gate
    rows = (differences or {}).items()
    names = [f"{a} {'higher' if row.value > 0 else 'lower'}" for a, row in rows if differs(row)]
    remark = _remark(statistics)
    if gate or differences is None:
        state, reason = _none(gate or statistics.lacking("differences"))
    elif names:
        state, reason = "yes", ", ".join(names) + (f" ({remark})" if remark else "")
    else:
        state, reason = "undecided", remark
    statistic = f"smallest adjusted p (Dunnett, against {statistics.setting.compare.reference})"
    p = min((row.p for _, row in rows if row.p is not None), default=None)
    return Answer(
        question="priors_differ", state=state, reason=reason, statistic=statistic, value=p
    )


def _priors_equal(statistics: SettingStatistics) -> Answer:
    equality, gate = statistics.equality, statistics.gate
    if gate or equality is None:
        missing = statistics.lacking("pooled", "scale") or "there is one arm"
        state, reason = _none(gate or missing)
    elif statistics.aside and equality.verdict == "equal":
        state, reason = _none(statistics.excluded)
    else:
        state, reason = ANSWERS[equality.verdict], _remark(statistics)
    statistic = "largest p of two one-sided tests over all pairs"
    p = None if equality is None else equality.p
    return Answer(question="priors_equal", state=state, reason=reason, statistic=statistic, value=p)


def _none(reason: str) -> tuple[AnswerState, str]:
    return "none", reason


def _remark(statistics: SettingStatistics) -> str:
    """Arms that a verdict is not about."""
    return f"nothing is said of others: {statistics.excluded}" if statistics.aside else ""
