"""What the runs' vectors do, as it was measured and stored beside each run."""

from collections.abc import Sequence
from typing import Any

from promptpriors.figures.styles import RunStyles
from promptpriors.measure.effects import FILE
from promptpriors.runs import Run
from promptpriors.runs.tables import Cell, Table, tabulate

NOTE = (
    "Changes of the loss in nats per target token, with 95 % intervals over documents: every "
    "vector masked; the most that masking one alone changes; the near half masked less the far "
    "half masked (by distance to the nearest vocabulary row); every vector as its nearest row, "
    "and that less random rows. attention: share that answer tokens pay to the prompt, mean over "
    "blocks and heads."
)


def use_table(runs: Sequence[Run], style: RunStyles) -> Table:
    """A row a run whose use was measured."""
    records = [
        _record(run, style, found) for run in runs if (found := run.record(FILE)) is not None
    ]
    return tabulate("use", "What vectors do", NOTE, records)


def _record(run: Run, style: RunStyles, use: dict[str, Any]) -> dict[str, Cell]:
    heads = [mass for block in use["attention"]["answers"]["by_head"] for mass in block]
    most = max(use["masked"]["vectors"], key=lambda vector: vector["change"])
    halves = use["halves"].get("embed", {}).get("near_less_far")
    projected = use.get("projected", {})
    record: dict[str, Cell] = {
        "run": run.id,
        "name": style.names[run.id],
        "examples": use["examples"],
        "loss": use["loss"],
    }
    record |= _change("all masked", use["masked"]["all"])
    record |= _change("one masked, at most", most)
    record |= _change("near less far half", halves)
    record |= _change("nearest rows", projected.get("nearest"))
    record |= _change("nearest less random rows", projected.get("nearest_less_random"))
    record["read as a token"] = sum(found["read"] for found in use.get("readout", []))
    record["attention"] = sum(heads) / len(heads)
    return record


def _change(name: str, found: dict[str, Any] | None) -> dict[str, Cell]:
    if found is None:
        return {name: None, f"{name}, 95 %": None}
    low, high = found["low"], found["high"]
    shown = None if low is None or high is None else f"{low:.3g} to {high:.3g}"
    return {name: found["change"], f"{name}, 95 %": shown}
