"""Schemas of a run's files: whoever reads a run finds the types that are stated here, or an error.

What a file lacks may be from an earlier version; what it has must be right.
"""

import math
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import torch
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from torch import Tensor

from promptpriors.errors import InputError
from promptpriors.registry import Field

MOST = 2**63 - 1
DEEP = 20
"""Levels that a config's values may be nested in."""


def _bounded(value: Any) -> Any:
    """A number that fits a float; of others nothing is said here."""
    if isinstance(value, int) and abs(value) > MOST:
        raise ValueError(f"expected a number of at most {MOST}")
    return value


Float = Annotated[float, BeforeValidator(_bounded)]
Number = Float | None
"""None where the number was none, such as NaN."""
Whole = Annotated[int, Field(ge=0, le=MOST)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)


class _Prompt(_Part):
    mode: str
    length: Whole = 0
    sites: list[str] = []
    bos: bool = False


class _Relative(_Part):
    relative: Float


class _Train(_Part):
    steps: Whole = 0
    lr: Float | _Relative = 0.0
    order: Whole | None = None
    objective: str = "answer"
    lora: Whole | None = None
    frozen: bool = False


class _Device(_Part):
    name: str = "cpu"
    dtype: str = "float32"


class _Named(_Part):
    name: str


class Config(_Part):
    """Resolved config of a run, as far as readers of finished runs look into it."""

    model: str
    seed: Whole = 0
    task: _Named
    prior: _Named
    prompt: _Prompt
    train: _Train
    device: _Device = _Device()


class _Near(_Part):
    token: str
    cosine: Float


class _Nearest(_Part):
    initial: list[list[_Near]]
    final: list[list[_Near]]

    @model_validator(mode="after")
    def _as_many(self) -> "_Nearest":
        if len(self.initial) != len(self.final):
            raise ValueError("expected as many vectors before training as after")
        return self


def _inside(value: Any) -> Any:
    """A path that stays below the folder of the runs."""
    if isinstance(value, str):
        path = PurePosixPath(value)
        if path.is_absolute() or ".." in path.parts or "\\" in value or not path.parts:
            raise ValueError("expected a path below the folder of the runs")
    return value


class Result(_Part):
    """``result.json``: losses in nats per target token, scores in [0, 1], times in seconds."""

    val_loss_initial: Number
    val_loss: Number
    val_loss_best: Number
    val_loss_none: Number
    model: str = ""
    task: str = ""
    prior: str = ""
    prior_config: dict[str, Any] = {}
    mode: str = ""
    length: Whole = 0
    seed: Whole = 0
    steps: Whole = 0
    lr: dict[str, Number] | Number = {}
    objective: str = "answer"
    val_objective_initial: Number = None
    val_objective: Number = None
    scores_initial: dict[str, Number] = {}
    scores: dict[str, Number] = {}
    eval_examples: dict[str, Whole] | Whole = {}
    tokens: Whole | None = None
    tokens_useful: Whole | None = None
    tokens_per_second: Number = None
    displacement: Number = None
    displacement_by_site: dict[str, Number] | None = None
    nearest_tokens: dict[str, _Nearest] | None = None
    versions: dict[str, str] | None = None
    lora: Whole | None = None
    prompt_sha256: str | None = None
    map: Annotated[str | None, BeforeValidator(_inside)] = None
    seconds: Number = None
    peak_memory_mib: Number = None


METRICS = (
    *("val_loss", "val_loss_initial", "val_loss_best", "val_loss_none"),
    *("val_objective", "val_objective_initial", "displacement"),
    *("tokens", "tokens_useful", "tokens_per_second", "seconds", "peak_memory_mib"),
)
"""Numbers of a result that runs can be compared by, besides those of ``scores``."""


class Record(_Part):
    """Line of ``metrics.jsonl``."""

    step: Whole
    val_loss: Number = None
    lr: dict[str, Number] | None = None


_ROWS = TypeAdapter(list[Record])


def check_config(value: Any, where: Path | str) -> dict[str, Any]:
    """The resolved config of a run, with the sections that it must have.

    Raises:
        InputError: for anything else; file and field are named.
    """
    wrong = _unfit(value)
    if wrong:
        raise InputError(f"{where} is not the resolved config of a run: {wrong}")
    return _checked(Config, value, where, "the resolved config of a run")


def check_result(value: Any, where: Path | str) -> dict[str, Any]:
    """The result of a run; raises InputError as ``check_config``."""
    return _checked(Result, value, where, "the result of a run")


def check_rows(rows: list[dict[str, Any]], where: Path | str) -> list[dict[str, Any]]:
    """Records of training, oldest first; raises InputError as ``check_config``."""
    try:
        _ROWS.validate_python(rows)
    except ValidationError as error:
        number, *place = error.errors()[0]["loc"]
        field = _field(place)
        line = int(number) + 1
        raise InputError(f"{where}, line {line}, {field}: {_said(error)}") from None
    return rows


def check_tensors(
    found: Mapping[str, Tensor], config: Mapping[str, Any], where: Path | str, ends: tuple[str, ...]
) -> None:
    """Check that a run's vectors at each site are floats of one shape, finite, and of its length.

    Raises:
        InputError: otherwise; file and site are named.
    """
    prompt = config["prompt"]
    for site in prompt.get("sites", []):
        pair = [found.get(f"{when}/{site}") for when in ends]
        good = [t for t in pair if t is not None and t.ndim == 2 and _is_finite(t)]
        shapes = {t.shape for t in good}
        if len(good) < len(ends) or len(shapes) != 1:
            raise InputError(
                f"{where} is damaged: expected vectors at {site!r}, [length, width], all finite"
            )
        (shape,) = shapes
        if shape[0] != prompt.get("length", shape[0]):
            raise InputError(
                f"{where} is damaged: expected {prompt['length']} vectors at {site!r}, found "
                f"{shape[0]}"
            )
        path = found.get(f"trajectory/{site}")
        if path is not None and not (path.shape[1:] == shape and _is_finite(path)):
            raise InputError(
                f"{where} is damaged: expected a path at {site!r}, [moments, length, width]"
            )
    steps = found.get("trajectory/steps")
    if steps is not None and (steps.ndim != 1 or steps.is_floating_point() or steps.is_complex()):
        raise InputError(f"{where} is damaged: expected whole numbers as trajectory/steps")


def _is_finite(values: Tensor) -> bool:
    return values.is_floating_point() and bool(torch.isfinite(values).all())


def _field(place: Iterable[Any]) -> str:
    """The place of a value, without the types that were tried there."""
    return ".".join(str(part) for part in place if "[" not in str(part))


def _checked(schema: type[BaseModel], value: Any, where: Path | str, what: str) -> dict[str, Any]:
    try:
        schema.model_validate(value)
    except ValidationError as error:
        field = _field(error.errors()[0]["loc"])
        raise InputError(
            f"{where} is not {what}: {f'{field}: ' if field else ''}{_said(error)}"
        ) from None
    return value


def _said(error: ValidationError) -> str:
    item = error.errors()[0]
    message = str(item["msg"]).removeprefix("Value error, ")
    found = f"{item['input']!r}"[:60]
    return f"{message[0].lower()}{message[1:]}, found {found}"


def _unfit(value: Any, depth: int = 0) -> str:
    """What in a config no config of ours could have: dates, NaN, endless numbers, deep nesting."""
    if depth > DEEP:
        return "it is nested too deeply"
    if isinstance(value, Mapping):
        named = ((str(key), _unfit(inner, depth + 1)) for key, inner in value.items())
        return next((f"{key}: {wrong}" for key, wrong in named if wrong), "")
    if isinstance(value, list):
        return next(filter(None, (_unfit(inner, depth + 1) for inner in value)), "")
    dated = isinstance(value, date | datetime | time)
    endless = isinstance(value, float) and not math.isfinite(value)
    endless = endless or (isinstance(value, int) and abs(value) > MOST)
    return (
        f"expected text, or a number of at most {MOST}, found {value}" if dated or endless else ""
    )
