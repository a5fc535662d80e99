"""Comparison of a folder's runs: positions, priors, pairs of priors, studies."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from promptpriors.compare.tables import (
    Measured,
    bridge_table,
    grouped,
    pairs_table,
    position_table,
    priors_table,
    use_table,
)
from promptpriors.config.run import parse_config
from promptpriors.errors import InputError, note
from promptpriors.figures.styles import run_styles
from promptpriors.measure.domain_gap import measure_bridge
from promptpriors.measure.effects import measure_use
from promptpriors.measure.position import ReferencePoints, ends_of, position
from promptpriors.progress import OnProgress
from promptpriors.running.workspace import Workspace
from promptpriors.runs import Run
from promptpriors.runs.folder import whole_runs
from promptpriors.runs.labels import BASELINE, prior_of, setting_of
from promptpriors.runs.places import config_of
from promptpriors.runs.positions import FILE, Positions, read_positions, write_positions
from promptpriors.runs.study_results import write_study_result
from promptpriors.runs.tables import Table
from promptpriors.verdicts.outcomes import read_settings
from promptpriors.verdicts.results import study_results
from promptpriors.verdicts.study_tables import study_tables


def compare(
    runs_dir: Path,
    workspace: Workspace,
    on_progress: OnProgress,
    *,
    use: int = 0,
    bridge: int = 0,
    model: str | None = None,
) -> list[Table]:
    """Compare the finished runs of a folder.

    What can't be compared is named and left out. Where the folder has the record of a study, its
    result is stored beside the record, and its tables come last.

    Args:
        runs_dir: the folder.
        workspace: has models and tasks.
        on_progress: called with stage, share done, and what is known so far.
        use: validation examples by which to measure what each run's vectors do; 0 shows only what
            was measured before.
        model: where the runs' model is now, if not where they recorded it.
        bridge: documents of C4 and of each run's task by which to measure whether its prompt brings
            them closer; 0 as for ``use``.

    Raises:
        InputError: if there is neither a finished run with a prompt nor a study, or if the record
            of a study is damaged.
    """
    studies = study_results(read_settings(runs_dir))
    for result in studies:
        write_study_result(runs_dir, result)
    listed = whole_runs(runs_dir)
    for run in listed:
        if run.result is None:
            note(f"left out: run {run.id} is {run.status}")
    runs = [run for run in listed if run.result is not None]
    style = run_styles(runs)
    trained = _with_positions([run for run in runs if prior_of(run) != BASELINE])
    if not trained and not studies:
        raise InputError(
            f"{runs_dir} has no finished run with the vectors of a prompt; `promptpriors run` "
            "makes one"
        )
    if len({setting_of(run) for run in runs}) > 1:
        note("the folder mixes models or tasks; each is compared within itself alone")
    references = ReferencePoints(runs_dir, workspace)
    measured = []
    for number, run in enumerate(trained):
        on_progress("measuring", number / len(trained), {})
        try:
            measured.append(_measure(run, references, model))
        except InputError as error:
            note(f"left out of positions: run {run.id}: {error}")
            continue
        further: dict[str, Callable[[], object]] = {}
        if use:
            further["use"] = partial(measure_use, run, workspace, examples=use, model=model)
        if bridge:
            further["bridge"] = partial(
                measure_bridge, run, workspace, documents=bridge, model=model
            )
        for name, measure in further.items():
            try:
                measure()
            except InputError as error:
                note(f"the {name} of run {run.id} is left out: {error}")
    groups = grouped(measured)
    return [
        position_table(measured, style),
        priors_table(groups),
        pairs_table(groups),
        use_table(trained, style),
        bridge_table(trained, style),
        *study_tables(studies),
    ]


def _with_positions(runs: Sequence[Run]) -> list[Run]:
    """The runs whose vectors are there, or were when they were compared before."""
    known = [run for run in runs if run.has_vectors or run.has_record(FILE)]
    if without := [run.id for run in runs if run not in known]:
        some = ", ".join(without[:3]) + (", …" if len(without) > 3 else "")
        note(
            f"left out of positions: {len(without)} runs without the vectors of their start "
            f"({some}); compare before packing, or pack with --vectors all"
        )
    return known


def _measure(run: Run, references: ReferencePoints, model: str | None) -> Measured:
    """Positions of a run: stored ones if they were measured against the same points."""
    if not run.has_vectors:
        return Measured(run, {}, read_positions(run) or {})
    config = parse_config(config_of(run, model))
    revision = str(run.metadata().get("model"))
    if model is not None and (now := references.revision(model)) != revision:
        note(f"model {model!r} is at {now}, the prompt of run {run.id} was trained at {revision}")
    ends = {site: ends_of(run, site) for site in config.prompt.sites or []}
    against = {site: references.names(revision, site) for site in ends}
    known = read_positions(run, against)
    if known is not None:
        return Measured(run, ends, known)
    positions: Positions = {}
    for site, vectors in ends.items():
        if config.prompt.mode == "kv":  # keys and values are no points of the site
            positions[site, "raw"] = position(vectors, None, None, None)
            continue
        cloud = references.cloud(config, revision, site)
        prior = references.prior(config, site)
        positions[site, "raw"] = position(vectors, cloud, prior, None)
        view = references.view(config, site)
        if view is not None:
            visible = references.cloud(config, revision, site, seen=True)
            positions[site, "visible"] = position(vectors, visible, prior, view)
    write_positions(run, positions, against)
    return Measured(run, ends, positions)
