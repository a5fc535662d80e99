"""Names of runs that are shown together, and the settings that runs have in common."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from promptpriors.files import canonical
from promptpriors.runs.run import Run

Item = TypeVar("Item")
Key = TypeVar("Key", bound=Hashable)
BASELINE = "no prompt"


class Label(NamedTuple):
    """Name of a run among others, and the number of its variant among its prior's runs."""

    name: str
    variant: int


def labels_of(runs: Sequence[Run]) -> dict[str, Label]:
    """Label each run, by id: its prior and the settings that tell it from other runs of that.

    The beginning of the id is added where labels would be the same.
    """
    labels: dict[str, Label] = {}
    for mine in grouped(runs, setting_of).values():
        for alike in grouped(mine, prior_of).values():
            variants = _variants(alike)
            kinds = sorted(set(variants))
            for run, variant in zip(alike, variants, strict=True):
                name = " · ".join([prior_of(run), *variant, f"seed {run.config.get('seed', 0)}"])
                labels[run.id] = Label(name, kinds.index(variant))
        counts = Counter(labels[run.id].name for run in mine)
        for run in mine:
            name, variant = labels[run.id]
            if counts[name] > 1:
                labels[run.id] = Label(f"{name} · {run.id[:6]}", variant)
    return labels


def prior_of(run: Run) -> str:
    """Name a run's prior, such as ``gaussian``; without prompt vectors ``no prompt``.

    A prior made of others names them, such as ``matched(gaussian)``. Priors chosen per site are
    called by the one that the others replace.
    """
    return BASELINE if run.config["prompt"]["mode"] == "none" else _spoken(run.config["prior"])


def _spoken(prior: Mapping[str, Any]) -> str:
    inner = [_spoken(v) for v in prior.values() if isinstance(v, Mapping) and "name" in v]
    return str(prior["name"]) + (f"({', '.join(inner)})" if inner else "")


def setting_of(run: Run) -> str:
    """Write model and task as one string; runs are compared only where it is equal.

    Paths are left out of the task, since they say where data lie and not what they are.
    """
    task = run.config["task"]
    kept = {k: v for k, v in task.items() if k != "path" and not k.endswith("_path")}
    return canonical([run.config["model"], kept])


def grouped(items: Iterable[Item], key: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    """Put items with equal keys together, in the order in which the keys first occur."""
    found: dict[Key, list[Item]] = {}
    for item in items:
        found.setdefault(key(item), []).append(item)
    return found


def _variants(runs: Sequence[Run]) -> list[tuple[str, ...]]:
    """Of each run the settings in which the runs differ, as ``key=value``."""
    sections = ("prior", "prompt", "train")
    flat = [_flatten({k: run.config.get(k, {}) for k in sections}) for run in runs]
    keys = dict.fromkeys(key for settings in flat for key in settings)
    differing = [key for key in keys if len({settings.get(key) for settings in flat}) > 1]
    return [
        tuple(f"{key.partition('.')[2]}={found[key]}" for key in differing if key in found)
        for found in flat
    ]


def _flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, inner in value.items():
        path = f"{prefix}{key}"
        flat |= _flatten(inner, f"{path}.") if isinstance(inner, Mapping) else {path: str(inner)}
    return flat
