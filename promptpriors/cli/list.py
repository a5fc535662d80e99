"""The command `list`: names that configs and commands take."""

import ast
import inspect
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import typer

from promptpriors.cli.options import Json, Runs, check_runs
from promptpriors.cli.output import print_json, print_table, remark
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
    if kind == "runs":
        check_runs(runs)
    rows = _rows(kind, runs)
    if as_json:
        print_json(rows)
    elif rows:
        names = dict.fromkeys(name for row in rows for name in row)
        last = [name for name in ("seconds",) if name in names]
        print_table(rows, [*(name for name in names if name not in last), *last])
    else:
        remark(f"there are no {kind} in {runs}")


def _rows(kind: str, folder: Path) -> Rows:
    match kind:
        case "priors":
            return read_methods("priors", "PRIORS")
        case "tasks":
            return read_methods("data", "TASKS")
        case "models":
            from promptpriors.models import MODEL_NOTES, MODELS

            rows = [*methods(MODELS), {"name": "ID or FOLDER", "about": HUB}]
            return [{**row, "note": MODEL_NOTES.get(row["name"], "")} for row in rows]
        case "modes":
            from promptpriors.prompts import MODES

            return [{"name": name, "about": mode.about} for name, mode in MODES.items()]
        case "regularisers":
            from promptpriors.training import REGULARISERS

            return methods(REGULARISERS, of_files=False)
        case _:
            from promptpriors.runs import list_runs

            return [_run(run) for run in list_runs(folder)]


def read_methods(package: str, table: str) -> Rows:
    """Read a table of files from their source: to import them would import torch, for seconds."""
    folder = files("promptpriors") / package
    module = ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))
    found = next(
        node.value
        for node in module.body
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.value, ast.Dict)
        and ast.unparse(node.target) == table
    )
    rows = []
    for key, value in zip(found.keys, found.values, strict=True):
        file, _, name = ast.unparse(value).partition(".")
        source = ast.parse((folder / f"{file}.py").read_text(encoding="utf-8"))
        (taken,) = [
            n.args for n in source.body if isinstance(n, ast.FunctionDef) and n.name == name
        ]
        parameters = [
            word.arg if default is None else f"{word.arg}={ast.unparse(default)}"
            for word, default in zip(taken.kwonlyargs, taken.kw_defaults, strict=True)
            if word.arg not in SUPPLIED
        ]
        about = (ast.get_docstring(source) or "").partition("\n")[0].strip()
        row = {"name": ast.literal_eval(key or value), "about": about}
        rows.append(row | {"parameters": ", ".join(parameters)})
    return sorted(rows, key=lambda row: row["name"])


def _run(run: Any) -> dict[str, Any]:
    train, result = run.config["train"], run.result or {}
    rate = None if train.get("frozen") else train.get("lr")
    return {
        "id": run.id,
        "status": run.status,
        "model": run.config["model"],
        "task": run.config["task"]["name"],
        "data": run.config["task"].get("path"),
        "prior": run.config["prior"]["name"],
        "mode": run.config["prompt"]["mode"],
        "seed": run.config.get("seed", 0),
        "steps": train.get("steps"),
        "rate": f"{rate['relative']:g} relative" if isinstance(rate, dict) else rate,
        "val_loss": result.get("val_loss"),
        **{name: value for name, value in result.get("scores", {}).items() if name != "loss"},
        "seconds": result.get("seconds"),
    }


def methods(table: Mapping[str, Callable[..., Any]], *, of_files: bool = True) -> Rows:
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
