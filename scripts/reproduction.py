"""The tables and pictures of docs/results/reproduction, from the results that are stored there.

    python scripts/reproduction.py docs/results/reproduction configs/paper/analysis.toml

Reads FOLDER/runs; writes FOLDER/tables.md and, of each study and setting, a forest plot and curves
as PNG with their numbers as JSON. Nothing is measured or trained. FOLDER/float32 holds runs of the
screening that were made in float32 as well: the same configs but for the precision.
"""

import json
import math
import statistics
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from study_figures import bands, forest, save

from promptpriors.analysis.equality import equality
from promptpriors.analysis.pooled import pool
from promptpriors.analysis.significance import t_interval
from promptpriors.errors import InputError
from promptpriors.figures.styles import arm_styles, run_styles
from promptpriors.files import write_bytes
from promptpriors.paper import claims_table, judge_claims, read_analysis
from promptpriors.paper.values import label_of, valued
from promptpriors.report.study_curves import BEST, curves_of
from promptpriors.runs import Run, list_runs
from promptpriors.runs.claims import Claim
from promptpriors.runs.labels import prior_of
from promptpriors.runs.studies import BASELINES, CONTROLS
from promptpriors.runs.study_results import Contrast, SettingResult, StudyResult
from promptpriors.verdicts.outcomes import RunOutcome, Setting, read_settings
from promptpriors.verdicts.results import study_results
from promptpriors.verdicts.study_tables import study_tables

SHOWN: dict[str, Sequence[str]] = {
    "verdicts": ("question", "statistic", "value", "verdict"),
    "arms": ("arm", "kind", "runs", "missing", "mean", "low", "high", "sd", "best rate",
             "mean at the best rate"),
    "differences": ("arm", "difference", "low", "high", "p", "margin", "verdict"),
    "equality": ("first", "second", "difference", "low", "high", "p", "verdict"),
    "plateaus": ("arm", "runs at rest", "loss", "steps to loss", "low", "high", "censored",
                 "less reference", "less reference, low", "less reference, high"),
    "components": ("source", "variance", "share", "df", "note"),
}  # fmt: skip
"""Columns of a study's tables; all of them are in runs/compare/*.csv."""
VALUES = (
    "result.displacement", "position.kept", "position.reach_ratio", "position.moved.effect",
    "position.effective_rank_start", "position.effective_rank_end",
    "position.between_priors_start", "position.between_priors_end",
    "use.halves.embed.far.change", "use.halves.embed.near.change", "bridge.ratio",
)  # fmt: skip
"""What is told of where prompts lie and what they do."""
OBJECTIVE = (
    "result.val_objective_initial", "result.val_objective", "result.val_loss_initial",
    "result.val_loss",
)  # fmt: skip
"""What is told of prompts that were trained on another objective than the answers' loss."""

WITHOUT = {"confirm-tuned": "sigma 0.02"}
"""An arm whose own spread is most of its study's; equality is told without it as well."""

NAMES = {"val_loss": "validation loss, nats per target token"}
"""What a metric is called in a figure."""


def main(folder: Path, analysis: Path) -> None:
    runs = {run.id: run for run in list_runs(folder / "runs")}
    settings = read_settings(folder / "runs")
    claims = judge_claims(read_analysis(analysis), folder / "runs")
    lines = ["# The reproduction: tables", "", f"    {' '.join(['python', *sys.argv])}", ""]
    lines += [
        "Losses are in nats per target token on the validation split. Intervals are 95 %, those of",
        "equality 90 %, as two one-sided tests have them. Where prompts lie is told of their first",
        "site, in raw coordinates; displacement is that of all sites.",
        "",
    ]
    lines += section("The claims", claims_of(claims))
    results = {
        (study.name, result.setting): result
        for study in study_results(settings)
        for result in study.settings
    }
    for setting in settings:
        lines += study(folder, setting, results[setting.study, setting.name], runs)
    lines += section("What it took", taken(settings))
    if (folder / "float32").is_dir():
        lines += section("The precision of the model", precision(folder))
    write_bytes(folder / "tables.md", ("\n".join(lines).rstrip() + "\n").encode())


def claims_of(claims: Sequence[Claim]) -> Iterator[dict[str, Any]]:
    """A row a claim."""
    table = claims_table(claims)
    for values in table.rows:
        row = dict(zip(table.columns, values, strict=True))
        yield {**row, "verdict": f"**{row['verdict']}**"}


def taken(settings: Sequence[Setting]) -> Iterator[dict[str, Any]]:
    """Hours of one core that the runs of each study took; one that two studies have counts once."""
    seen: set[str] = set()
    total = 0.0
    for name in dict.fromkeys(setting.study for setting in settings):
        mine = {
            run.plan.id: run.run.result
            for setting in settings
            for run in setting.runs
            if setting.study == name and run.run and run.run.result and run.plan.id not in seen
        }
        seen |= set(mine)
        hours = sum(result["seconds"] for result in mine.values()) / 3600
        total += hours
        yield {"study": name, "runs": len(mine), "hours of one core": hours}
    yield {"study": "all", "runs": len(seen), "hours of one core": total}


def study(
    folder: Path, setting: Setting, result: SettingResult, runs: Mapping[str, Run]
) -> list[str]:
    """The section of a study in one setting."""
    name = setting.study + (f", {setting.name}" if setting.name else "")
    tables = {
        table.name: [dict(zip(table.columns, row, strict=True)) for row in table.rows]
        for table in study_tables([StudyResult(name=setting.study, settings=[result])])
    }
    lines = [f"## {name}", ""]
    for path in pictures(folder, setting, result, runs):
        lines += [f"![{name}]({path.name})", ""]
    for title, columns in SHOWN.items():
        rows = [{c: row.get(c) for c in columns if c in row} for row in tables[title]]
        lines += section(title.capitalize(), rows, level=3)
    numbers = [{k: v for k, v in row.items() if k not in {"study", "setting", "note"}}
               for row in tables["power"]]  # fmt: skip
    lines += [*section("Power", numbers, level=3), result.power.reason, ""]
    arms = setting.by_arm("arm")
    if setting.study in WITHOUT:
        arm = WITHOUT[setting.study]
        lines += section(
            f"Equality without {arm}, exploratory", equal(setting, arm, result.margin), level=3
        )
    lines += section("Where prompts lie and what they do", lain(arms, "arm", VALUES), level=3)
    if any(run.result and run.result.get("objective") != "answer" for run in trained(arms, runs)):
        lines += section("What the objective shows, and the answers' loss",
                         lain(arms, "arm", OBJECTIVE), level=3)  # fmt: skip
    by_rate: dict[str, list[RunOutcome]] = {}
    for run in (run for found in arms.values() for run in found if run.plan.rate):
        by_rate.setdefault(run.plan.rate, []).append(run)
    if len(by_rate) > 1:
        lines += section("By rate", lain(by_rate, "rate", ("result.val_loss", *VALUES)), level=3)
    return lines


def equal(setting: Setting, arm: str, margin: float | None) -> Iterator[dict[str, Any]]:
    """The pairs of the other arms, with the spread that these have by themselves."""
    runs = [run for name, mine in setting.by_arm("arm").items() if name != arm for run in mine]
    pooled = pool(setting.outcomes(runs))
    for pair in equality(pooled, margin).pairs if margin is not None else ():
        yield {
            "first": pair.first, "second": pair.second, "difference": pair.difference,
            "low": pair.low, "high": pair.high, "p": pair.p, "verdict": pair.verdict,
            "residual sd": pooled.sd,
        }  # fmt: skip


def trained(arms: Mapping[str, Sequence[RunOutcome]], runs: Mapping[str, Run]) -> Iterator[Run]:
    """The runs of all arms that are there."""
    return (runs[run.plan.id] for found in arms.values() for run in found if run.plan.id in runs)


def pictures(
    folder: Path, setting: Setting, result: SettingResult, runs: Mapping[str, Run]
) -> Iterator[Path]:
    """The forest plot and the curves of a setting, where there is something to draw."""
    members = [run.plan for run in setting.runs]
    controls = {m.arm for m in members if m.kind in CONTROLS}
    priors = {
        m.arm: prior_of(runs[m.id])
        for m in reversed(members)
        if m.id in runs and m.kind not in BASELINES
    }
    page_styles = run_styles([runs[m.id] for m in members if m.id in runs])
    styles = arm_styles(dict(reversed(priors.items())), page_styles, controls)
    number = "" if not setting.name else f"-{names_of(setting)}"
    where = folder / f"{setting.study}{number}"
    differences = [effect for contrast in result.contrasts for effect in effect_of(contrast)]
    if differences:
        figure = forest(
            result.contrasts, reference=str(result.reference), margin=result.margin, styles=styles,
            axis=NAMES.get(result.metric, result.metric),
        )  # fmt: skip
        numbers = {"margin": result.margin, "differences": differences}
        yield save(figure, numbers, where.with_name(where.name + "-forest"))[0]
    drawn = curves_of(members, runs, {arm.arm: arm.best_rate for arm in result.arms})
    curves = [c for c, of in zip(drawn.curves, drawn.choices, strict=True) if BEST in of]
    if curves:
        numbers = {
            "curves": [found._asdict() for found in curves],
            "levels": [found._asdict() for found in drawn.levels],
        }
        figure = bands(curves, drawn.levels, styles=styles)
        yield save(figure, numbers, where.with_name(where.name + "-curves"))[0]


def effect_of(contrast: Contrast) -> Iterator[dict[str, Any]]:
    """What is written of a difference that is drawn."""
    if contrast.difference:
        yield {
            "name": contrast.arm, "difference": contrast.difference.value,
            "low": contrast.difference.low, "high": contrast.difference.high,
            "verdict": contrast.verdict.text, "control": contrast.kind in CONTROLS,
        }  # fmt: skip


def names_of(setting: Setting) -> str:
    """A setting's name as part of a file's."""
    kept = "".join(c if c.isalnum() else "-" for c in setting.name)
    return "-".join(filter(None, kept.split("-")))


def lain(
    groups: Mapping[str, Sequence[RunOutcome]], by: str, names: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """A row a group of runs: means over them of what was measured of them."""
    for group, found in groups.items():
        row: dict[str, Any] = {by: group}
        for name in names:
            values = [run.value for run in valued(found, name) if run.value is not None]
            if values:
                row[label_of(name).partition(":")[2]] = mean_of(values)
        yield row


def mean_of(values: Sequence[float]) -> str:
    """A mean with its interval and number."""
    if len(values) < 2:
        return f"{values[0]:.3g} (1)"
    found = t_interval(torch.tensor(values, dtype=torch.float64))
    return f"{found.estimate:.3g} ({found.low:.3g} to {found.high:.3g}; {len(values)})"


def precision(folder: Path) -> list[dict[str, Any]]:
    """Trained runs that were made in both precisions, and the mean of what lies between them."""
    twins = {key(run): run for run in list_runs(folder / "runs") if run.result}
    rows = []
    for run in sorted(list_runs(folder / "float32"), key=lambda run: run.id):
        twin = twins.get(key(run))
        if twin is None or run.result is None or twin.result is None or not run.result["steps"]:
            continue
        one, other = run.result["val_loss"], twin.result["val_loss"]
        name = f"{run.result['prior']} {json.dumps(run.result['prior_config'], sort_keys=True)}"
        rows.append({"prior": name[:60], "float32": one, "bfloat16": other, "apart": other - one})
    apart = [row["apart"] for row in rows]
    if len(apart) < 2:
        return rows
    total = {"prior": f"mean of {len(apart)}", "float32": None, "bfloat16": None}
    return [*rows, {**total, "apart": f"{mean_of(apart)}, sd {statistics.stdev(apart):.3g}"}]


def key(run: Run) -> str:
    """A run's config but for its precision."""
    device = {k: v for k, v in run.config["device"].items() if k != "dtype"}
    return json.dumps({**run.config, "device": device}, sort_keys=True)


def section(title: str, rows: Iterable[Mapping[str, Any]], level: int = 2) -> list[str]:
    """A heading and a table; nothing where there are no rows."""
    rows = list(rows)
    columns = list(dict.fromkeys(column for row in rows for column in row))
    if not columns:
        return []
    lines = [
        f"{'#' * level} {title}",
        "",
        f"| {' | '.join(columns)} |",
        "|---" * len(columns) + "|",
    ]
    lines += [f"| {' | '.join(cell(row.get(column)) for column in columns)} |" for row in rows]
    return [*lines, ""]


def cell(value: Any) -> str:
    """A value of a table."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}" if math.isfinite(value) else ""
    return str(value).replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    try:
        main(*map(Path, sys.argv[1:3]))
    except (InputError, TypeError) as error:
        sys.exit(f"{error}\n{__doc__}")
