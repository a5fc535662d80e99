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


def train_and_more(where: Path, train: str, more: str) -> list[Path]:
    """The file that ``where`` is; or of a folder the train file, and the other where there is one.

    Args:
        where: a file or folder that exists.
        train: pattern of the train file's name.
        more: pattern of the other's.

    Raises:
        InputError: when a folder has no train file, or several of a kind.
    """
    if where.is_file():
        return [where]
    found = [sorted(where.glob(pattern)) for pattern in (train, more)]
    for files, pattern in zip(found, (train, more), strict=True):
        if len(files) > 1:
            part = pattern.partition("*")[0].rstrip("-")
            names = ", ".join(file.name for file in files)
            raise InputError(
                f"{where} has several {part} files: {names}. Leave one, or set task.path to a file."
            )
    if not found[0]:
        raise InputError(f"{where} has no {train}. Set task.path to a file or folder of the task.")
    return [*found[0], *found[1]]


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
