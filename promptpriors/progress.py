"""The progress callback of long work."""

from collections.abc import Callable, Mapping
from typing import Any

OnProgress = Callable[[str, float, Mapping[str, Any]], None]
"""Progress callback: stage, share of it that is done (0 to 1), and what is known so far."""


def silent(stage: str, share: float, known: Mapping[str, Any]) -> None:
    """Ignore progress."""
