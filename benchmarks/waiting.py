"""Time of a training step by how idle threads wait, alone and beside other processes.

    python benchmarks/waiting.py [BUSY] [TURNS]

BUSY processes (default 2) that do nothing but count run beside every measurement. Each way is
measured in a process of its own, in turn; the median over turns is printed.
"""

import json
import os
import statistics
import subprocess
import sys

WAYS = {
    "default": {},
    "passive": {"OMP_WAIT_POLICY": "PASSIVE"},
    "spin 1,000": {"GOMP_SPINCOUNT": "1000"},
    "spin 10,000": {"GOMP_SPINCOUNT": "10000"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}
STEPS = """
import json, statistics
from promptpriors.demo import BASE
from promptpriors.config.run import parse_config
from promptpriors.packing import encode
from promptpriors.running.cost import time_step
from promptpriors.running.run import fit_and_draw
from promptpriors.running.workspace import Workspace
config, workspace = parse_config({**BASE, "prior": "gaussian"}), Workspace()
backbone, task = workspace.backbone(config.model_spec), workspace.task(config.task)
batch = encode(backbone, task.splits["train"][:config.train.batch])
prompt = fit_and_draw(config, workspace)
print(json.dumps(statistics.median(time_step(backbone, prompt, batch)[0] for _ in range(2))))
"""


def measure(way: dict[str, str]) -> float:
    """Seconds of a step, the median of two, in a process of its own."""
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", STEPS], env=os.environ | way, capture_output=True, check=True
    )
    return json.loads(done.stdout)


def main() -> None:
    """Measure each way in turn and print the medians."""
    busy, turns = (int(word) for word in [*sys.argv[1:], *("2", "5")[len(sys.argv) - 1 :]])
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(busy)]
    found: dict[str, list[float]] = {name: [] for name in WAYS}
    try:
        for _ in range(turns):
            for name, way in WAYS.items():
                found[name].append(measure(way))
                print(f"{name}: {found[name][-1]:.3f} s", file=sys.stderr, flush=True)
    finally:
        for other in others:
            other.kill()
    for name, seconds in found.items():
        least, middle, most = min(seconds), statistics.median(seconds), max(seconds)
        print(f"{name}: {middle:.3f} s a step ({least:.3f} to {most:.3f})")


if __name__ == "__main__":
    main()
