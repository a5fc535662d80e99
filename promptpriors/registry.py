"""Find a method in its table and check its parameters against its signature.

A table maps a name to a function; the function's keyword parameters, with their annotations, are
the schema of the config. Nothing is stated twice: default, type and range stand in the signature.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from numbers import Integral, Real
from typing import Annotated, Any, Protocol, TypeVar, get_args, get_origin, runtime_checkable

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    create_model,
    field_validator,
)

from promptpriors.errors import InputError, brief, suggest, unknown
from promptpriors.types import Prior

Table = Mapping[str, Callable[..., Any]]
Model = TypeVar("Model", bound=BaseModel)

LARGEST = 1e30
"""Numbers above it overflow float32: rates in Adam's bias correction, scales when squared."""


@runtime_checkable
class Plain(Protocol):
    """Parsed value that a config writes in another form."""

    def plain(self) -> Any:
        """The value as a config writes it."""
        ...


@dataclass(frozen=True)
class Choice:
    """A method by name with its complete, checked parameters."""

    name: str
    params: Mapping[str, Any]

    def plain(self) -> dict[str, Any]:
        """The choice as a nested dictionary, as a config writes it."""
        inner = {k: v.plain() if isinstance(v, Plain) else v for k, v in self.params.items()}
        return {"name": self.name, **inner}


class Strict(BaseModel):
    """A config section: nothing unknown, nothing converted, nothing that can't be computed with."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="after")
    @classmethod
    def _in_range(cls, value: Any) -> Any:
        if isinstance(value, float) and abs(value) > LARGEST:
            raise ValueError(f"expected at most {LARGEST:g}, for float32 ends soon after")
        if isinstance(value, int) and abs(value) >= 2**63:
            raise ValueError("expected an integer of 64 bits")
        if isinstance(value, str) and "\0" in value:
            raise ValueError("expected text without a null character")
        return value


def choose(
    kind: str,
    table: Table,
    config: str | Mapping[str, Any],
    *,
    supplied: Iterable[str] = ("generator",),
    common: Callable[..., Any] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> Choice:
    """Check a config such as ``{name = "gaussian", covariance = "diag"}`` against ``table``.

    Args:
        kind: what the table holds, for messages: "prior", "task" …
        table: name to function.
        config: a name, or a mapping with ``name`` and parameters.
        supplied: keyword parameters that the code supplies and a config must not.
        common: a function whose keyword parameters every method of the table takes as well.
        defaults: values that stand above the signature's, for parameters of these names.

    Returns:
        The choice with every default filled in; parameters that are priors are Choices themselves.

    Raises:
        InputError: for unknown names and parameters, wrong types and ranges.
    """
    if isinstance(config, str):
        config = {"name": config}
    if not isinstance(config, Mapping) or not isinstance(config.get("name"), str):
        raise InputError(f"a {kind} needs a name, one of: {', '.join(sorted(table))}")
    name = config["name"]
    if name not in table:
        raise unknown(kind, name, table)
    schema = _schema(kind, table[name], tuple(supplied), common)
    given = {k: v for k, v in config.items() if k != "name"}
    filled = {k: v for k, v in (defaults or {}).items() if k in schema.model_fields}
    where = f"{kind} {name!r}"
    checked = validate(schema, filled | given, where)
    values = {key: getattr(checked, key) for key in schema.model_fields}
    for key in [k for k, p in _keywords(table[name]).items() if p.annotation is Prior]:
        value = values.get(key)
        if isinstance(value, str | Mapping):
            values[key] = choose(
                kind, table, value, supplied=supplied, common=common, defaults=defaults
            )
        elif not isinstance(value, Prior):
            raise InputError(f"{where}: {key} must be a prior, found {brief(value)}")
    return Choice(name, values)


Seed = Annotated[int, Field(ge=0, lt=2**63)]
"""Seed of random streams."""


def check_call(schema: type[Model], where: str, values: Mapping[str, Any]) -> Model:
    """Check what a Python call was given as a config is checked; numbers of numpy are numbers.

    Raises:
        InputError: as ``validate``.
    """
    return validate(schema, {name: _plain_number(value) for name, value in values.items()}, where)


def _plain_number(value: Any) -> Any:
    if isinstance(value, Integral) and not isinstance(value, bool):
        return int(value)
    return float(value) if isinstance(value, Real) and not isinstance(value, int) else value


def validate(schema: type[Model], values: Any, where: str, *, brief: bool = False) -> Model:
    """Build ``schema`` from a mapping; errors name the place ``where``.

    Raises:
        InputError: one line for each of the first two errors; if ``brief``, for the first alone and
            without its value: for files that programs write.
    """
    try:
        return schema.model_validate(dict(values) if isinstance(values, Mapping) else values)
    except ValidationError as error:
        found = error.errors(include_url=False)
    if not brief:
        raise InputError(_sentences(schema, found, where))
    place = ".".join(map(str, found[0]["loc"]))
    raise InputError(f"{where}{f', {place}' if place else ''}: {found[0]['msg']}")


def _sentences(schema: type[BaseModel], errors: list[Any], where: str) -> str:
    """At most two lines; what several readings of one value say stands in one."""
    found: dict[str, str] = {}
    inner = [e for e in errors if not (e["type"] in SCALAR and isinstance(e["input"], Mapping))]
    errors = sorted(inner or errors, key=lambda item: item["type"] == "missing")
    missing = [item["loc"][-1] for item in errors if item["type"] == "missing"]
    if len(missing) == len(errors) > 1 and len({item["loc"][:-1] for item in errors}) == 1:
        *some, last = map(repr, missing)
        holder = _holder(schema, errors[0]["loc"][:-1], where)
        return f"{holder} needs the parameters {', '.join(some)} and {last}"
    for item in errors:
        said = _explain(schema, item, where)
        head, colon, reason = said.rpartition(": ")
        other = reason.removeprefix("expected ").removeprefix("input should be ")
        found[head] = f"{found[head]} or {other}" if head in found else f"{colon}{reason}"
    lines = [head + rest for head, rest in found.items()]
    more = [f"(and {len(lines) - 2} more)"] if len(lines) > 2 else []
    return "\n".join(lines[:2] + more)


def _explain(schema: type[BaseModel], item: Mapping[str, Any], where: str) -> str:
    """One pydantic error as a sentence: expected, found, what to do."""
    *path, last = [*_named(schema, item["loc"][:-1]), *item["loc"][-1:]] or ("",)
    fields = _fields_at(schema, path)
    holder = _holder(schema, item["loc"][:-1], where)
    if item["type"] == "extra_forbidden":
        taken = ", ".join(fields) or "none"
        return f"{holder} has no parameter {brief(last)}.{suggest(last, fields)} It takes: {taken}."
    if item["type"] == "missing":
        return f"{holder} needs the parameter {last!r}"
    name = ".".join(_named(schema, item["loc"]))
    message = WORDS.get(item["type"]) or str(item["msg"]).removeprefix("Value error, ")
    message = message.format(name=name, example=_example(schema, item["loc"]))
    return f"{where}: {name} = {brief(item['input'])}: {message[0].lower()}{message[1:]}"


WORDS = {
    "float_type": "expected a number",
    "int_type": "expected a whole number",
    "bool_type": "expected true or false",
    "string_type": "expected text in quotes",
    "string_too_short": "expected some text",
    "list_type": "expected a list, such as [1, 2]",
    "tuple_type": "expected a list, such as [1, 2]",
    "dict_type": "expected a section [{name}] or a table such as {{{example} = …}}",
    "model_type": "expected a section [{name}] or a table such as {{{example} = …}}",
}
"""What pydantic says about wrong types, in the words of a config."""


SCALAR = ("float_type", "int_type", "string_type", "bool_type")
"""Readings of a value that are not worth a word if it is a section with errors of its own."""


def _holder(schema: type[BaseModel], loc: Iterable[Any], where: str) -> str:
    """The section that a location leads to."""
    path = _named(schema, loc)
    return " ".join([where, *(f"[{part}]" for part in path if _fields_at(schema, path))])


def _example(schema: type[BaseModel], loc: Iterable[Any]) -> str:
    """A key of the section that a location leads to."""
    fields = _fields_at(schema, _named(schema, loc))
    return fields[0] if fields else "name" if {*loc} & {"task", "prior", "regulariser"} else "key"


def _named(schema: type[BaseModel], loc: Iterable[Any]) -> list[str]:
    """The part of a location that the user wrote: fields and list positions, no types of unions."""
    kept: list[str] = []
    for part in loc:
        if isinstance(part, int) or part in _fields_at(schema, kept) or _keyed(schema, kept):
            kept.append(str(part))
    return kept


def _keyed(schema: type[BaseModel], path: list[str]) -> bool:
    """Whether a path leads to a section whose keys the user chooses."""
    field = schema.model_fields.get(path[0]) if len(path) == 1 else None
    return field is not None and get_origin(field.annotation) is dict


def _fields_at(schema: type[BaseModel], path: Iterable[Any]) -> list[str]:
    """Names of the fields of the section that ``path`` leads to."""
    for step in path:
        field = schema.model_fields.get(str(step))
        inner = [] if field is None else [field.annotation, *get_args(field.annotation)]
        sections = [t for t in inner if isinstance(t, type) and issubclass(t, BaseModel)]
        if not sections:
            return []
        schema = sections[0]
    return list(schema.model_fields)


def _keywords(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    parameters = inspect.signature(function, eval_str=True).parameters.items()
    return {name: p for name, p in parameters if p.kind is p.KEYWORD_ONLY}


@cache
def _schema(
    kind: str,
    function: Callable[..., Any],
    supplied: tuple[str, ...],
    common: Callable[..., Any] | None,
) -> type[BaseModel]:
    fields: dict[str, Any] = {}
    for name, p in (_keywords(function) | (_keywords(common) if common else {})).items():
        if name not in supplied:
            annotation = Any if p.annotation is Prior else p.annotation
            fields[name] = annotation, ... if p.default is p.empty else p.default
    return create_model(f"{kind}_{function.__module__}", __base__=Strict, **fields)


__all__ = [
    "LARGEST",
    "Choice",
    "Field",
    "Seed",
    "Strict",
    "Table",
    "check_call",
    "choose",
    "validate",
]
