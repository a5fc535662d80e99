"""Finding and reading a task's data, in the user's files or on the hub.

Every failure says which file and what to do.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from promptpriors.errors import InputError, suggest
from promptpriors.paths import expand

Model = TypeVar("Model", bound=BaseModel)
Found = TypeVar("Found")


def find(path: str, folder: Path | None) -> Path:
    """File or folder that ``path`` means: as it stands, else inside the data folder.

    Raises:
        InputError: when neither exists.
    """
    places = [expand(path, "the task's path ="), *([folder / path] if folder else [])]
    for place in places:
        if place.exists():
            return place
    looked = " and no ".join(str(place.absolute()) for place in places)
    raise InputError(f"there is no {looked}. Point the task's path to a file or folder.")


def locate(path: str | None, folder: Path | None, *, name: str) -> Path | None:
    """File or folder that holds a task's data; None where the hub is to be asked.

    The config's path, else the folder ``name`` of the data folder that the user named.

    Raises:
        InputError: when the path or the data folder does not exist.
    """
    if path is not None:
        return find(path, folder)
    if folder is not None and not folder.is_dir():
        raise InputError(f"the data folder {folder} does not exist. Set --data to one that does.")
    inside = folder / name if folder else None
    return inside if inside and inside.exists() else None


def read_parts(
    where: Path | None,
    patterns: tuple[str, str],
    read: Callable[[Path], Found],
    from_hub: Callable[[], Sequence[Found]],
) -> Sequence[Found]:
    """The train part of a task's data, and the other part where there is one.

    Args:
        where: a file, which is the train part; a folder that holds a file of each; None: the hub.
        patterns: names of the train file and of the other.
        read: reads a file.
        from_hub: reads both parts.

    Raises:
        InputError: when a folder has no train file, or several of a kind.
    """
    if where is None:
        return from_hub()
    if where.is_file():
        return [read(where)]
    found = [sorted(where.glob(pattern)) for pattern in patterns]
    for files, pattern in zip(found, patterns, strict=True):
        if len(files) > 1:
            part = pattern.partition("*")[0].rstrip("-")
            names = ", ".join(file.name for file in files)
            raise InputError(
                f"{where} has several {part} files: {names}. Leave one, or set task.path to a file."
            )
    if not found[0]:
        raise InputError(
            f"{where} has no {patterns[0]}. Set task.path to a file or folder of the task."
        )
    return [read(file) for files in found for file in files]


def ask(
    hub: str,
    read: Callable[[Callable[..., Any]], Found],
    *,
    task: str,
    otherwise: str,
    streamed: bool = False,
) -> Found:
    """Data set of the hub, by ``read``, which gets ``datasets.load_dataset``.

    The hub is asked for the data set's card first: ``load_dataset`` alone tries for half a minute
    before it gives up. ``otherwise`` says what the user can do without the hub; nothing of
    ``streamed`` data is kept on disk.

    Raises:
        InputError: without the library or the network.
    """
    try:
        from datasets import load_dataset  # pyright: ignore[reportMissingImports]
        from huggingface_hub import HfApi, constants

        if not constants.HF_HUB_OFFLINE:
            HfApi().dataset_info(hub, timeout=10)
        return read(load_dataset)
    except ImportError:
        problem = f"{hub} needs pip install 'promptpriors[datasets]'"
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        cached = "" if streamed else "; a cached copy needs HF_HUB_OFFLINE=1"
        problem = f"{hub} is out of reach ({reason:.100}{cached})"
    raise InputError(f"task {task!r}: {problem}.\n{otherwise}")


def read_text(path: Path) -> str:
    """The UTF-8 text of a file, without a byte order mark, lines ending in a line feed.

    Raises:
        InputError: when it cannot be read or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8 text: byte 0x{error.object[error.start]:02x} at offset"
            f" {error.start}. Convert it to UTF-8, or leave it out."
        ) from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from None


def read_json(path: Path, schema: type[Model], kind: str, keys: str) -> Model:
    """A JSON file checked against ``schema``; messages name its ``kind`` and the keys it needs.

    Raises:
        InputError: when it is not JSON or the first entry and key that do not fit; when an object
            has a key twice.
    """
    text = read_text(path)
    try:
        found = schema.model_validate_json(text)
    except ValidationError as error:
        item = error.errors()[0]
    else:
        _refuse_repeated_keys(path, text)
        return found
    place = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in item["loc"]).lstrip(".")
    if item["type"] == "missing":
        holder, _, key = place.rpartition(".")
        problem = f"{holder or 'the file'} has no key {key!r}"
    else:
        message = item["msg"].removeprefix("Value error, ")
        problem = f"{place or 'the file'}: {message[0].lower()}{message[1:]}"
    raise InputError(f"{path} is not {kind}: {problem}. It needs {keys}.")


class Record(NamedTuple):
    """A line: its number from 1, place for messages, values by name, the byte it starts at."""

    number: int
    place: str
    values: Mapping[str, Any]
    start: int = 0


def records(file: Path) -> Iterator[Record]:
    """Objects of a JSON lines file, read one by one; blank lines are skipped.

    Raises:
        InputError: when the file cannot be read, or a line is not UTF-8, not JSON or no object.
    """
    start = 0
    try:
        with file.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    yield _record(file, number, start, line)
                start += len(line)
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}.") from None


def record_at(file: Path, number: int, start: int) -> Record:
    """The object of the line that starts at a byte; errors as of ``records``."""
    try:
        with file.open("rb") as stream:
            stream.seek(start)
            return _record(file, number, start, stream.readline())
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}.") from None


def _record(file: Path, number: int, start: int, line: bytes) -> Record:
    place = f"{file}, line {number}"
    try:
        values = json.loads(line.decode("utf-8-sig"), object_pairs_hook=_object)
    except InputError as error:
        raise InputError(f"{place}: {error}") from None
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
            return Record(number, place, values, start)
        problem = f"not an object, found {json.dumps(values):.40}"
    raise InputError(f"{place}: {problem}. Write one {{…}} a line.")


def _refuse_repeated_keys(path: Path, text: str) -> None:
    try:
        json.loads(text, object_pairs_hook=_object)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; of two equal names a parser would silently take the last."""
    found = dict(pairs)
    if len(found) < len(pairs):
        refuse_repeated([name for name, _ in pairs], "the object has the field")
    return found


def refuse_repeated(names: Sequence[str], what: str) -> None:
    """Refuse names of which one stands twice.

    Raises:
        InputError: if one does.
    """
    name = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if name is not None:
        raise InputError(f"{what} {name!r} twice. Rename or remove one of them.")


def field_of(record: Record, field: str, remedy: str = "") -> Any:
    """A field's value.

    Raises:
        InputError: when it is missing, with a remedy if there is one.
    """
    _, place, values, _ = record
    if field not in values:
        known = ", ".join(values) or "none"
        raise InputError(
            f"{place}: no field {field!r}.{suggest(field, values)} It has: {known}.{remedy}"
        )
    return values[field]


def text_of(record: Record, field: str) -> str:
    """A field's text without surrounding white space; it may be empty.

    Raises:
        InputError: when the field is missing, or no text that can be encoded.
    """
    value, place = field_of(record, field), record.place
    if not isinstance(value, str):
        raise InputError(f"{place}: field {field!r} must be a text; found {json.dumps(value):.60}.")
    refuse_halves(record, field, value)
    return value.strip()


def refuse_halves(record: Record, field: str, text: str) -> None:
    """Refuse a field's text that can't be encoded.

    Raises:
        InputError: if it holds half a character.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"{record.place}: field {field!r} holds half a character (a lone surrogate) at"
            f" {error.start}. Mend or remove the line."
        ) from None
