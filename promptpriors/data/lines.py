"""JSON lines read one by one, so that memory does not grow with the file."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from promptpriors.errors import InputError, suggest


class Line(NamedTuple):
    """A line that is not blank: its number from 1, the byte it starts at, and what it holds."""

    number: int
    start: int
    content: bytes


def lines(file: Path) -> Iterator[Line]:
    """The lines of a file that are not blank.

    Raises:
        InputError: when the file cannot be read.
    """
    start = 0
    try:
        with file.open("rb") as stream:
            for number, content in enumerate(stream, start=1):
                if content.strip():
                    yield Line(number, start, content)
                start += len(content)
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}.") from None


class Record(NamedTuple):
    """Fields of a line: its number, its place for messages, and its values by name."""

    number: int
    place: str
    values: Mapping[str, Any]


def records(file: Path) -> Iterator[Record]:
    """Objects of a JSON lines file.

    Raises:
        InputError: when the file cannot be read, and as ``parse``.
    """
    for line in lines(file):
        place = f"{file}, line {line.number}"
        yield Record(line.number, place, parse(line.content, place))


def line_at(file: Path, start: int) -> bytes:
    """The line that starts at a byte.

    Raises:
        InputError: when the file cannot be read.
    """
    try:
        with file.open("rb") as stream:
            stream.seek(start)
            return stream.readline()
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}.") from None


def parse(content: bytes, place: str) -> Mapping[str, Any]:
    """The object that a line holds; messages begin with ``place``.

    Raises:
        InputError: when it is not UTF-8, not JSON, or not an object.
    """
    try:
        values = json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise InputError(
            f"{place}: not UTF-8 text: byte 0x{byte:02x} at offset {error.start}. Convert it."
        ) from None
    except json.JSONDecodeError as error:
        problem = f"not JSON: {error.msg} at column {error.colno}"
    except (ValueError, RecursionError) as error:  # numbers too long, lists too deep
        problem = f"not JSON that can be read: {error}"
    else:
        if isinstance(values, dict):
            return values
        problem = f"not an object, found {json.dumps(values):.40}"
    raise InputError(f"{place}: {problem}. Write one {{…}} a line.")


def text_of(values: Mapping[str, Any], field: str, place: str) -> str:
    """A field's text without surrounding white space; it may be empty.

    Raises:
        InputError: when the field is missing, or no text that can be encoded.
    """
    if field not in values:
        known = ", ".join(values) or "none"
        raise InputError(f"{place}: no field {field!r}.{suggest(field, values)} It has: {known}.")
    value = values[field]
    if not isinstance(value, str):
        raise InputError(f"{place}: field {field!r} must be a text; found {json.dumps(value):.60}.")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"{place}: field {field!r} holds half a character (a lone surrogate) at"
            f" {error.start}. Mend or remove the line."
        ) from None
    return value.strip()
