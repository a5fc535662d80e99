"""Kill a study at random moments, start it again, and compare it with one that nobody disturbed."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import psutil

PATIENCE = 180
"""Seconds in which a study must take its first step after a start."""
ASIDE = {"seconds", "tokens_per_second", "peak_memory_mib", "versions"}
"""Of a result, what may differ: times, memory, versions."""


class Kill(NamedTuple):
    """What was killed, and how many runs were done by then."""

    whom: str
    done: int


def start(study: Path, runs: Path, workers: int) -> subprocess.Popen:
    """Start the study's command."""
    command = [sys.executable, "-m", "promptpriors", "study", str(study), "--runs", str(runs)]
    command += ["--workers", str(workers)] if workers else []
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen) -> str:
    """Wait for the end, which must be a good one; returns what was said."""
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    return out + err


def kill_once(process: subprocess.Popen, runs: Path, moment: random.Random) -> Kill | None:
    """Kill at a random moment after a step of this start; None where the study ended before."""
    before = _records(runs)
    limit = time.monotonic() + PATIENCE
    while _records(runs) <= before:
        if process.poll() is not None:
            return None
        assert time.monotonic() < limit, "no step was taken"
        time.sleep(0.005)
    time.sleep(moment.uniform(0, 1.0))
    if process.poll() is not None:
        return None
    workers = _workers(process)
    whom = moment.choice(["driver", "worker", "both"]) if workers else "driver"
    done = len(list(runs.glob("*/result.json")))
    for worker in workers if whom != "driver" else []:
        _kill(worker)
    if whom != "worker":
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=60)
        process.communicate()
    return Kill(whom, done)


def same(one: Path, other: Path) -> list[str]:
    """Runs of the second folder that differ from the first's; both must have the same ones."""
    names = sorted(path.parent.name for path in one.glob("*/config.toml"))
    assert names == sorted(path.parent.name for path in other.glob("*/config.toml"))
    return [name for name in names if _content(one / name) != _content(other / name)]


def _content(folder: Path) -> tuple[bytes, dict]:
    result = json.loads((folder / "result.json").read_text())
    kept = {key: value for key, value in result.items() if key not in ASIDE}
    return (folder / "prompt.safetensors").read_bytes(), kept


def _records(runs: Path) -> int:
    """Steps whose records stand in the folder: they are what has been trained."""
    found = 0
    for path in runs.glob("*/metrics.jsonl"):
        found += sum('"train_loss": null' not in line for line in path.read_text().splitlines())
    return found


def _workers(process: subprocess.Popen) -> list[psutil.Process]:
    """The workers of a Ray that a study started, those at work."""
    try:
        children = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return [child for child in children if _title(child).startswith("ray::_task")]


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return
