"""The cache folder: what is expensive to make once and cheap to read."""

import os
from pathlib import Path

import platformdirs

from promptpriors.errors import InputError


def cache_folder() -> Path:
    """``PROMPTPRIORS_CACHE``, else the user's cache folder; created when missing.

    Raises:
        InputError: if it can't be written.
    """
    named = os.environ.get("PROMPTPRIORS_CACHE")
    folder = Path(named) if named else platformdirs.user_cache_path("promptpriors")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"the cache folder {folder} can't be made ({error.strerror}); "
            "set PROMPTPRIORS_CACHE to a folder that can be written"
        ) from None
    return folder
