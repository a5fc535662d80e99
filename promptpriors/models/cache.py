"""The cache folder: what is expensive to make once and cheap to read."""

import os
from pathlib import Path

import platformdirs

from promptpriors.errors import InputError
from promptpriors.paths import check_folder, expand

REMEDY = "set PROMPTPRIORS_CACHE to a folder that can be written"


def cache_path() -> Path:
    """``PROMPTPRIORS_CACHE``, else the user's cache folder; nothing is made.

    Raises:
        InputError: if there is no home folder to put it in.
    """
    named = os.environ.get("PROMPTPRIORS_CACHE")
    folder = (
        expand(named, "PROMPTPRIORS_CACHE =")
        if named
        else platformdirs.user_cache_path("promptpriors")
    )
    if not named and not folder.is_absolute():  # "~" stays where there is no home
        raise InputError(f"there is no home folder for the cache; {REMEDY}")
    return folder


def cache_folder(*, write: bool = False) -> Path:
    """The cache folder, created when missing.

    Args:
        write: whether something will be written into it, which is tried.

    Raises:
        InputError: if it can't be made or written.
    """
    folder = cache_path()
    if write or not folder.is_dir():
        check_folder(folder, REMEDY, "cache folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"the cache folder {folder} can't be made ({error.strerror}); {REMEDY}"
        ) from None
    return folder
