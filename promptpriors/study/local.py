"""Runs of a study in this process."""

import errno
import time
import warnings
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from promptpriors.config.run import parse_config
from promptpriors.errors import InputError, Note, WorkError
from promptpriors.progress import OnProgress, silent
from promptpriors.running.run import execute
from promptpriors.running.workspace import Workspace
from promptpriors.runs.folder import Busy
from promptpriors.study.plan import Entry

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
"""Errors after which no other run could be written either."""
PAUSE = 1.0
"""Seconds before a run that another process has is tried again."""
WORKSPACES: dict[str, Workspace] = {}
"""By data folder; a worker's process goes from run to run with it."""


class Attempt(NamedTuple):
    """Outcome of one start of a run.

    Its status is ``done``, ``failed``, ``busy`` (another process has it) or ``full`` (the disk);
    the message says why it failed, the notes are warnings to the user.
    """

    id: str
    status: str
    seconds: float
    message: str = ""
    notes: tuple[str, ...] = ()


def run_here(
    entries: Sequence[Entry],
    runs: Path,
    workspace: Workspace,
    threads: int,
    on_progress: OnProgress,
) -> Iterator[Attempt]:
    """Do runs in turn; busy ones are tried again after the others."""
    waiting, passed = deque(entries), 0
    while waiting:
        entry = waiting.popleft()
        ended = attempt(entry.id, entry.run.plain, runs, workspace, threads, on_progress)
        if ended.status != "busy":
            passed = 0
            yield ended
            continue
        waiting.append(entry)
        passed += 1
        if passed >= len(waiting):  # all that is left is in work elsewhere
            time.sleep(PAUSE)


def attempt(
    run: str,
    plain: Mapping[str, Any],
    runs: Path,
    workspace: Workspace,
    threads: int,
    on_progress: OnProgress = silent,
) -> Attempt:
    """Do one run of known id, go on with it, or find it done; failures are returned.

    ``plain`` is its config, as TOML has it; ``threads`` of torch hold unless that says how many.
    """
    import torch

    began = time.perf_counter()
    status, message = "done", ""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", Note)
        try:
            config = parse_config(plain)
            torch.set_num_threads(config.device.threads or threads)
            execute(config, runs, workspace, known=run, on_progress=on_progress)
        except Busy as error:
            status, message = "busy", str(error)
        except (InputError, WorkError) as error:
            status, message = ("full" if _is_full(error) else "failed"), str(error)
        except Exception as error:  # a defect of one run must not end the others
            status = "full" if _is_full(error) else "failed"
            message = f"{type(error).__name__}: {error}"
    notes = tuple(str(w.message) for w in caught if issubclass(w.category, Note))
    return Attempt(run, status, time.perf_counter() - began, message, notes)


def workspace_of(data: Path | None) -> Workspace:
    """Find this process's workspace for a data folder."""
    return WORKSPACES.setdefault(str(data), Workspace(data))


def _is_full(error: BaseException | None) -> bool:
    """Whether a full or read-only disk is behind an error."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL:
            return True
        error = error.__cause__ or error.__context__
    return False
