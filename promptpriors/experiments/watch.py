"""How long work tells whoever started it how far it is."""

from collections.abc import Callable, Mapping
from typing import Any

Watch = Callable[[str, float, Mapping[str, Any]], None]
"""Called with a stage, the share of it that is done, and what is known so far."""


def silent(stage: str, share: float, known: Mapping[str, Any]) -> None:
    """Watch nothing."""
