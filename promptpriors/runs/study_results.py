"""Result of a study: arms, contrasts, controls and verdicts of each setting."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BeforeValidator

from promptpriors.errors import InputError
from promptpriors.files import write_json
from promptpriors.registry import validate
from promptpriors.runs.studies import RESULT, Kind, Name, Stored, read_object

VERSION = 1
"""Version of the file."""

ContrastState = Literal["higher", "lower", "equal", "undecided", "none"]
PairState = Literal["equal", "different", "undecided", "none"]
ControlState = Literal["passed", "failed", "missing"]
AnswerState = Literal["passed", "failed", "missing", "yes", "no", "undecided", "none"]
"""States of verdicts; ``none`` is that there is no verdict, for the reason beside it."""
State = TypeVar("State", ContrastState, PairState, ControlState, AnswerState)

Question = Literal[
    "positive_control", "negative_control", "task_decides", "priors_differ", "priors_equal"
]
QUESTIONS: Mapping[Question, str] = {
    "positive_control": "positive control",
    "negative_control": "negative control",
    "task_decides": "does the task decide anything?",
    "priors_differ": "do priors differ?",
    "priors_equal": "are all priors equal?",
}
"""Text of each question."""

Unit = Literal["nats per target token", "share", ""]


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


Number = Annotated[float | None, BeforeValidator(_finite)]
"""Finite number; None where there is none."""


class Verdict(Stored, Generic[State]):
    """State of a comparison with its reason.

    Attributes:
        state: of a closed set.
        reason: why there is no verdict, or a remark; mostly empty.
    """

    state: State
    reason: str = ""

    @property
    def text(self) -> str:
        """State and reason as one string, such as ``none: no runs``."""
        if not self.reason:
            return self.state
        colon = self.state in {"none", "yes"}
        return f"{self.state}: {self.reason}" if colon else f"{self.state} ({self.reason})"


class Scale(Stored):
    """Ends of the scale of quality, in units of the metric.

    Attributes:
        floor: without a prompt.
        ceiling: of what is known to learn.
    """

    floor: float
    ceiling: float


class Difference(Stored):
    """Difference of two means with its interval.

    Attributes:
        value: first less second, in units of the metric.
        low: lower end of the interval.
        high: upper end.
        p: of the test, where there is one.
    """

    value: float
    low: float
    high: float
    p: float | None = None


class MissingRun(Stored):
    """Run of an arm without a value, and why."""

    id: str
    reason: str


class Arm(Stored):
    """Mean of an arm, control, baseline or ceiling over rates and seeds.

    Attributes:
        arm: its name.
        kind: its role.
        runs: number of runs with a value.
        missing: runs without one.
        mean: over rates and seeds, in units of the metric.
        low: lower end of the 95 % t interval.
        high: upper end.
        sd: between seeds.
        seeds: number of independent units.
        rates: number of rates.
        excluded_rates: rates left out, since some arm has no run there.
        best_rate: rate of the best mean.
        best_mean: mean at that rate.
        share: of the way from floor to ceiling.
        best_share: the same at the best rate.
    """

    arm: str
    kind: Kind
    runs: int
    missing: list[MissingRun]
    mean: Number
    low: Number
    high: Number
    sd: Number
    seeds: int
    rates: int
    excluded_rates: list[str]
    best_rate: str | None
    best_mean: Number
    share: Number
    best_share: Number


class Contrast(Stored):
    """Arm or control less the reference, by Dunnett's test with 95 % intervals."""

    arm: str
    kind: Kind
    difference: Difference | None
    verdict: Verdict[ContrastState]


class Pair(Stored):
    """First arm less second, by two one-sided tests with a 90 % interval."""

    first: str
    second: str
    difference: Difference | None
    verdict: Verdict[PairState]


class AllPairs(Stored):
    """Equality of all pairs: the largest p."""

    p: Number
    verdict: Verdict[PairState]


class Control(Verdict[ControlState]):
    """Test that a control must pass."""

    p: Number


class Controls(Stored):
    """Difference that must be found, and equality that must be found."""

    positive: Control
    negative: Control


class Power(Stored):
    """Spread between runs, and the power of tests at that spread.

    Attributes:
        residual_sd: of a seed's mean over rates, arms and seeds taken out.
        df: its degrees of freedom.
        seeds: the fewest of an arm.
        equality: power of finding all pairs equal if they are.
        equality_runs: runs an arm that 80 % would take.
        difference: power of finding one arm that is off by the margin.
        difference_runs: runs an arm that 80 % would take.
        reason: why numbers are missing.
    """

    residual_sd: Number = None
    df: int | None = None
    seeds: int | None = None
    equality: Number = None
    equality_runs: int | None = None
    difference: Number = None
    difference_runs: int | None = None
    reason: str = ""


class Component(Stored):
    """Variance of one source, and its share of all."""

    source: str
    variance: Number
    share: Number
    df: int
    note: str


class Components(Stored):
    """Sources of variance, or why there are none."""

    sources: list[Component]
    reason: str = ""


class Plateau(Stored):
    """Curves of an arm: rest at the end, and steps to a loss.

    Attributes:
        arm: its name.
        runs: number of curves.
        at_rest: how many have come to rest; None where the metric is no loss.
        too_few: how many have too few evaluations to tell.
        loss: that curves are to reach, in nats per target token.
        steps: to that loss, mean over seeds.
        low: lower end of its 95 % t interval.
        high: upper end.
        censored: number of curves that do not reach it.
        less_reference: steps less the reference's.
        horizon: steps that every curve has.
        mean_loss: over the steps.
    """

    arm: str
    runs: int
    at_rest: int | None
    too_few: int | None
    loss: float
    steps: Number
    low: Number
    high: Number
    censored: int
    less_reference: Difference | None
    horizon: int
    mean_loss: Number


class Answer(Verdict[AnswerState]):
    """Verdict on a question by its one primary statistic."""

    question: Question
    statistic: str
    value: Number


class SettingResult(Stored):
    """Result of a study in one setting.

    Attributes:
        setting: its name; empty where nothing else is varied.
        metric: a number of ``result.json``.
        unit: of the metric.
        lower_is_better: whether it is a loss or another objective.
        scale: from floor to ceiling.
        scale_reason: why there is none.
        margin: of equality, in units of the metric.
        margin_share: the same as a share of the scale.
        reference: the arm that others are compared with.
        arms: arms, controls, baselines and ceilings.
        contrasts: arms and controls less the reference.
        pairs: every pair of arms.
        all_pairs: all of them together; None for fewer than two arms.
        controls: both controls.
        power: of the study's tests.
        components: sources of variance.
        plateaus: the curves of each arm.
        verdicts: the answers to the questions.
    """

    setting: str
    metric: str
    unit: Unit
    lower_is_better: bool
    scale: Scale | None
    scale_reason: str = ""
    margin: Number
    margin_share: float
    reference: str | None
    arms: list[Arm]
    contrasts: list[Contrast]
    pairs: list[Pair]
    all_pairs: AllPairs | None
    controls: Controls
    power: Power
    components: Components
    plateaus: list[Plateau]
    verdicts: list[Answer]


class StudyResult(Stored):
    """Content of ``studies/NAME.result.json``."""

    format: int = VERSION
    study: Name
    settings: list[SettingResult]


def write_study_result(runs: Path, result: StudyResult) -> Path:
    """Write a study's result below ``runs``; what was there before is replaced."""
    path = runs / "studies" / f"{result.study}{RESULT}"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, result.model_dump())
    return path


def read_study_result(path: Path) -> StudyResult:
    """Read a study's result.

    Raises:
        InputError: if it is damaged or of another version.
    """
    content = read_object(path)
    if content.get("format") != VERSION:
        raise InputError(
            f"{path} has format {content.get('format')!r}, expected {VERSION}; `promptpriors "
            "compare` writes it anew"
        )
    return validate(StudyResult, content, str(path), brief=True)


def list_study_results(runs: Path) -> tuple[list[StudyResult], list[str]]:
    """Read the results of a runs folder; those that are damaged or there twice are errors."""
    results: dict[str, StudyResult] = {}
    errors = []
    for path in sorted(runs.glob(f"studies/*{RESULT}")):
        try:
            result = read_study_result(path)
            if result.study in results:
                raise InputError(f"{path}: another result is of study {result.study!r} too")
            results[result.study] = result
        except InputError as error:
            errors.append(str(error))
    return list(results.values()), errors
