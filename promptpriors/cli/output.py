"""Output of commands: lines, JSON, tables, and a progress bar on stderr with the time left."""

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from promptpriors.errors import Interrupted, harmless
from promptpriors.progress import OnProgress

WIDE = 1000
"""Columns of a table that is not shown in a terminal: nothing is cut."""
FOLDED = 8
"""Characters that a column keeps when its cells are folded."""
CONTROLS = re.compile("[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that JSON has as they are, and that steer a terminal or are no text."""


def say(*lines: str) -> None:
    """Print lines on stdout, without what would steer a terminal."""
    for line in lines:
        sys.stdout.write(harmless(line) + "\n")
    sys.stdout.flush()


def remark(line: str) -> None:
    """Print a line on stderr, where it is a courtesy: a full disk behind it stops nothing."""
    try:
        sys.stderr.write(harmless(line) + "\n")
        sys.stderr.flush()
    except BrokenPipeError:
        raise
    except OSError:
        return


def print_json(value: Any) -> None:
    """Print one JSON document, NaN as null and paths as text."""
    from promptpriors.files import finite

    text = json.dumps(finite(value), indent=2, ensure_ascii=False, default=str)
    sys.stdout.write(CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n")


def print_table(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> None:
    """Print a plain table as wide as the terminal allows; in a narrow one, a line for each cell."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    cells = [[_cell(row.get(column)) for column in columns] for row in rows]
    console = Console(width=None if sys.stdout.isatty() else WIDE)
    whole = {"id", "name"} & set(columns)
    widths = [max(map(len, part)) for part in zip(columns, *cells, strict=True)]
    least = [w if c in whole else min(w, FOLDED) for w, c in zip(widths, columns, strict=True)]
    if sum(least) + 2 * len(least) > console.width:
        for row in cells:
            say(*(f"{name}: {cell}" for name, cell in zip(columns, row, strict=True)), "")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column, width in zip(columns, least, strict=True):
        table.add_column(column, no_wrap=column in whole, overflow="fold", min_width=width)
    for row in cells:
        table.add_row(*map(Text, row))
    console.print(table)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else harmless(str(value))


@contextmanager
def resumable(how: str = "the same command goes on from the last evaluation") -> Iterator[None]:
    """End an interrupted command with a word on how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(how) from None


def use_threads(threads: int | None, processes: int = 1) -> None:
    """Set torch's threads for this process."""
    import torch

    torch.set_num_threads(threads or max(1, (os.cpu_count() or 1) // processes))


def summary(result: dict) -> str:
    """Summarise a finished run in a line."""
    names = ("val_loss_initial", "val_loss", "val_loss_none")
    start, end, none = ("–" if result[n] is None else f"{result[n]:.3f}" for n in names)
    parts = [f"validation loss {start} → {end} nats per token (without a prompt {none})"]
    for key in ("f1", "exact_match"):
        if key in result["scores"]:
            before, after = result["scores_initial"][key], result["scores"][key]
            parts.append(f"{key.replace('_', ' ')} {before:.1%} → {after:.1%}")
    return ", ".join(parts)


@contextmanager
def progress_bar(label: str = "") -> Iterator[OnProgress]:
    """Progress callback drawn as a bar, or as lines without a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(label)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
        TextColumn("left  {task.fields[note]}"),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        tasks: dict[str, Any] = {}
        best = ""

        def on_progress(stage: str, share: float, known: Mapping[str, Any]) -> None:
            nonlocal best
            best = _note(known) or best
            if stage not in tasks:
                for other in tasks.values():
                    bars.update(other, visible=False)
                tasks[stage] = bars.add_task(harmless(f"{label}{stage}"), total=1.0, note=best)
            bars.update(tasks[stage], completed=share, note=best)

        yield on_progress


def _lines(label: str) -> OnProgress:
    seen: set[str] = set()

    def on_progress(stage: str, share: float, known: Mapping[str, Any]) -> None:  # noqa: ARG001
        if stage not in seen:
            seen.add(stage)
            remark(f"{label}{stage}")
        if note := _note(known):
            step = known.get("step")
            at = "" if step is None else f"step {step}: "
            remark(f"{label}{at}{note}")

    return on_progress


def _note(known: Mapping[str, Any]) -> str:
    loss = known.get("val_loss")
    return "" if loss is None else f"validation loss {loss:.3f}"
