"""Prospects of a planned study: whether its metric exists, and which verdicts it can reach."""

from collections.abc import Callable, Iterable, Sequence

from promptpriors.analysis.power import difference_power, equality_power
from promptpriors.config.study import StudyFile
from promptpriors.errors import InputError, suggest
from promptpriors.runs.schema import METRICS
from promptpriors.runs.studies import Comparison, Kind, StudyRun
from promptpriors.runs.study_results import SettingResult
from promptpriors.study.arms import Planned
from promptpriors.types import Task
from promptpriors.verdicts.controls import ALPHA
from promptpriors.verdicts.outcomes import RunOutcome, Setting
from promptpriors.verdicts.results import study_result

SCORES = ("loss", "token_accuracy")
"""Scores of every task."""
HEIGHTS: dict[Kind, float] = {"arm": 0.5, "negative": 0.5, "positive": 0.1, "ceiling": 1.0}
"""Shares of the way from floor to ceiling that runs of these kinds cover in the trial."""
ENOUGH = 0.8
"""Power that is worth a study."""


def check_metric(metric: str, tasks: Iterable[Task]) -> None:
    """Refuse a metric that no run on one of the tasks will have.

    Raises:
        InputError: with the metrics that there are.
    """
    for task in tasks:
        scores = _scores(task)
        known = [*METRICS, *(f"{when}.{name}" for when in ("scores", "scores_initial")
                             for name in scores)]  # fmt: skip
        if metric not in known:
            raise InputError(
                f"[compare] metric = {metric!r}: task {task.name!r} has no such number."
                f"{suggest(metric, known)} It has: {', '.join(known)}"
            )


def prospects(study: StudyFile, runs: Sequence[tuple[str, Planned]]) -> list[str]:
    """Say what the verdicts of a plan can be, a line each; none where all can be reached.

    The plan is judged as ``compare`` will judge it, with made-up values that pass every test: what
    has no verdict then has none whatever the runs bring. Then comes the scatter of seeds at which
    the study finds equality and difference at the margin with a power of 80 %.
    """
    compare = Comparison(**study.compare.model_dump())
    settings = dict.fromkeys(run.setting for _, run in runs)
    lines = []
    for name in settings:
        mine = [_trial(id_, run, compare, place) for place, (id_, run) in enumerate(runs)
                if run.setting == name]  # fmt: skip
        found = study_result([Setting(study.name, name, compare, mine)]).settings[0]
        within = f"{name}: " if len(settings) > 1 else ""
        lines += [within + line for line in (*_unreachable(found), *_power(found))]
    return lines


def _scores(task: Task) -> list[str]:
    """Names of a task's scores, as an evaluation of its test split has them."""
    examples = task.splits["test"]
    if not examples:
        return []
    asked = all(example.source for example in examples)
    return [*SCORES, *(task.score("", examples[0]) if asked else ())]


def _trial(id_: str, run: Planned, compare: Comparison, place: int) -> RunOutcome:
    """A run with a made-up value: that of its kind, and a thousandth of scatter."""
    plan = StudyRun(id=id_, kind=run.kind, arm=run.arm, setting=run.setting, rate=run.rate,
                    seed=run.seed, factors=dict(run.factors))  # fmt: skip
    share = HEIGHTS.get(run.kind, 0.0) + (place * place % 7 - 3) * 1e-4
    lower = any(word in compare.metric for word in ("loss", "objective"))
    return RunOutcome(plan, 2 - share if lower else share, "", None)


def _unreachable(found: SettingResult) -> list[str]:
    """Questions without a verdict, by their reasons."""
    reasons: dict[str, list[str]] = {}
    for answer in found.verdicts:
        if answer.state in {"none", "missing"}:
            reasons.setdefault(answer.reason or "no runs", []).append(answer.title)
    return [
        f"there will be no verdict on: {', '.join(titles)} ({reason})"
        for reason, titles in reasons.items()
    ]


def _power(found: SettingResult) -> list[str]:
    power, arms = found.power, sum(arm.kind == "arm" for arm in found.arms)
    if power.df is None or power.seeds is None or found.margin is None or arms < 2:
        return []
    seeds, df, margin = power.seeds, power.df, found.margin_share

    def equal(sd: float) -> float:
        return equality_power(sd=sd, units=seeds, arms=arms, df=df, margin=margin, alpha=ALPHA)

    def differs(sd: float) -> float:
        level = 1 - ALPHA
        return difference_power(
            sd=sd, units=seeds, arms=arms, df=df, difference=margin, level=level
        )

    return [
        f"with {seeds} seeds an arm, a power of {ENOUGH:.0%} needs means of a seed that scatter by "
        f"at most {_most(equal, margin):.2%} of the way from floor to ceiling (all pairs equal), "
        f"{_most(differs, margin):.2%} (an arm {margin:.0%} off)"
    ]


def _most(power: Callable[[float], float], margin: float) -> float:
    """Largest spread at which a test, whose power falls in it, has enough."""
    low, high = 1e-4 * margin, 10 * margin
    if power(low) < ENOUGH:
        return 0.0
    for _ in range(20):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if power(middle) >= ENOUGH else (low, middle)
    return low
