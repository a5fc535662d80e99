"""Paths that users name: home folders, links, and outputs, checked before work is spent on them."""

import errno
import os
import time
from contextlib import suppress
from pathlib import Path

from promptpriors.errors import InputError, brief


def expand(path: str | Path, of: str = "the path") -> Path:
    """The path with ``~`` as the home folder.

    Args:
        path: as the user wrote it.
        of: what it is the value of, for messages.

    Raises:
        InputError: for an empty path, a user that there is not, or a null character.
    """
    given = f"{of} {brief(str(path))}"
    if not str(path) or "\0" in str(path):
        wrong = "holds a null character" if str(path) else "is empty"
        raise InputError(f"{given} {wrong}; expected the name of a file or folder")
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise InputError(
            f"{given} begins with a home folder that there is not; write the path in full"
        ) from None


def resolved(path: Path) -> Path:
    """The absolute path behind all links.

    Raises:
        InputError: for a link that leads to itself.
    """
    found = Path(os.path.realpath(path))
    if found.is_symlink():
        raise InputError(f"{path} is a link that leads to itself; give another name")
    return found


def check_file(path: Path) -> Path:
    """The path of a file that is there.

    Raises:
        InputError: if it is not.
    """
    if not path.is_file():
        raise InputError(f"{path}: {'not a file' if path.exists() else 'no such file'}")
    return path


def check_output(path: Path, mark: bytes, what: str) -> None:
    """Refuse a file that holds something else, before work is spent on what would replace it.

    Args:
        path: where the output goes. Nothing there, an empty file, a device or a pipe will do.
        mark: stands near the beginning of every ``what`` of ours, and of no other file.
        what: name of the kind of file, such as "report".

    Raises:
        InputError: if a file without the mark is there, a folder, or a link to itself.
    """
    resolved(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder; expected the name of a file for the {what}")
    if not path.is_file():
        return
    with path.open("rb") as file:
        start = file.read(4096)
    if start and mark not in start:
        raise InputError(
            f"{path} exists and is no {what} of ours, so it is not overwritten\n"
            "Give another name, or move the file away"
        )


def check_folder(folder: Path, remedy: str, what: str = "output folder") -> None:
    """Try to write in a folder, or where it would be made; nothing is left behind.

    Raises:
        InputError: if it can't be written; ends with the ``remedy``.
    """
    try:
        with suppress(FileNotFoundError, NotADirectoryError):
            folder.lstat()  # a name that is too long is one for no folder
        places = [folder, *folder.absolute().parents]
        place = next(place for place in places if os.path.lexists(place))
        if not place.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, f"{place} is no folder")
        probe = place / f".probe.{os.getpid()}.{time.time_ns()}"
        try:
            probe.write_bytes(b"\n")
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(
            f"the {what} {folder} can't be written ({error.strerror}); {remedy}"
        ) from None
