"""What a folder of runs says: each run's position, priors over their seeds, pairs of priors."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from promptpriors.compare.bridge import bridge_table
from promptpriors.compare.prior_tables import (
    Measured,
    grouped,
    pairs_table,
    priors_table,
)
from promptpriors.compare.run_tables import use_table
from promptpriors.config.run import RunConfig, parse_config
from promptpriors.errors import InputError, note
from promptpriors.figures.styles import RunStyles, run_styles
from promptpriors.measure.domain_gap import measure_bridge
from promptpriors.measure.effects import measure_use
from promptpriors.measure.position import Ends, ends_of, position
from promptpriors.measure.reference_points import ReferencePoints
from promptpriors.measure.stored import Positions, store_positions, stored_positions
from promptpriors.running.workspace import Workspace
from promptpriors.runs import Run, list_runs
from promptpriors.runs.labels import BASELINE, prior_of, setting_of
from promptpriors.runs.tables import Cell, Table, tabulate
from promptpriors.types import OnProgress, Site
from promptpriors.verdicts.study_tables import read_study_tables

POSITION_NOTE = (
    "A row a run, site and kind of coordinates: raw as they are stored, visible as the block "
    "reads them (deep-cut alone). Nulls of the distance to the nearest real point: moved, the "
    "start plus random displacements as long as training's, whose number is the change; redrawn, "
    "fresh draws of the prior; normed, draws of the Gaussian fitted to the points at the vectors' "
    "norms. p: share of null prompts at least as near. Below a reach ratio of 3 where a prompt "
    "ended can't be tested."
)


def compare(
    runs_dir: Path, workspace: Workspace, on_progress: OnProgress, *, use: int = 0, bridge: int = 0
) -> list[Table]:
    """Compare the finished runs of a folder; what can't be compared is named and left out.

    Where the folder has the record of a study, its tables come last.

    Args:
        runs_dir: the folder.
        workspace: has models and tasks.
        on_progress: called with stage, share done, and what is known so far.
        use: validation examples by which to measure what each run's vectors do; 0 shows only what
            was measured before.
        bridge: documents of C4 and of each run's task by which to measure whether its prompt brings
            them closer; 0 as for ``use``.

    Raises:
        InputError: if there is neither a finished run with a prompt nor a study, or if the record
            of a study is damaged.
    """
    studies = read_study_tables(runs_dir)
    runs = [run for run in list_runs(runs_dir) if _finished(run)]
    style = run_styles(runs)
    trained = _known([run for run in runs if prior_of(run) != BASELINE])
    if not trained and not studies:
        raise InputError(
            f"{runs_dir} has no finished run with a prompt; `promptpriors run` makes one"
        )
    if len({setting_of(run) for run in runs}) > 1:
        note("the folder mixes models or tasks; each is compared within itself alone")
    places = ReferencePoints(runs_dir, workspace)
    measured = []
    for number, run in enumerate(trained):
        on_progress("measuring", number / len(trained), {})
        measured.append(_measure(run, places))
        if use:
            _further(
                lambda run=run: measure_use(run, workspace, examples=use),
                f"the use of run {run.id}",
            )
        if bridge:
            _further(
                lambda run=run: measure_bridge(run, workspace, documents=bridge),
                f"the bridge of run {run.id}",
            )
    groups = grouped(measured)
    return [
        tabulate("position", "Prior against posterior", POSITION_NOTE, _positions(measured, style)),
        priors_table(groups),
        pairs_table(groups),
        use_table(trained, style),
        bridge_table(trained, style),
        *studies,
    ]


def _known(runs: Sequence[Run]) -> list[Run]:
    """The runs whose vectors are there, or were when they were compared before."""
    found = [run for run in runs if run.has_vectors or run.record("position.json") is not None]
    if len(found) < len(runs):
        without = [run.id for run in runs if run not in found]
        some = ", ".join(without[:3]) + (", …" if len(without) > 3 else "")
        note(f"left out of positions: {len(without)} runs without prompt.safetensors ({some})")
    return found


def _further(measure: Callable[[], object], what: str) -> None:
    """What is measured besides positions; what can't be is named and left out."""
    try:
        measure()
    except InputError as error:
        note(f"{what} is left out: {error}")


def _finished(run: Run) -> bool:
    if run.result is None:
        note(f"left out: run {run.id} is {run.status}")
    return run.result is not None


def _measure(run: Run, places: ReferencePoints) -> Measured:
    """Where a run's vectors lie; once measured against the same points it stands in its folder."""
    if not run.has_vectors:
        return Measured(run, {}, stored_positions(run) or {})
    config = parse_config(run.config)
    revision = str(run.about().get("model"))
    sites = config.prompt.sites or []
    ends = {site: ends_of(run, site) for site in sites}
    against = {site: places.names(revision, site) for site in sites}
    positions = stored_positions(run, against)
    if positions is None:
        positions = _positions_of(config, revision, ends, places)
        store_positions(run.folder, positions, against)
    return Measured(run, ends, positions)


def _positions_of(
    config: RunConfig, revision: str, ends: Mapping[Site, Ends], places: ReferencePoints
) -> Positions:
    positions: Positions = {}
    for site, here in ends.items():
        if config.prompt.mode == "kv":  # keys and values are no points of the site
            positions[site, "raw"] = position(here, None, None, None)
            continue
        cloud, prior = places.cloud(config, revision, site), places.prior(config, site)
        positions[site, "raw"] = position(here, cloud, prior, None)
        view = places.view(config, site)
        if view is not None:
            seen = places.cloud(config, revision, site, seen=True)
            positions[site, "visible"] = position(here, seen, prior, view)
    return positions


def _positions(measured: Sequence[Measured], style: RunStyles) -> list[dict[str, Cell]]:
    return [
        {
            "run": found.run.id,
            "name": style.names[found.run.id],
            "site": site,
            "coordinates": kind,
            **place.record,
        }
        for found in measured
        for (site, kind), place in found.positions.items()
    ]
