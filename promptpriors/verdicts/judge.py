"""Statistics of a study's setting: scale, means, differences, equality and controls."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from promptpriors.analysis.equality import Equality, equality
from promptpriors.analysis.pooled import Pooled, pool
from promptpriors.analysis.quality_scale import Scale, decides, scale_between
from promptpriors.errors import InputError
from promptpriors.runs.labels import grouped
from promptpriors.runs.studies import CONTROLS, Kind
from promptpriors.runs.study_results import Difference
from promptpriors.verdicts.controls import ALPHA, ControlTest, against, checked, control_test
from promptpriors.verdicts.outcomes import RunOutcome, Setting, lacks, mostly_missing

Result = TypeVar("Result")


class Best(NamedTuple):
    """Rate of an arm's best mean, and that mean."""

    rate: str
    mean: float


@dataclass(frozen=True)
class SettingStatistics:
    """Statistics of a setting; those that can't be computed are None, with the reason.

    Attributes:
        margin: of equality, in the unit of the metric.
        aside: arms without a verdict, since too many of their runs are missing, with the reason.
        pooled: the other arms over the grid; ``differences`` and ``best`` are theirs as well.
        reasons: why there is no scale, no pooled arms, no differences, by name.
    """

    setting: Setting
    scale: Scale | None
    margin: float | None
    aside: Mapping[str, str]
    pooled: Pooled | None
    differences: Mapping[str, Difference] | None
    equality: Equality | None
    controls: Mapping[Kind, ControlTest]
    best: Mapping[str, Best]
    reasons: Mapping[str, str]

    @property
    def leader(self) -> str | None:
        """Arm with the best mean at its best rate."""
        first = min if self.setting.lower_is_better else max
        return first(self.best, key=lambda arm: self.best[arm].mean, default=None)

    @property
    def share(self) -> float | None:
        """Share of the way from floor to ceiling that the leader covers."""
        if self.scale is None or self.leader is None:
            return None
        return self.scale.share(self.best[self.leader].mean)

    @property
    def gate(self) -> str:
        """Reason why the setting has no verdicts; "" where it has."""
        found = [
            f"the {kind} control {control.text}"
            for kind, (control, _) in self.controls.items()
            if control.state != "passed"
        ]
        share = self.share
        if self.scale is None:
            found.append(self.reasons["scale"])
        elif share is None or not decides(share):
            covered = "no arm has a value" if share is None else f"the best arm covers {share:.0%}"
            found.append(f"{covered} of the way from floor to ceiling, less than a fifth")
        return "; ".join(found)

    @property
    def excluded(self) -> str:
        """Arms without a verdict, with their reasons."""
        return "; ".join(f"of {arm} {why}" for arm, why in self.aside.items())

    def lacking(self, *names: str) -> str:
        """Reasons why statistics of these names are missing."""
        return "; ".join(self.reasons[name] for name in names if name in self.reasons)


def judge(setting: Setting) -> SettingStatistics:
    """Compute all statistics of a setting."""
    arms = setting.by_arm("arm")
    aside = {arm: lacks(runs) for arm, runs in arms.items() if mostly_missing(runs)}
    whole = {arm: runs for arm, runs in arms.items() if arm not in aside}
    reasons: dict[str, str] = {}

    def tried(name: str, make: Callable[[], Result]) -> Result | None:
        try:
            return make()
        except InputError as error:
            reasons[name] = str(error).splitlines()[0]
            return None

    scale = tried("scale", lambda: _scale(setting))
    margin = None if scale is None else scale.margin(setting.compare.margin)
    outcomes = setting.outcomes([run for runs in whole.values() for run in runs])
    pooled = tried("pooled", lambda: pool(outcomes))

    def differences() -> Mapping[str, Difference]:
        if pooled is None:
            raise InputError(reasons["pooled"])
        return against(pooled, checked(setting.compare.reference, aside, pooled.arms))

    equal = None
    if pooled is not None and margin is not None and len(pooled.arms) > 1:
        equal = equality(pooled, margin, alpha=ALPHA)
    return SettingStatistics(
        setting=setting,
        scale=scale,
        margin=margin,
        aside=aside,
        pooled=pooled,
        differences=tried("differences", differences),
        equality=equal,
        controls={k: control_test(setting, k, outcomes, aside, margin) for k in CONTROLS},
        best={arm: best for arm, runs in whole.items() if (best := best_rate(setting, runs))},
        reasons=reasons,
    )


def best_rate(setting: Setting, runs: Sequence[RunOutcome]) -> Best | None:
    """Find the best rate: of those at which an arm's runs are there, otherwise of all."""
    rates = grouped(runs, lambda run: run.plan.rate)
    sound = {rate: mine for rate, mine in rates.items() if not mostly_missing(mine)} or rates
    means = []
    for rate, mine in sound.items():
        values = [run.value for run in mine if run.value is not None]
        means += [Best(rate, sum(values) / len(values))] if values else []
    first = min if setting.lower_is_better else max
    return first(means, key=lambda best: best.mean, default=None)


def _scale(setting: Setting) -> Scale:
    """Floor: the baseline ``none``. Ceiling: the best mean over the rates of its runs."""
    floors = [r.value for r in setting.by_arm("baseline").get("none", []) if r.value is not None]
    if not floors and setting.compare.metric == "val_loss":
        results = [run.run.result for run in setting.runs if run.run and run.run.result]
        stated = [result["val_loss_none"] for result in results]
        floors = [float(value) for value in stated if value is not None]
    if not floors:
        raise InputError("there is no floor: no run of the baseline 'none'")
    best = [best_rate(setting, runs) for runs in setting.by_arm("ceiling").values()]
    ceilings = [found.mean for found in best if found]
    if not ceilings:
        raise InputError("there is no ceiling run, such as the baseline 'lora:16'")
    lower = setting.lower_is_better
    ceiling = min(ceilings) if lower else max(ceilings)
    return scale_between(sum(floors) / len(floors), ceiling, lower_is_better=lower)
