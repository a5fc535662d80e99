"""The command `list`: names that configs and commands take."""

import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from promptpriors.cli.options import Json, Runs
from promptpriors.cli.output import print_json, print_table
from promptpriors.errors import unknown

Rows = list[dict[str, Any]]

INVENTORY = ("priors", "tasks", "models", "modes", "regularisers", "runs")
SUPPLIED = ("generator", "folder", "dtype")
"""Keyword parameters that the code supplies and a config does not take."""
HUB = "a decoder-only model or a T5 of Hugging Face's, from the hub or from a folder"


def list_(
    kind: Annotated[str, typer.Argument(metavar="priors|tasks|models|modes|regularisers|runs")],
    runs: Runs = Path("runs"),
    as_json: Json = False,
) -> None:
    """Priors, tasks, models, modes, regularisers or runs, as a table.

    Example: promptpriors list priors
    """
    if kind not in INVENTORY:
        raise unknown("kind", kind, INVENTORY)
    rows = _rows(kind, runs)
    if as_json:
        print_json(rows)
    elif rows:
        print_table(rows, list(rows[0]))
    else:
        sys.stderr.write(f"there are no {kind} in {runs}\n")


def _rows(kind: str, folder: Path) -> Rows:
    match kind:
        case "priors":
            from promptpriors.priors import PRIORS

            return _methods(PRIORS)
        case "tasks":
            from promptpriors.data import TASKS

            return _methods(TASKS)
        case "models":
            from promptpriors.models import MODEL_NOTES, MODELS

            rows = [*_methods(MODELS), {"name": "ID or FOLDER", "about": HUB}]
            return [{**row, "note": MODEL_NOTES.get(row["name"], "")} for row in rows]
        case "modes":
            from promptpriors.prompts import MODES

            return [{"name": name, "about": mode.about} for name, mode in MODES.items()]
        case "regularisers":
            from promptpriors.training import REGULARISERS

            return _methods(REGULARISERS, of_files=False)
        case _:
            from promptpriors.runs import list_runs

            return [_run(run) for run in list_runs(folder)]


def _run(run: Any) -> dict[str, Any]:
    return {
        "id": run.id,
        "status": run.status,
        "model": run.config["model"],
        "task": run.config["task"]["name"],
        "prior": run.config["prior"]["name"],
        "mode": run.config["prompt"]["mode"],
        "seed": run.config["seed"],
        "val_loss": (run.result or {}).get("val_loss"),
    }


def _methods(table: Mapping[str, Callable[..., Any]], *, of_files: bool = True) -> Rows:
    """A row a method, with the first line of its file's docstring, or of its own."""
    return [
        {
            "name": name,
            "about": _about(inspect.getmodule(function) if of_files else function),
            "parameters": _parameters(function),
        }
        for name, function in sorted(table.items())
    ]


def _about(documented: Any) -> str:
    return (inspect.getdoc(documented) or "").partition("\n")[0].strip()


def _parameters(function: Callable[..., Any]) -> str:
    shown = []
    for name, p in inspect.signature(function).parameters.items():
        if p.kind is inspect.Parameter.KEYWORD_ONLY and name not in SUPPLIED:
            required = p.default is inspect.Parameter.empty
            shown.append(name if required else f"{name}={p.default!r}")
    return ", ".join(shown)
