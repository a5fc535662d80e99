"""Result of a study: arms, contrasts, controls and verdicts of each setting."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import BeforeValidator

from promptpriors.errors import InputError
from promptpriors.files import finite, write_json
from promptpriors.registry import validate
from promptpriors.runs import studies
from promptpriors.runs.studies import RESULT, Kind, Name, Stored, StudyRecord, read_object

VERSION = 1

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
Unit = Literal["nats per target token", "share", ""]
Number = Annotated[float | None, BeforeValidator(finite)]
"""Finite number; None where there is none."""


class Verdict(Stored, Generic[State]):
    """State of a comparison; the reason is a remark, or why there is no verdict."""

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
    """Ends of the scale of quality, in units of the metric."""

    floor: float
    ceiling: float


class Difference(Stored):
    """Difference of two means with its interval, and p where it is tested."""

    value: float
    low: float
    high: float
    p: float | None = None


class MissingRun(Stored):
    """Run of an arm without a value, and why."""

    id: str
    reason: str


class Arm(Stored):
    """Mean of an arm, control, baseline or ceiling over rates and seeds, in units of the metric.

    ``low`` and ``high`` are ends of the 95 % t interval, ``sd`` is between seeds, ``share`` is of
    the way from floor to ceiling; ``rates_left_out`` are those at which some arm has no run.
    """

    arm: str
    kind: Kind
    runs: int
    missing: int
    mean: Number
    low: Number
    high: Number
    sd: Number
    seeds: int
    rates: int
    rates_left_out: list[str]
    best_rate: str | None
    mean_at_the_best_rate: Number
    share: Number
    share_at_the_best_rate: Number
    missing_runs: list[MissingRun]


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
    """Equality of all pairs, by the largest p."""

    p: Number
    verdict: Verdict[PairState]


class Control(Verdict[ControlState]):
    """Test that a control must pass, with its p."""

    p: Number = None


class Controls(Stored):
    """Control that must be found different, and one that must be found equal."""

    positive: Control
    negative: Control


class Power(Stored):
    """Spread between runs, and power of the tests at that spread.

    ``residual_sd`` is of a seed's mean over rates, arms and seeds taken out. ``equality`` is the
    power of finding all pairs equal if they are, ``difference`` that of finding one arm that is off
    by the margin; each with the runs an arm that 80 % would take. ``reason``: of missing numbers.
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
    """Curves of an arm: rest at the end, and steps to a loss in nats per target token.

    ``steps_to_loss`` is the mean over seeds with its 95 % t interval; curves that do not reach the
    loss within ``of_steps`` are ``censored``. Rest is None where the metric is no loss.
    """

    arm: str
    runs: int
    runs_at_rest: int | None
    too_few_evaluations: int | None
    loss: float
    steps_to_loss: Number
    low: Number
    high: Number
    censored: int
    less_reference: Difference | None
    of_steps: int
    mean_loss: Number


class Answer(Verdict[AnswerState]):
    """Verdict on a question by its one primary statistic."""

    question: Question
    statistic: str
    value: Number

    @property
    def title(self) -> str:
        """Text of the question."""
        return QUESTIONS[self.question]


class SettingResult(Stored):
    """Result of a study in one setting.

    Attributes:
        setting: its name; empty where nothing else is varied.
        metric: a number of ``result.json``, in ``unit``.
        lower_is_better: the metric is a loss or another objective.
        scale_reason: why there is no scale.
        margin: of equality, in units of the metric, and ``margin_share`` as a share of the scale.
        reference: the arm that others are compared with.
        arms: arms, controls, baselines and ceilings.
        contrasts: arms and controls less the reference.
        all_pairs: None for fewer than two arms.
        plateaus: curves by arm.
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
    name: Name
    settings: list[SettingResult]


Content = TypeVar("Content", StudyRecord, StudyResult)


def write_study_result(runs: Path, result: StudyResult) -> Path:
    """Write a study's result below ``runs``; what was there before is replaced."""
    path = runs / "studies" / f"{result.name}{RESULT}"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, result.model_dump())
    return path


def read_study_result(path: Path) -> StudyResult:
    """Read a study's result.

    Raises:
        InputError: if it is damaged or of another version.
    """
    content = read_object(path, VERSION, "`promptpriors compare` writes it anew")
    return validate(StudyResult, content, str(path), brief=True)


def list_study_records(runs: Path) -> tuple[list[StudyRecord], list[str]]:
    """Read the records of a runs folder; those that are damaged or there twice are errors."""
    return _read_each(studies.study_paths(runs), studies.read_study_record)


def list_study_results(runs: Path) -> tuple[list[StudyResult], list[str]]:
    """Read the results of a runs folder; those that are damaged or there twice are errors."""
    return _read_each(sorted(runs.glob(f"studies/*{RESULT}")), read_study_result)


def _read_each(
    paths: Iterable[Path], read: Callable[[Path], Content]
) -> tuple[list[Content], list[str]]:
    found: dict[str, Content] = {}
    errors = []
    for path in paths:
        try:
            content = read(path)
            if content.name in found:
                raise InputError(f"{path}: another study is called {content.name!r} too")
            found[content.name] = content
        except InputError as error:
            errors.append(str(error))
    return list(found.values()), errors
