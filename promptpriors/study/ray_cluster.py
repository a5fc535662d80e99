"""The runs of a study on Ray: a task each, on this machine or on a cluster."""

import math
import os
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from promptpriors.config.study import Resources
from promptpriors.errors import InputError, Note
from promptpriors.study.local import Outcome, attempt, workspace_of
from promptpriors.study.plan import Entry

PATIENCE = 5.0
"""Seconds for which an address is probed."""
PAUSE = 1.0
"""Seconds before a run that another process has is looked at again."""
ASK = "import ray.scripts.scripts as s; print(flush=True); s.cli()"
"""Ray's own question after the health of a head, with a word when it begins."""
QUIET = {"TOKENIZERS_PARALLELISM": "false", "TRANSFORMERS_VERBOSITY": "error"}


@contextmanager
def cluster(address: str | None, workers: int, resources: Resources) -> Iterator[None]:
    """Join the cluster at an address, or start one of so many workers on this machine.

    Raises:
        InputError: without Ray, for an address where none answers, or one of another version.
    """
    try:
        import ray
    except ImportError:
        raise InputError(
            "workers need Ray: pip install 'promptpriors[ray]'; without --workers and --ray a "
            "study runs in one process"
        ) from None
    # else Ray warns that its default for runs without a GPU will change
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    about: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address is None:
        cpus, gpus = workers * (resources.cpus or 1), math.ceil(workers * resources.gpus)
        about |= {"num_cpus": cpus, "num_gpus": gpus, "include_dashboard": False}
        about["address"] = "local"
    else:
        _probe(address)
        about["address"] = address
    try:
        ray.init(**about)
    except (ConnectionError, RuntimeError, ValueError) as error:
        where = "here" if address is None else f"at {address}"
        reason = " ".join(str(error).split())[:300]
        raise InputError(f"Ray can't be used {where}: {reason}") from None
    try:
        tell_of_nodes(ray.nodes(), resources)
        yield
    finally:
        ray.shutdown()


def tell_of_nodes(nodes: Sequence[Mapping[str, Any]], resources: Resources) -> None:
    """Warn if no node has what a run asks for: runs wait then, since one that has it may join."""
    asked = {"CPU": resources.cpus or 1, "GPU": resources.gpus}
    for node in nodes:
        has = node["Resources"] if node["Alive"] else {}
        if all(has.get(name, 0) >= number for name, number in asked.items()):
            return
    warnings.warn(
        f"no node of the cluster has {asked['CPU']} CPUs and {asked['GPU']:g} GPUs, as each run "
        "asks for by [resources]; runs wait until one joins",
        Note,
        stacklevel=2,
    )


def run_on_ray(
    entries: Sequence[Entry], runs: Path, data: Path | None, resources: Resources
) -> Iterator[Outcome]:
    """Do runs as tasks of the cluster that is joined; a lost worker's run is repeated elsewhere.

    Args:
        entries: what is to do.
        runs: the folder of run folders, under the same path on every node.
        data: the data folder, likewise.
        resources: what each run asks for.

    Yields:
        How each run ended, in the order in which they end.
    """
    import ray

    cpus = resources.cpus or 1
    task = ray.remote(num_cpus=cpus, num_gpus=resources.gpus, max_retries=resources.retries)(_task)
    where = (runs.resolve(), None if data is None else data.resolve(), cpus)

    def submit(entry: Entry, wait: float = 0.0) -> Any:
        return task.remote(entry.id, dict(entry.run.plain), *where, wait)

    pending = {submit(entry): entry for entry in entries}
    while pending:
        (reference,), _ = ray.wait(list(pending), num_returns=1)
        entry = pending.pop(reference)
        found = _result(reference, entry, resources)
        if found.status == "busy":
            pending[submit(entry, PAUSE)] = entry
            continue
        yield found


def _task(
    run: str, plain: Mapping[str, Any], runs: Path, data: Path | None, cpus: int, wait: float
) -> Outcome:
    """What a worker does; it keeps its workspace from task to task."""
    os.environ.update(QUIET)
    time.sleep(wait)
    return attempt(run, plain, runs, workspace_of(data), cpus)


def _result(reference: Any, entry: Entry, resources: Resources) -> Outcome:
    import ray
    from ray.exceptions import RayError, RayTaskError

    try:
        return ray.get(reference)
    except RayTaskError as error:
        reason = " ".join(f"{type(error.cause).__name__}: {error.cause}".split())[:300]
        return Outcome(entry.id, "failed", 0.0, reason)
    except RayError as error:
        reason = " ".join(str(error).split())[:200]
        lost = f"its worker was lost {resources.retries + 1} times: {reason}"
        return Outcome(entry.id, "failed", 0.0, lost)


def _probe(address: str) -> None:
    """Ask whether Ray answers at an address, for no longer than ``PATIENCE``.

    Raises:
        InputError: if it does not.
    """
    if address == "auto":
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    reason = "expected HOST:PORT"
    if host and port.isdecimal():
        try:
            with socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE):
                reason = ""
        except (OSError, OverflowError) as error:
            reason = str(error)
    if not reason and not address.startswith("ray://"):
        reason = _ask(address)
    if reason:
        raise InputError(
            f"no Ray cluster answers at {address} ({reason}); start one by `ray start --head`, or "
            "give --workers N for one on this machine"
        )


def _ask(address: str) -> str:
    """Why the head at an address is no Ray's; "" where it is. In a process that can be ended."""
    asked = [sys.executable, "-c", ASK, "health-check", "--address", address]
    with subprocess.Popen(  # noqa: S603
        asked, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        if process.stdout:
            process.stdout.readline()  # Ray is imported, which on a busy machine takes seconds
        try:
            _, said = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            return f"something is there but does not answer within {PATIENCE:g} s"
    if "AuthToken" in said:
        return "it asks for a token: RAY_AUTH_MODE=token, RAY_AUTH_TOKEN_PATH=FILE"
    return "" if process.returncode == 0 else "something is there that is no Ray head"
