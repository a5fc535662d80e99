"""Run folders: their names, files, locks; written atomically, read back strictly."""

from promptpriors.runs.charts import Chart, list_charts, read_chart, thinned, write_chart
from promptpriors.runs.folder import Run, find_run, list_runs, load_prompt, read_run
from promptpriors.runs.identity import run_id
from promptpriors.runs.maps import Map, read_map, write_map

__all__ = [
    "Chart",
    "Map",
    "Run",
    "find_run",
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
