"""Study file: a base config, arms and axes, baselines, comparison and resources."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from promptpriors.errors import InputError
from promptpriors.files import read_toml
from promptpriors.registry import Field, Strict, validate

Axis = tuple[str, list[Any]]  # a dotted key of the config and the values that it takes


class Compare(Strict):
    """``[compare]``: the comparison of the arms, fixed before the first run.

    ``reference`` is an arm; ``margin`` the share of the gap from floor to ceiling within which two
    arms count as equal; ``metric`` a number of ``result.json``; ``controls`` adds the positive and
    the negative control.
    """

    reference: str | None = None
    margin: Annotated[float, Field(gt=0, lt=1)] = 0.05
    metric: str = "val_loss"
    controls: bool = True


class Resources(Strict):
    """``[resources]``: processors of a run, retries, and the limit of runs.

    ``cpus`` are the run's threads as well; without a number a worker of Ray has one and a study in
    one process has all. ``limit`` is the number of runs that start without ``--yes``.
    """

    cpus: Annotated[int, Field(ge=1, le=1024)] | None = None
    gpus: Annotated[float, Field(ge=0, le=1024)] = 0
    retries: Annotated[int, Field(ge=0)] = 3
    limit: Annotated[int, Field(ge=1)] = 100


class _File(Strict):
    base: str | dict[str, Any]
    arms: dict[str, dict[str, Any]] = Field(default_factory=dict)
    grid: dict[str, Any] = Field(default_factory=dict)
    zip: list[dict[str, Any]] = Field(default_factory=list)
    runs: list[dict[str, Any]] = Field(default_factory=list)
    baselines: list[str] = Field(default_factory=lambda: ["none", "text:Answer the question."])
    compare: Compare = Compare()
    resources: Resources = Resources()


@dataclass(frozen=True)
class StudyFile:
    """Checked study file, whose runs' configs are not checked yet.

    Arms and single runs are overrides of the base. Axes of ``grid`` are multiplied; those of a
    group in ``zips`` have equal length and vary together, each group multiplied with the rest.
    ``folders`` are where relative paths are looked for besides the working folder: the file's own
    and that of its base. Baselines are ``none``, ``text:…``, ``lora:RANK``, ``peft:RANDOM`` or
    ``peft:SAMPLE_VOCAB``.
    """

    name: str
    base: Mapping[str, Any]
    folders: Sequence[Path]
    arms: Mapping[str, Mapping[str, Any]]
    grid: Sequence[Axis]
    zips: Sequence[Sequence[Axis]]
    runs: Sequence[Mapping[str, Any]]
    baselines: Sequence[str]
    compare: Compare
    resources: Resources


def read_study(path: Path) -> StudyFile:
    """Read and check a study file.

    Raises:
        InputError: for a missing or malformed file or base, and for anything unknown or empty.
    """
    file = validate(_File, read_toml(path), f"study {path.name}")
    for name in file.baselines:
        _check_baseline(name)
    zips = [_axes(group, f"[[zip]] {i}") for i, group in enumerate(file.zip, 1)]
    for i, group in enumerate(zips, 1):
        lengths = {key: len(values) for key, values in group}
        if len(set(lengths.values())) > 1:
            raise InputError(f"[[zip]] {i}: expected lists of one length, found {lengths}")
    for i, given in enumerate(file.runs, 1):
        if not isinstance(arm := given.get("arm", ""), str):
            raise InputError(f"[[runs]] {i}: expected a name in quotes as arm, found {arm!r}")
    return StudyFile(
        name=path.stem,
        base=file.base if isinstance(file.base, dict) else read_toml(path.parent / file.base),
        folders=[(path.parent / file.base).parent, path.parent]
        if isinstance(file.base, str)
        else [path.parent],
        arms=file.arms,
        grid=_axes(file.grid, "[grid]"),
        zips=zips,
        runs=file.runs,
        baselines=file.baselines,
        compare=file.compare,
        resources=file.resources,
    )


def _axes(table: Mapping[str, Any], where: str, prefix: str = "") -> list[Axis]:
    """The axes of a table whose keys are dotted, or nested as TOML reads unquoted ones."""
    axes: list[Axis] = []
    for key, value in table.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            axes += _axes(value, where, f"{name}.")
        elif not isinstance(value, list):
            raise InputError(f"{where} {name!r}: expected a list of values, found {value!r}")
        elif not value:
            raise InputError(f"{where} {name!r} is empty: give it a value, or leave the key out")
        elif any(value[i] in value[:i] for i in range(len(value))):
            raise InputError(f"{where} {name!r} has a value twice: {value!r}")
        else:
            axes.append((name, value))
    return axes


def _check_baseline(name: str) -> None:
    kind, _, rest = name.partition(":")
    good = {
        "none": not rest,
        "text": bool(rest.strip()),
        "lora": rest.isdecimal() and int(rest) > 0,
        "peft": rest in {"RANDOM", "SAMPLE_VOCAB"},
    }
    if not good.get(kind, False):
        raise InputError(
            f"baselines has {name!r}: expected 'none', 'text:TEXT', 'lora:RANK', 'peft:RANDOM' or "
            "'peft:SAMPLE_VOCAB'"
        )
