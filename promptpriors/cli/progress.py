"""Progress bar on stderr with an estimate of the time left."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from promptpriors.progress import OnProgress


@contextmanager
def progress_bar(label: str = "") -> Iterator[OnProgress]:
    """Progress callback drawn as a bar, or as lines without a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(console, label)
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
                tasks[stage] = bars.add_task(f"{label}{stage}", total=1.0, note=best)
            bars.update(tasks[stage], completed=share, note=best)

        yield on_progress


def _lines(console: Any, label: str) -> OnProgress:
    seen: set[str] = set()

    def on_progress(stage: str, share: float, known: Mapping[str, Any]) -> None:  # noqa: ARG001
        if stage not in seen:
            seen.add(stage)
            console.print(f"{label}{stage}", highlight=False, markup=False)
        if note := _note(known):
            step = known.get("step")
            at = "" if step is None else f"step {step}: "
            console.print(f"{label}{at}{note}", highlight=False, markup=False)

    return on_progress


def _note(known: Mapping[str, Any]) -> str:
    loss = known.get("val_loss")
    return "" if loss is None else f"validation loss {loss:.3f}"
