"""Finding and reading the user's files; every failure says which file and what to do."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from promptpriors.errors import InputError

Model = TypeVar("Model", bound=BaseModel)


def find(path: str, folder: Path | None) -> Path:
    """The file or folder that ``path`` means: as it stands, else inside the data folder.

    Raises:
        InputError: when neither exists.
    """
    places = [Path(path).expanduser(), *([folder / path] if folder else [])]
    for place in places:
        if place.exists():
            return place
    looked = " and no ".join(str(place.absolute()) for place in places)
    raise InputError(f"there is no {looked}. Point the task's path to a file or folder.")


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
        InputError: when it is not JSON or the first entry and key that do not fit.
    """
    try:
        return schema.model_validate_json(read_text(path))
    except ValidationError as error:
        item = error.errors()[0]
    place = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in item["loc"]).lstrip(".")
    if item["type"] == "missing":
        holder, _, key = place.rpartition(".")
        problem = f"{holder or 'the file'} has no key {key!r}"
    else:
        message = item["msg"].removeprefix("Value error, ")
        problem = f"{place or 'the file'}: {message[0].lower()}{message[1:]}"
    raise InputError(f"{path} is not {kind}: {problem}. It needs {keys}.")
