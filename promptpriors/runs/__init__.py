"""Run folders: their names, files, locks; written atomically, read back strictly."""

from promptpriors.runs.folder import Run, find_run, list_runs, load_prompt, read_run
from promptpriors.runs.identity import run_id
from promptpriors.runs.maps import Map, read_map, write_map

__all__ = [
    "Map",
    "Run",
    "find_run",
    "list_runs",
    "load_prompt",
    "read_map",
    "read_run",
    "run_id",
    "write_map",
]
