"""Activations: captured from a frozen model over a task, streamed to disk, read back as spaces."""

from promptpriors.activations.matching import matched_spaces
from promptpriors.activations.recording import Captured, capture, content_of
from promptpriors.activations.spaces import join, load_space, moments_of
from promptpriors.activations.store import Plan, Store

__all__ = [
    "Captured",
    "Plan",
    "Store",
    "capture",
    "content_of",
    "join",
    "load_space",
    "matched_spaces",
    "moments_of",
]
