"""Runs in folders and packed files: names, files, locks; written atomically, read strictly."""

from promptpriors.runs.charts import (
    Chart,
    Map,
    list_charts,
    read_chart,
    read_map,
    thinned,
    write_chart,
    write_map,
)
from promptpriors.runs.folder import find_run, has_run, is_done, list_runs, read_run
from promptpriors.runs.identity import run_id
from promptpriors.runs.run import Run
from promptpriors.runs.trained import load_prompt

__all__ = [
    "Chart",
    "Map",
    "Run",
    "find_run",
    "has_run",
    "is_done",
    "list_charts",
    "list_runs",
    "load_prompt",
    "read_chart",
    "read_map",
    "read_run",
    "run_id",
    "thinned",
    "write_chart",
    "write_map",
]
