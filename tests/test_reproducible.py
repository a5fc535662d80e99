"""Embedded model, real generators: the same config gives the same bytes in new processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFIG = Path(__file__).parents[1] / "configs" / "arithmetic.toml"


@pytest.mark.slow
def test_the_same_config_run_twice_gives_the_same_bytes(tmp_path):
    found = []
    for number in ("1", "2"):
        words = ["run", CONFIG, "--runs", tmp_path / number, "device.threads=2", "train.steps=3"]
        words += ["task.train=12", "task.validation=2", "task.test=1", "train.batch=4"]
        code = "from promptpriors.cli import main; main()"
        subprocess.run(
            [sys.executable, "-c", code, *map(str, words)],
            env={"PYTHONHASHSEED": number, "PATH": "", **_cache()},
            check=True,
            capture_output=True,
        )
        (path,) = tmp_path.glob(f"{number}/*/prompt.safetensors")
        found.append((path.parent.name, path.read_bytes()))
    assert found[0] == found[1]


def _cache():
    """What the child needs to find the converted model, and to share the cores meanwhile."""
    names = ("HOME", "PROMPTPRIORS_CACHE", "OPENBLAS_CORETYPE", "OMP_WAIT_POLICY")
    return {name: os.environ[name] for name in names if name in os.environ}
