"""The page: one HTML file that opens without a network."""

import base64
import hashlib
from collections import Counter
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from pathlib import Path

import jinja2
import plotly.offline

from promptpriors.errors import InputError
from promptpriors.figures import run_styles, setting_of
from promptpriors.figures.styles import MARKS
from promptpriors.files import write_bytes
from promptpriors.paths import check_output, resolved
from promptpriors.report.charts import explore
from promptpriors.report.claims import claims, numbers_of
from promptpriors.report.formatting import fixed, significant, whole
from promptpriors.report.groups import MapCache, sections
from promptpriors.report.run_table import columns, facts, rows
from promptpriors.report.study import studies
from promptpriors.report.tables import read_tables
from promptpriors.runs import Run
from promptpriors.runs.folder import whole_runs
from promptpriors.runs.study_results import QUESTIONS
from promptpriors.verdicts.study_tables import NOTES

LIMIT = 15_000_000
"""Bytes that the page should not exceed: charts are thinned until it does not."""
MARK = b'<meta name="generator" content="promptpriors">'
"""Stands at the beginning of every page."""
SPARE = 200_000
"""Bytes kept for what stands around the charts."""
SCRIPTS = ("page.js", "download.js", "chart.js", "marks.js", "vectors.js", "charts.js", "study.js")
STYLES = ("page.css", "charts.css", "claims.css", "study.css")


def build(runs_dir: Path) -> str:
    """HTML page about the runs below ``runs_dir``.

    Raises:
        InputError: if there is no such folder or no run in it.
    """
    runs = whole_runs(runs_dir)
    if not runs:
        raise InputError(
            f"{runs_dir} holds no runs; `promptpriors run CONFIG.toml --runs {runs_dir}` makes one"
        )
    style = run_styles(runs)
    maps = MapCache(runs_dir)
    table = columns(runs)
    shown = rows(runs, table, style)
    library, script = plotly.offline.get_plotlyjs(), _assets(SCRIPTS)
    folder = resolved(runs_dir)  # its usual name says nothing without the folder above it
    above = f"{folder.parent.name}/" if folder.name == "runs" else ""
    parts = {
        "name": above + folder.name,
        "summary": _summary(runs),
        "columns": table,
        "several": len({setting_of(run) for run in runs}) > 1,
        "rows": shown,
        "sections": sections(runs, style, maps),
        "claims": claims(runs_dir),
        "compared": read_tables(runs_dir),
        "studies": studies(runs_dir, runs, style),
        "details": [(row, facts(row.run), row.run.config_text()) for row in shown],
        "clouds": list(maps.points.values()),
        "css": _assets(STYLES),
        "policy": _policy(library, script),
        "plotly": library,
        "script": script,
    }
    template = _template()
    page = template.render(**parts, explorer=None)
    explorer = explore(runs_dir, runs, style, maps, LIMIT - SPARE - len(page.encode()))
    return template.render(**parts, explorer=explorer) if explorer else page


def write_report(runs_dir: Path, out: Path | None = None) -> Path:
    """Write the page about a folder of runs.

    Raises:
        InputError: as ``build``, and if the page can't be written.
    """
    out = out or runs_dir / "report.html"
    check_page(out)
    content = build(runs_dir).encode()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(out, content)
    except OSError as error:
        raise InputError(
            f"the page {out} can't be written ({error.strerror}); give another by --out"
        ) from None
    return out


def check_page(out: Path) -> None:
    """Refuse to write a page over anything but an earlier one.

    Raises:
        InputError: if another file is there.
    """
    check_output(out, MARK, "report")


@cache
def _template() -> jinja2.Template:
    """The page's template; everything that is put in is escaped unless it says otherwise."""
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=jinja2.FunctionLoader(_asset),
    )
    environment.filters |= {"fixed": fixed, "significant": significant, "whole": whole}
    environment.filters |= {"headline": _headline, "numbers": numbers_of}
    environment.globals |= {"marks": MARKS, "notes": NOTES, "questions": QUESTIONS}
    return environment.get_template("page.html")


def _asset(name: str) -> str:
    return files("promptpriors.report").joinpath(name).read_text(encoding="utf-8")


def _assets(names: Iterable[str]) -> str:
    return "".join(_asset(name) for name in names)


def _policy(*scripts: str) -> str:
    """What the browser may do: run these scripts and no others, and ask nobody for anything.

    ``unsafe-eval`` is for plotly's WebGL, which compiles its own drawing functions.
    """
    hashes = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts]
    allowed = " ".join(f"'sha256-{value}'" for value in hashes)
    return (
        f"default-src 'none'; script-src {allowed} 'unsafe-eval'; "
        "style-src 'unsafe-inline'; img-src data: blob:"
    )


def _summary(runs: list[Run]) -> str:
    counts = Counter(run.status for run in runs)
    parts = [f"{counts[s]} {s}" for s in ("done", "failed", "unfinished") if counts[s]]
    return f"{len(runs)} run{'s' if len(runs) > 1 else ''}: {', '.join(parts)}"


def _headline(error: str) -> str:
    """The line of an error that says most: the last one of a traceback, else the first."""
    lines = error.splitlines() or [""]
    return lines[-1 if lines[0].startswith("Traceback") else 0]
