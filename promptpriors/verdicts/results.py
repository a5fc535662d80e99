"""Results of studies, computed once from their finished runs."""

from collections.abc import Sequence

from promptpriors.analysis.quality_scale import decides
from promptpriors.runs.studies import CONTROLS
from promptpriors.runs.study_results import (
    Answer,
    AnswerState,
    Controls,
    Question,
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
    found = [_setting_result(judge(setting)) for setting in settings]
    return StudyResult(name=settings[0].study, settings=found)


def _setting_result(statistics: SettingStatistics) -> SettingResult:
    setting, scale, controls = statistics.setting, statistics.scale, statistics.controls
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
        controls=Controls.model_validate({k: test.result for k, test in controls.items()}),
        power=power_of(statistics),
        components=components_of(statistics),
        plateaus=plateaus_of(statistics),
        verdicts=_answers(statistics),
    )


def _answers(statistics: SettingStatistics) -> list[Answer]:
    """Both controls, whether the task decides anything, and the two questions."""
    reference = statistics.setting.compare.reference
    positive, negative = (statistics.controls[kind].result for kind in CONTROLS)
    p = [row.p for row in (statistics.differences or {}).values() if row.p is not None]
    leader, equality = statistics.leader, statistics.equality
    found: list[tuple[Question, tuple[AnswerState, str], str, float | None]] = [
        ("positive_control", (positive.state, positive.reason),
         f"adjusted p of its difference to {reference}", positive.p),
        ("negative_control", (negative.state, negative.reason),
         f"p of equality with {reference}", negative.p),
        ("task_decides", _task_decides(statistics),
         f"share of the way that {leader} covers at its best rate", statistics.share),
        ("priors_differ", _priors_differ(statistics),
         f"smallest adjusted p (Dunnett, against {reference})", min(p, default=None)),
        ("priors_equal", _priors_equal(statistics),
         "largest p of two one-sided tests over all pairs", equality and equality.p),
    ]  # fmt: skip
    return [
        Answer(question=question, state=state, reason=reason, statistic=statistic, value=value)
        for question, (state, reason), statistic, value in found
    ]


def _task_decides(statistics: SettingStatistics) -> tuple[AnswerState, str]:
    """There is no verdict where a control does not hold; that too little is covered is one."""
    share = statistics.share
    if share is None or any(test.result.state != "passed" for test in statistics.controls.values()):
        return "none", statistics.gate
    return ("yes" if decides(share) else "no"), ""


def _priors_differ(statistics: SettingStatistics) -> tuple[AnswerState, str]:
    differences, gate = statistics.differences, statistics.gate
    if gate or differences is None:
        return "none", gate or statistics.lacking("differences")
    rows = [(arm, row) for arm, row in differences.items() if differs(row)]
    names = ", ".join(f"{arm} {'higher' if row.value > 0 else 'lower'}" for arm, row in rows)
    remark = _remark(statistics)
    if not names:
        return "undecided", remark
    return "yes", names + (f" ({remark})" if remark else "")


def _priors_equal(statistics: SettingStatistics) -> tuple[AnswerState, str]:
    equality, gate = statistics.equality, statistics.gate
    if gate or equality is None:
        return "none", gate or statistics.lacking("pooled", "scale") or "there is one arm"
    if statistics.aside and equality.verdict == "equal":
        return "none", statistics.excluded
    return ANSWERS[equality.verdict], _remark(statistics)


def _remark(statistics: SettingStatistics) -> str:
    """Arms that a verdict is not about."""
    return f"nothing is said of others: {statistics.excluded}" if statistics.aside else ""
