"""Runs of a study on Ray: a task each, on this machine or on a cluster."""

import logging
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from promptpriors.config.study import Resources
from promptpriors.errors import InputError, Interrupted, Note
from promptpriors.paths import resolved
from promptpriors.study.local import PAUSE, Attempt, attempt, workspace_of
from promptpriors.study.plan import Entry

PATIENCE = 5.0
"""Seconds for which an address is probed."""
WATCH = 0.5
"""Seconds after which a wait for a run looks whether it is asked to end."""
ASK = "import ray.scripts.scripts as s; print(flush=True); s.cli()"
"""Ray's own question after the health of a head, with a word when it begins."""
QUIET = {"TOKENIZERS_PARALLELISM": "false", "TRANSFORMERS_VERBOSITY": "error"}


@contextmanager
def cluster(address: str | None, workers: int, resources: Resources) -> Iterator[threading.Event]:
    """Join the cluster at an address, or start one on this machine.

    The event is set when this process is asked to end by SIGTERM, for which Ray's own handler would
    print its stack.

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
    own = address is None
    if address is not None:
        _probe(address)
    try:
        ray.init(
            address=address or "local",
            num_cpus=workers * (resources.cpus or 1) if own else None,
            num_gpus=math.ceil(workers * resources.gpus) if own else None,
            include_dashboard=False if own else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        where = "here" if own else f"at {address}"
        reason = " ".join(str(error).split())[:300]
        raise InputError(f"Ray can't be used {where}: {reason}") from None
    asked = threading.Event()
    before = _on_terminate(lambda *_: asked.set())
    try:
        check_nodes(ray.nodes(), resources)
        yield asked
    finally:
        _on_terminate(signal.SIG_IGN)
        ray.shutdown()
        _on_terminate(before)


def _on_terminate(handler: Any) -> Any:
    """Set what SIGTERM does, if this is the main thread; returns what it did."""
    if threading.current_thread() is not threading.main_thread():
        return signal.SIG_DFL
    return signal.signal(signal.SIGTERM, handler)


def check_nodes(nodes: Sequence[Mapping[str, Any]], resources: Resources) -> None:
    """Warn if no node has a run's resources; runs wait for one that has."""
    needed = {"CPU": resources.cpus or 1, "GPU": resources.gpus}
    for node in nodes:
        has = node["Resources"] if node["Alive"] else {}
        if all(has.get(name, 0) >= number for name, number in needed.items()):
            return
    warnings.warn(
        f"no node of the cluster has {needed['CPU']} CPUs and {needed['GPU']:g} GPUs, as each run "
        "asks for by [resources]; runs wait until one joins",
        Note,
        stacklevel=2,
    )


def run_on_ray(
    entries: Sequence[Entry],
    runs: Path,
    data: Path | None,
    resources: Resources,
    asked: threading.Event,
) -> Iterator[Attempt]:
    """Do runs as tasks of the joined cluster, in the order in which they end.

    A lost run is repeated. Both folders have the same path on every node.

    Raises:
        Interrupted: soon after ``asked`` is set.
    """
    import ray

    cpus = resources.cpus or 1
    task = ray.remote(num_cpus=cpus, num_gpus=resources.gpus, max_retries=resources.retries)(_task)
    runs, data = resolved(runs), None if data is None else resolved(data)

    def submit(entry: Entry, wait: float = 0.0) -> Any:
        return task.remote(entry.id, dict(entry.run.plain), runs, data, cpus, wait)

    pending = {submit(entry): entry for entry in entries}
    while pending:
        ended, _ = ray.wait(list(pending), num_returns=1, timeout=WATCH)
        if asked.is_set():
            raise Interrupted("the same command goes on where it was", 128 + signal.SIGTERM)
        if not ended:
            continue
        (reference,) = ended
        entry = pending.pop(reference)
        found = _result(reference, entry, resources)
        if found.status == "busy":
            pending[submit(entry, PAUSE)] = entry
            continue
        yield found


def _task(
    run: str, plain: Mapping[str, Any], runs: Path, data: Path | None, cpus: int, wait: float
) -> Attempt:
    """Do a run on a worker, which keeps its workspace from task to task."""
    os.environ.update(QUIET)
    time.sleep(wait)
    return attempt(run, plain, runs, workspace_of(data), cpus)


def _result(reference: Any, entry: Entry, resources: Resources) -> Attempt:
    import ray
    from ray.exceptions import RayError, RayTaskError

    try:
        return ray.get(reference)
    except RayTaskError as error:
        reason = " ".join(f"{type(error.cause).__name__}: {error.cause}".split())[:300]
        return Attempt(entry.id, "failed", 0.0, reason)
    except RayError as error:
        reason = " ".join(str(error).split())[:200]
        lost = f"its worker was lost {resources.retries + 1} times: {reason}"
        return Attempt(entry.id, "failed", 0.0, lost)


def _probe(address: str) -> None:
    """Ask whether Ray answers at an address, for no longer than ``PATIENCE``."""
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
    command = [sys.executable, "-c", ASK, "health-check", "--address", address]
    with subprocess.Popen(  # noqa: S603
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        if process.stdout:
            process.stdout.readline()  # Ray is imported, which on a busy machine takes seconds
        try:
            _, answer = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            return f"something is there but does not answer within {PATIENCE:g} s"
    if "AuthToken" in answer:
        return "it asks for a token: RAY_AUTH_MODE=token, RAY_AUTH_TOKEN_PATH=FILE"
    return "" if process.returncode == 0 else "something is there that is no Ray head"
