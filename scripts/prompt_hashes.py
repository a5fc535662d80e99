"""SHA-256 of the prompts that seven configs give, to compare two states of the code.

    python scripts/prompt_hashes.py [FOLDER]

Runs `promptpriors run` of the checkout in FOLDER (this one by default) with one thread, six times
on the models `tiny` and `tiny-t5` and once on `smollm2`, and prints a line a config.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

TASK = {"name": "mathematics", "train": 40, "validation": 10, "test": 6}
SMALL = {"model": "tiny", "seed": 3, "task": TASK}
TRAIN = {"steps": 8, "batch": 4, "evaluate_every": 2}
DEEP = {"length": 4, "sites": ["embed", "block.1"]}
LINE = {
    "name": "interpolation",
    "first": {"name": "gaussian", "space": "block.1:mathematics"},
    "second": {"name": "gaussian", "space": "tokens:mathematics"},
    "sites": {"embed": {"name": "points", "space": "vocabulary"}},
}
HELD = ["map", {"name": "repulsion", "space": "site:mathematics"}]
CONFIGS = {
    "soft": {"prior": {"name": "gaussian"}, "prompt": {"mode": "soft", "length": 4}},
    "deep-cut": {"prior": LINE, "prompt": {"mode": "deep-cut", **DEEP}},
    "deep": {"prior": {"name": "xavier"}, "prompt": {"mode": "deep", **DEEP}},
    "kv": {"prior": {"name": "vocabulary"}, "prompt": {"mode": "kv", "length": 4}},
    "seq2seq": {
        "model": "tiny-t5",
        "prior": {"name": "gaussian"},
        "prompt": {"mode": "soft", "length": 4},
    },
    "regularised": {
        "prior": {"name": "gaussian", "space": "site:mathematics"},
        "train": {**TRAIN, "regulariser": HELD},
        "prompt": {"mode": "deep-cut", **DEEP},
    },
    "smollm2": {
        "model": "smollm2",
        "seed": 1,
        "task": {"name": "mathematics", "train": 60, "validation": 16, "test": 4},
        "prior": {"name": "gaussian"},
        "train": {"steps": 6, "batch": 4, "evaluate_every": 3},
        "prompt": {"mode": "soft", "length": 8},
    },
}


def main(checkout: Path) -> None:
    import tomli_w

    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    with tempfile.TemporaryDirectory() as folder:
        for name, changes in CONFIGS.items():
            config = Path(folder) / f"{name}.toml"
            config.write_text(tomli_w.dumps({**SMALL, "train": TRAIN, **changes}))
            command = [sys.executable, "-m", "promptpriors", "run", str(config), "--json"]
            done = subprocess.run(
                [*command, "device.threads=1", "--runs", folder],
                cwd=checkout, env=environment, check=True, capture_output=True, text=True,
            )  # fmt: skip
            run = Path(json.loads(done.stdout)["folder"])
            content = (run / "prompt.safetensors").read_bytes()
            print(f"{name:12} {run.name} {hashlib.sha256(content).hexdigest()}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve())
