"""Finding and reading a task's data, in the user's files or on the hub.

Every failure says which file and what to do.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from promptpriors.errors import InputError

Model = TypeVar("Model", bound=BaseModel)
Found = TypeVar("Found")


def find(path: str, folder: Path | None) -> Path:
    """File or folder that ``path`` means: as it stands, else inside the data folder.

    Raises:
        InputError: when neither exists.
    """
    places = [Path(path).expanduser(), *([folder / path] if folder else [])]
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
