"""The runs of a study one after another in this process."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from promptpriors.progress import OnProgress
from promptpriors.running.workspace import Workspace
from promptpriors.study.local import Outcome, attempt
from promptpriors.study.plan import Entry

PAUSE = 1.0
"""Seconds between looks at a run that another process has."""


def run_here(
    entries: Sequence[Entry],
    runs: Path,
    workspace: Workspace,
    threads: int,
    on_progress: Callable[[Entry], OnProgress],
) -> Iterator[Outcome]:
    """Do runs in turn; one that another process has is looked at again when others are done.

    Args:
        entries: what is to do.
        runs: the folder of run folders.
        workspace: shared by all runs.
        threads: of torch.
        on_progress: who is told how far a run is.

    Yields:
        How each run ended.
    """
    waiting, passed = deque(entries), 0
    while waiting:
        entry = waiting.popleft()
        found = attempt(entry.id, entry.run.plain, runs, workspace, threads, on_progress(entry))
        if found.status != "busy":
            passed = 0
            yield found
            continue
        waiting.append(entry)
        passed += 1
        if passed >= len(waiting):  # all that is left is in work elsewhere
            time.sleep(PAUSE)
