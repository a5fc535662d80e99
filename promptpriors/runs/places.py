"""Relative paths of a config, found again beside the config or the run that names them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from promptpriors.errors import InputError
from promptpriors.models import MODELS
from promptpriors.runs.run import Run

FOLDERS = ("store:", "runs:")
"""Beginnings of spaces that name a folder."""
ABOVE = 3
"""Folders above a run's in which its relative paths are looked for."""


def anchored(config: Mapping[str, Any], places: Sequence[Path]) -> dict[str, Any]:
    """Copy a config, its relative paths as they are found.

    A path that exists as it stands, from the working folder, stays as it is; otherwise the first of
    ``places`` that has it makes it absolute. What is nowhere stays as well: whoever opens it says
    so. Paths are no part of a run's id.
    """

    def file(name: str) -> str:
        return _found(name, places, Path.exists)

    found = dict(config)
    model, task = found.get("model"), found.get("task")
    if isinstance(model, str) and model not in MODELS:
        found["model"] = _found(model, places, Path.is_dir)
    if isinstance(task, Mapping):
        found["task"] = {
            key: file(value) if _is_path(key) and isinstance(value, str) else value
            for key, value in task.items()
        }
    for name in ("prior", "train"):
        if isinstance(found.get(name), Mapping):
            found[name] = _spaces(found[name], file)
    return found


def places_of(run: Run) -> list[Path]:
    """Folders in which a run's relative paths are looked for: that of the runs and those above."""
    return list(run.folder.absolute().parents)[:ABOVE]


def config_of(run: Run, model: str | None = None) -> dict[str, Any]:
    """The config of a run with its paths found again, and the model where it is said to be now."""
    config = run.config if model is None else {**run.config, "model": model}
    return anchored(config, places_of(run))


def not_found(run: Run, model: str, error: InputError) -> InputError:
    """The error for a run's model that can't be loaded, with where it was looked for."""
    if model in MODELS or Path(model).expanduser().is_dir():
        return error
    looked = ", ".join(str(place) for place in (Path.cwd(), *places_of(run)))
    return InputError(
        f"run {run.id}: {str(error).splitlines()[0]}\nA folder of that name was looked for in "
        f"{looked}; say where the model is by --model"
    )


def _found(name: str, places: Sequence[Path], there: Callable[[Path], bool]) -> str:
    try:
        path = Path(name).expanduser()
        if path.is_absolute() or there(path):
            return name
        return next((str((p / path).resolve()) for p in places if there(p / path)), name)
    except (OSError, RuntimeError, ValueError):  # no path: a name too long, NUL, an unknown home
        return name


def _is_path(key: str) -> bool:
    return key == "path" or key.endswith("_path")


def _spaces(value: Any, file: Callable[[str], str]) -> Any:
    """A prior's or regulariser's config with the folders of its spaces found."""
    if isinstance(value, Mapping):
        return {
            key: _space(inner, file) if key == "space" else _spaces(inner, file)
            for key, inner in value.items()
        }
    return [_spaces(inner, file) for inner in value] if isinstance(value, list) else value


def _space(space: Any, file: Callable[[str], str]) -> Any:
    if isinstance(space, list):
        return [_space(part, file) for part in space]
    if not isinstance(space, str):
        return space
    for beginning in FOLDERS:
        if space.startswith(beginning):
            return beginning + file(space.removeprefix(beginning))
    site, task, path = [*space.split(":", 2), "", ""][:3]
    return f"{site}:{task}:{file(path)}" if path else space
