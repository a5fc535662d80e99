"""Ids of runs, made of what they compute, not of where and how they run."""

import hashlib
from collections.abc import Mapping
from typing import Any

from promptpriors.files import canonical

FORMAT = 1
"""Version of the run folder; raised whenever an old folder would be read wrongly."""
RESULTS = 2
"""Version of what is computed; raised whenever the same config would give other results."""
VERSIONS = {"format": FORMAT, "results": RESULTS}
LATER: Mapping[str, Any] = {"order": None, "objective": "answer", "lora": None}
"""Fields of the train section that came later, with their defaults: while a config has these it is
named as before there were such fields."""


def run_id(config: Mapping[str, Any], *, model: str, task: str) -> str:
    """Take the first 16 hex digits of SHA-256 over the canonical resolved config.

    Args:
        config: the resolved config. Left out are the device's name and threads, every ``path`` in
            ``task``, the train section of a frozen prompt (but for another objective, which is
            measured), and of the empty one prior and, without an adapter, seed. An order of the
            data that is the run's own seed counts as none.
        model: revision or content hash of the model.
        task: content hash of the task's examples (with its version).
    """
    computed = {key: value for key, value in config.items() if key not in {"device", "model"}}
    kept = {k: v for k, v in config["task"].items() if k != "path" and not k.endswith("_path")}
    computed |= {"task": kept, "dtype": config.get("device", {}).get("dtype", "float32")}
    if "train" in config:
        computed["train"] = _train(config["train"], config.get("seed"))
    if config.get("prompt", {}).get("mode") == "none":
        adapter = config.get("train", {}).get("lora") is not None
        computed |= {"prior": None} if adapter else {"prior": None, "seed": None}
    parts = {"config": computed, "model": model, "task": task, **VERSIONS}
    return hashlib.sha256(canonical(parts).encode()).hexdigest()[:16]


def _train(section: Mapping[str, Any], seed: Any) -> Any:
    """The part of a train section that counts."""
    later = {key: section[key] for key in LATER if section.get(key, LATER[key]) != LATER[key]}
    if later.get("order") == seed or section.get("frozen"):
        later.pop("order", None)
    if section.get("frozen"):
        return {"frozen": True, **later} if later else "frozen"
    return {key: value for key, value in section.items() if key not in LATER} | later
