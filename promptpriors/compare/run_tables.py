"""Tables with a row a run: positions, effects, gaps between domains."""

from collections.abc import Sequence
from typing import Any

from promptpriors.compare.prior_tables import Measured
from promptpriors.figures.styles import RunStyles
from promptpriors.measure.domain_gap import FILE as BRIDGE
from promptpriors.measure.effects import FILE as USE
from promptpriors.runs import Run
from promptpriors.runs.tables import Cell, Table, tabulate

POSITION_NOTE = (
    "A row a run, site and kind of coordinates: raw as they are stored, visible as the block "
    "reads them (deep-cut alone). Nulls of the distance to the nearest real point: moved, the "
    "start plus random displacements as long as training's, whose number is the change; redrawn, "
    "fresh draws of the prior; normed, draws of the Gaussian fitted to the points at the vectors' "
    "norms. p: share of null prompts at least as near. Below a reach ratio of 3 where a prompt "
    "ended can't be tested."
)
USE_NOTE = (
    "Changes of the loss in nats per target token, with 95 % intervals over documents: every "
    "vector masked; the most that masking one alone changes; the near half masked less the far "
    "half masked (by distance to the nearest vocabulary row); every vector as its nearest row, "
    "and that less random rows. attention: share that answer tokens pay to the prompt, mean over "
    "blocks and heads."
)
BRIDGE_NOTE = (
    "Separation of the run's own task from another domain at the input of the last block behind "
    "the trained prompt, over that without it (1: nothing changed, 0: they have met), with a 95 % "
    "interval over documents."
)


def position_table(measured: Sequence[Measured], style: RunStyles) -> Table:
    """Tabulate each run's positions, a row a site and kind of coordinates."""
    rows: list[dict[str, Cell]] = [
        {
            "run": run.id,
            "name": style.names[run.id],
            "site": site,
            "coordinates": kind,
            **found.by_heading(),
        }
        for run, _, positions in measured
        for (site, kind), found in positions.items()
    ]
    return tabulate("position", "Prior against posterior", POSITION_NOTE, rows)


def use_table(runs: Sequence[Run], style: RunStyles) -> Table:
    """Tabulate what the vectors of each run do, as stored in ``use.json``."""
    rows = [_use(run, style, use) for run in runs if (use := run.record(USE)) is not None]
    return tabulate("use", "What vectors do", USE_NOTE, rows)


def bridge_table(runs: Sequence[Run], style: RunStyles) -> Table:
    """Tabulate how far apart two domains are behind each prompt, as stored in ``bridge.json``."""
    rows: list[dict[str, Cell]] = [
        {
            "run": run.id,
            "name": style.names[run.id],
            "other domain": bridge["settings"]["other"]["name"],
            "site": bridge["site"],
            "documents": bridge["settings"]["documents"],
            "separation": bridge["ratio"],
            "separation, 95 %": _between(*bridge["interval"]),
        }
        for run in runs
        if (bridge := run.record(BRIDGE)) is not None
    ]
    return tabulate("bridge", "Domains behind the prompt", BRIDGE_NOTE, rows)


def _use(run: Run, style: RunStyles, use: dict[str, Any]) -> dict[str, Cell]:
    heads = [mass for block in use["attention"]["answers"]["by_head"] for mass in block]
    largest = max(use["masked"]["vectors"], key=lambda vector: vector["change"])
    projected = use.get("projected", {})
    return {
        "run": run.id,
        "name": style.names[run.id],
        "examples": use["examples"],
        "loss": use["loss"],
        **_change("all masked", use["masked"]["all"]),
        **_change("one masked, at most", largest),
        **_change("near less far half", use["halves"].get("embed", {}).get("near_less_far")),
        **_change("nearest rows", projected.get("nearest")),
        **_change("nearest less random rows", projected.get("nearest_less_random")),
        "read as a token": sum(vector["read"] for vector in use.get("readout", [])),
        "attention": sum(heads) / len(heads),
    }


def _change(name: str, found: dict[str, Any] | None) -> dict[str, Cell]:
    if found is None:
        return {name: None, f"{name}, 95 %": None}
    return {name: found["change"], f"{name}, 95 %": _between(found["low"], found["high"])}


def _between(low: float | None, high: float | None) -> str | None:
    return None if low is None or high is None else f"{low:.3g} to {high:.3g}"
