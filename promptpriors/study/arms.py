"""Runs of a study by arm: base, overrides and axes multiplied out."""

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

from promptpriors.config.overrides import flat, put
from promptpriors.config.run import RunConfig, parse_config
from promptpriors.config.study import Axis, StudyFile
from promptpriors.errors import InputError
from promptpriors.runs.places import anchored
from promptpriors.runs.studies import Kind

RATE = "train.lr"
OWN = "its own"
"""The rate of every arm where one brings its own: rates are no factor then."""
PEFT = {
    "RANDOM": {"name": "isotropic", "sigma": 1.0},
    "SAMPLE_VOCAB": {"name": "vocabulary"},
}
"""What PEFT's starts draw from; its sample of the vocabulary may hit reserved rows, ours not."""


class Planned(NamedTuple):
    """Run of a study, before it has an id.

    Described as by ``runs.studies.StudyRun``: runs that share a seed form a block. Its config is
    ``plain``, as TOML has it, and checked.
    """

    kind: Kind
    arm: str
    setting: str
    rate: str
    seed: int
    factors: Mapping[str, Any]
    plain: Mapping[str, Any]
    config: RunConfig


def compared(study: StudyFile) -> list[Planned]:
    """Plan the runs of all arms: seeds vary slowest, arms fastest.

    Raises:
        InputError: for a run whose config is not one, named by what it varies; for rates that arms
            and an axis give.
    """
    axes = [_points(group) for group in (*([axis] for axis in study.grid), *study.zips)]
    seeds = [axis for axis in axes if all(set(point) <= {"seed"} for point in axis)]
    others = [axis for axis in axes if axis not in seeds]
    arms = arms_of(study)
    own = [name for name, overrides in arms.items() if RATE in dict(flat(overrides))]
    if own and any(RATE in point for axis in axes for point in axis):
        raise InputError(
            f"arm {own[0]!r} brings {RATE}, which is an axis as well: leave one of them out"
        )
    runs = []
    if axes or study.arms or not study.runs:
        for point in product(*seeds, *others):
            varied = {key: value for part in point for key, value in part.items()}
            for name, overrides in arms.items():
                run = planned(study, name, overrides, varied)
                runs.append(run._replace(rate=OWN) if own and run.rate else run)
    for given in study.runs:
        overrides = {key: value for key, value in given.items() if key != "arm"}
        runs.append(planned(study, given.get("arm"), {}, overrides))
    return runs


def arms_of(study: StudyFile) -> dict[str | None, Mapping[str, Any]]:
    """List overrides by arm, with PEFT's starts unless an arm equals them.

    Without arms there is one without a name.

    Raises:
        InputError: for PEFT's starts beside arms without names.
    """
    named: dict[str | None, Mapping[str, Any]] = {**study.arms}
    starts = [name.partition(":")[2] for name in study.baselines if name.startswith("peft:")]
    if starts and not named:
        raise InputError(
            f"baselines has peft:{starts[0]}, which is an arm: name the others in [arms]"
        )
    given = [overrides.get("prior") for overrides in named.values()]
    taken = [{"name": prior} if isinstance(prior, str) else prior for prior in given]
    for start in starts:
        if PEFT[start] not in taken:
            named[f"PEFT {start}"] = {"prior": PEFT[start]}
    return named or {None: {}}


def planned(
    study: StudyFile,
    arm: str | None,
    overrides: Mapping[str, Any],
    varied: Mapping[str, Any],
    kind: Kind = "arm",
) -> Planned:
    """Plan one run: the base with an arm's overrides and a point of the grid.

    An axis with a single value says nothing of a run's setting, nor does a prior that names an arm.

    Raises:
        InputError: if that is no config; the message names what is varied.
    """
    factors = dict(flat(varied))
    try:
        plain: Mapping[str, Any] = study.base
        for key, value in [*flat(overrides), *factors.items()]:
            plain = put(plain, key, value)
        plain = anchored(plain, study.folders)
        config = parse_config(plain)
    except InputError as error:
        raise InputError(f"study {study.name}, {_named(arm, factors)}: {error}") from None
    return Planned(
        kind=kind,
        arm=arm or _arm_of(factors, config),
        setting=_setting_of(factors, _constant(study) | (set() if arm else {"prior"})),
        rate=_rate_of(config),
        seed=config.seed if config.train.order is None else config.train.order,
        factors=factors,
        plain=plain,
        config=config,
    )


def _rate_of(config: RunConfig) -> str:
    """A run's rate as a label; "" where nothing is trained."""
    if config.train.frozen:
        return ""
    lr = config.lr
    return f"{lr['relative']:g} relative" if isinstance(lr, dict) else f"{lr:g}"


def _points(group: Sequence[Axis]) -> list[dict[str, Any]]:
    """The points of axes that vary together."""
    keys, values = zip(*group, strict=True)
    return [dict(zip(keys, row, strict=True)) for row in zip(*values, strict=True)]


def _named(arm: str | None, factors: Mapping[str, Any]) -> str:
    words = [f"arm {arm!r}"] if arm else []
    words += [f"{key} = {json.dumps(value, default=str)}" for key, value in factors.items()]
    return ", ".join(words) or "base"


def _arm_of(factors: Mapping[str, Any], config: RunConfig) -> str:
    """The arm's name where the file gives none: what is varied of the prior."""
    parts = {key: value for key, value in factors.items() if key.partition(".")[0] == "prior"}
    parts.pop("prior.name", None)
    if isinstance(parts.get("prior"), str | Mapping):
        return _word(parts["prior"])
    extra = [f"{key.rpartition('.')[2]} {_word(value)}" for key, value in parts.items()]
    return ", ".join([config.prior.name, *extra])


def _constant(study: StudyFile) -> set[str]:
    """Keys of axes with one value."""
    axes = [axis for group in (study.grid, *study.zips) for axis in group]
    return {key for k, values in axes if len(values) == 1 for key, _ in flat({k: values[0]})}


def _setting_of(factors: Mapping[str, Any], besides: Iterable[str]) -> str:
    excluded = {"seed", RATE, "train.order", *besides}
    parts = []
    for key, value in factors.items():
        head, _, last = key.partition(".")
        if not {key, head} & excluded:
            parts.append(_word(value) if last in {"", "name", "mode"} else f"{last} {_word(value)}")
    return " · ".join(parts)


def _word(value: Any) -> str:
    """A value in a label: tables by their name and what they say besides."""
    if isinstance(value, Mapping):
        rest = [f"{key} {_word(inner)}" for key, inner in value.items() if key != "name"]
        return ", ".join([str(value["name"])] * ("name" in value) + rest)
    if isinstance(value, list):
        return "+".join(_word(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
