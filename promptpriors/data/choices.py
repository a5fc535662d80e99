"""Closed sets of answers: what an example of own data may be answered with."""

from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import AfterValidator

from promptpriors.data.files import Record, field_of
from promptpriors.errors import InputError
from promptpriors.registry import Field
from promptpriors.types import Example


def _distinct(texts: Sequence[str]) -> list[str]:
    stripped = [text.strip() for text in texts]
    if not all(stripped) or len(set(stripped)) < len(stripped):
        raise ValueError("expected different texts, none of them blank")
    return stripped


Labels = Annotated[list[str], Field(min_length=2), AfterValidator(_distinct)]
"""The same choices for all examples."""
Fields = str | Annotated[list[str], Field(min_length=2)]
"""A field that holds a list of choices, or several fields that hold one each."""


def read_choices(row: Record, fields: str | Sequence[str]) -> tuple[str, ...]:
    """The choices of a record.

    Of several fields blank ones are skipped, since a table has as many columns as its longest row
    needs.

    Raises:
        InputError: for a missing field, one that is no list of texts, fewer than two choices or
            two that are equal.
    """
    if isinstance(fields, str):
        found = field_of(row, fields)
        if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
            raise InputError(
                f"{row.place}: field {fields!r} must be a list of texts, the choices; found "
                f"{found!r:.60}. Of a table name the columns: task.choices_field = ['a', 'b']."
            )
    else:
        values = [field_of(row, field) for field in fields]
        wrong = next((value for value in values if not isinstance(value, str | None)), None)
        if wrong is not None:
            raise InputError(f"{row.place}: a choice must be a text; found {wrong!r:.60}.")
        found = [value for value in values if value and value.strip()]
    try:
        choices = tuple(_distinct(found))
    except ValueError as error:
        raise InputError(f"{row.place}: the choices are {found!r:.120}; {error}.") from None
    if len(choices) < 2:
        raise InputError(f"{row.place}: {len(choices)} choices; expected at least two.")
    return choices


def check_targets(row: Record, targets: Sequence[str], choices: Sequence[str]) -> None:
    """Refuse a target that is none of the choices.

    Raises:
        InputError: for the first such target.
    """
    for target in targets:
        if target not in choices:
            raise InputError(
                f"{row.place}: the target {target!r:.60} is none of the choices: "
                f"{', '.join(map(repr, choices)):.200}. Targets are written as the choices are."
            )


def same_choices(choices: tuple[str, ...], example: Example) -> tuple[str, ...]:  # noqa: ARG001
    """The choices of all examples alike; its ``partial`` is a task's ``choices``."""
    return choices


def own_choices(table: Mapping[str, tuple[str, ...]], example: Example) -> tuple[str, ...]:
    """The choices of an example by its id; its ``partial`` is a task's ``choices``."""
    return table[example.id]
