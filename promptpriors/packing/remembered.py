"""What was asked of a large model before, kept in the cache folder by its revision."""

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version

from promptpriors.errors import InputError
from promptpriors.files import write_bytes
from promptpriors.models import Backbone
from promptpriors.models.cache import cache_folder

LARGE = 50_000_000
"""Weights from which on asking a model takes longer than a moment."""


def remembered(backbone: Backbone, question: str, length: int, ask: Callable[[], bool]) -> bool:
    """The answer to a question about texts of so many positions, asked once a model and version."""
    if sum(weight.numel() for weight in backbone.model.parameters()) < LARGE:
        return ask()
    with suppress(InputError, OSError, ValueError):
        path = cache_folder() / "exactness" / f"{_digest(backbone)}.json"
        known = json.loads(path.read_text()) if path.exists() else {}
        found = known.get(f"{question} {length}")
        if isinstance(found, bool):
            return found
        known[f"{question} {length}"] = answer = ask()
        path.parent.mkdir(exist_ok=True)
        write_bytes(path, json.dumps(known).encode(), durable=False)
        return answer
    return ask()


def _digest(backbone: Backbone) -> str:
    """What an answer depends on: weights by revision and by some of their values, and versions."""
    weights = [weight.detach().flatten()[:4].tolist() for weight in backbone.model.parameters()]
    about = {
        "revision": backbone.revision,
        "config": backbone.model.config.to_dict(),
        "weights": weights,
        "dtype": str(backbone.dtype),
        "device": backbone.device.type,
        "versions": [version(name) for name in ("promptpriors", "torch", "transformers")],
    }
    about["config"].pop("_name_or_path", None)
    return hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest()[:32]
