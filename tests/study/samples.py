"""A small study on the tiny model, written where a test wants it."""

from pathlib import Path

import tomli_w

BASE = {
    "model": "tiny",
    "task": {
        "name": "mathematics",
        "modules": ["add_or_sub"],
        "train": 64,
        "validation": 8,
        "test": 2,
    },
    "prior": "isotropic",
    "prompt": {"length": 4},
    "train": {"steps": 4, "batch": 4, "evaluate_every": 2},
}
ARMS = {"vocabulary": {"prior": "vocabulary"}, "match": {"prior": {"name": "isotropic"}}}


def write_study(folder: Path, **changes) -> Path:
    """A study of two arms and two seeds in one process; ``changes`` replace its parts."""
    content = {
        "base": BASE,
        "arms": ARMS,
        "grid": {"seed": [0, 1]},
        "baselines": ["none"],
        "compare": {"reference": "vocabulary", "controls": False},
        "resources": {"cpus": 1},
    }
    content |= changes
    path = folder / "study.toml"
    path.write_text(tomli_w.dumps({k: v for k, v in content.items() if v is not None}))
    return path
