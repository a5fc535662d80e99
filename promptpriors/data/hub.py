"""Where a task's data are: at the user's path, in the data folder, or on the hub."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from promptpriors.data.files import find
from promptpriors.errors import InputError

Found = TypeVar("Found")


def locate(path: str | None, folder: Path | None, *, name: str) -> Path | None:
    """The file or folder that holds a task's data.

    Args:
        path: what the config says.
        folder: the data folder that the user named.
        name: of the task's folder inside it.

    Returns:
        None when there is nothing, so that the hub is asked.

    Raises:
        InputError: when the path or the data folder does not exist.
    """
    if path is not None:
        return find(path, folder)
    if folder is not None and not folder.is_dir():
        raise InputError(f"the data folder {folder} does not exist. Set --data to one that does.")
    inside = folder / name if folder else None
    return inside if inside and inside.exists() else None


def ask(
    hub: str,
    read: Callable[[Callable[..., Any]], Found],
    *,
    task: str,
    otherwise: str,
    streamed: bool = False,
) -> Found:
    """What ``read`` makes of ``datasets.load_dataset``.

    The hub is asked for the data set's card first: ``load_dataset`` alone tries for half a minute
    before it gives up.

    Args:
        hub: the data set.
        read: loads and reads it.
        task: for messages.
        otherwise: what the user can do without the hub.
        streamed: whether nothing is kept on disk.

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
