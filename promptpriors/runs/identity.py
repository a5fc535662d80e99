"""A run's id: what it computes decides its name, where and how it runs does not."""

import hashlib
from collections.abc import Mapping
from typing import Any

from promptpriors.files import canonical

FORMAT = 1
"""Version of the run folder; raised whenever an old folder would be read wrongly."""
RESULTS = 2
"""Version of what is computed; raised whenever the same config would give other results."""


def run_id(config: Mapping[str, Any], *, model: str, task: str) -> str:
    """The first 16 hex digits of SHA-256 over the canonical resolved config.

    Args:
        config: the resolved config. Left out are the device's name and threads, every ``path`` in
            ``task``, the train section of a frozen prompt, and of the empty one prior and seed.
        model: revision or content hash of the model.
        task: content hash of the task's examples (with its version).
    """
    computed = {key: value for key, value in config.items() if key not in {"device", "model"}}
    kept = {k: v for k, v in config["task"].items() if k != "path" and not k.endswith("_path")}
    computed |= {"task": kept, "dtype": config.get("device", {}).get("dtype", "float32")}
    if config.get("train", {}).get("frozen"):
        computed["train"] = "frozen"
    if config.get("prompt", {}).get("mode") == "none":
        computed |= {"prior": None, "seed": None}
    versions = {"format": FORMAT, "results": RESULTS}
    parts = {"config": computed, "model": model, "task": task, **versions}
    return hashlib.sha256(canonical(parts).encode()).hexdigest()[:16]
