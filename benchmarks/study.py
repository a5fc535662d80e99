"""Two workers with a core each against the sum of what the runs take alone on one core.

python benchmarks/study.py [RUNS]

Twelve short runs on SmolLM2 and arithmetic. Alone: one after another in one process with one
thread, the sum of their times. Two workers: from the moment both have done a run of another kind
(they have the model by then, which is start-up) to the last run's end. Overhead: what a run costs a
worker beyond the seconds that it counts itself.
"""

import sys
import tempfile
import time
from pathlib import Path
from statistics import mean, median

import tomli_w

from promptpriors.config.study import read_study
from promptpriors.progress import silent
from promptpriors.running.workspace import Workspace
from promptpriors.runs import read_run
from promptpriors.study.local import run_here
from promptpriors.study.plan import plan
from promptpriors.study.ray_cluster import cluster, run_on_ray

BASE = {
    "model": "smollm2",
    "task": {
        "name": "mathematics",
        "modules": ["add_or_sub"],
        "train": 256,
        "validation": 32,
        "test": 0,
    },
    "prior": "vocabulary",
    "train": {"steps": 10, "batch": 4, "evaluate_every": 5},
}


def study(folder: Path, runs: int) -> Path:
    """So many runs, and two without a prompt on other data, by which workers warm up."""
    path = folder / "study.toml"
    warm = [
        {"arm": f"warm {i}", "prompt.mode": "none", "task.seed": i, "task.validation": 8}
        for i in (1, 2)
    ]
    content = {
        "base": BASE,
        "grid": {"seed": list(range(runs))},
        "runs": warm,
        "baselines": [],
        "compare": {"controls": False},
        "resources": {"cpus": 1},
    }
    path.write_text(tomli_w.dumps(content))
    return path


def main() -> None:
    """Run both ways once and print what each took."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 12
    with tempfile.TemporaryDirectory() as name:
        folder, workspace = Path(name), Workspace()
        read = read_study(study(folder, number))
        entries = plan(read, workspace)
        timed = [entry for entry in entries if not entry.run.arm.startswith("warm")]
        warm = [entry for entry in entries if entry.run.arm.startswith("warm")]
        here = {
            outcome.id: outcome.seconds
            for outcome in run_here(warm + timed, folder / "one", workspace, 1, silent)
        }
        alone = [here[entry.id] for entry in timed]
        with cluster(None, 2, read.resources):
            for _ in run_on_ray(warm, folder / "two", None, read.resources):
                pass
            began = time.perf_counter()
            found = list(run_on_ray(timed, folder / "two", None, read.resources))
            wall = time.perf_counter() - began
        own = [float((read_run(folder / "two" / o.id).result or {})["seconds"]) for o in found]
        between = (2 * wall - sum(own)) / len(own)
        inside = [o.seconds - s for o, s in zip(found, own, strict=True)]
        print(
            f"{len(timed)} runs alone on one core: {sum(alone):.1f} s, median {median(alone):.2f} s"
        )
        print(f"two workers: {wall:.1f} s, {wall / (sum(alone) / 2):.2f} of half the sum")
        print(
            f"overhead a run: {between:.2f} s of a worker's time; before and after its own seconds "
            f"{mean(inside):.2f} s on average, {max(inside):.2f} s at most (first ones included)"
        )


if __name__ == "__main__":
    main()
