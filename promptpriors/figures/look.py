"""What runs are called and how they are drawn, the same in every figure of a page."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from promptpriors.figures.canvas import NEUTRAL
from promptpriors.files import canonical
from promptpriors.runs import Run

PALETTE = (
    "#3399dd", "#ee4466", "#889900", "#994499", "#007744", "#dd6699", "#776611", "#6655cc",
)  # fmt: skip
"""Colours that stay apart under the three kinds of colour blindness, on white and on black."""

SYMBOLS = ("circle", "square", "diamond", "triangle-up", "hexagon", "triangle-down", "star")
DASHES = ("solid", "dot", "dash", "dashdot", "longdash")
BASELINE = "no prompt"
COMPARED = ("prior", "prompt", "train")
"""Sections of a config that may tell runs on one model and task apart."""


class Style(NamedTuple):
    """A prior's colour and marker; the pair is unique for the first 56 priors."""

    colour: str
    symbol: str


@dataclass(frozen=True)
class Look:
    """How the runs of a page are shown.

    Attributes:
        styles: prior name to colour and marker; the seeds of a prior share them.
        names: run id to its name: the prior and what tells the run from that prior's others.
        dashes: run id to its line; settings of one prior differ, seeds do not.
    """

    styles: Mapping[str, Style]
    names: Mapping[str, str]
    dashes: Mapping[str, str]

    def style(self, run: Run) -> Style:
        """Colour and marker of a run's prior."""
        return self.styles[prior_of(run)]


def prior_of(run: Run) -> str:
    """The name of a run's prior, such as ``gaussian``; without prompt vectors ``no prompt``.

    A prior made of others names them, such as ``matched(gaussian)``. Priors chosen per site are
    called by the one that the others replace.
    """
    if run.config["prompt"]["mode"] == "none":
        return BASELINE
    return _spoken(run.config["prior"])


def _spoken(prior: Mapping[str, Any]) -> str:
    inner = [_spoken(v) for v in prior.values() if isinstance(v, Mapping) and "name" in v]
    return str(prior["name"]) + (f"({', '.join(inner)})" if inner else "")


def look(runs: Sequence[Run]) -> Look:
    """Choose colours and names for the runs that are shown together."""
    priors = sorted({prior_of(run) for run in runs} - {BASELINE})
    styles = {
        prior: Style(PALETTE[i % len(PALETTE)], SYMBOLS[i % len(SYMBOLS)])
        for i, prior in enumerate(priors)
    } | {BASELINE: Style(NEUTRAL, "circle")}
    names: dict[str, str] = {}
    dashes: dict[str, str] = {}
    for mine in _by(runs, setting_of):
        for alike in _by(mine, prior_of):
            variants = _variants(alike)
            kinds = sorted(set(variants))
            for run, variant in zip(alike, variants, strict=True):
                parts = [prior_of(run), *variant, f"seed {run.config['seed']}"]
                names[run.id] = " · ".join(parts)
                dashes[run.id] = DASHES[kinds.index(variant) % len(DASHES)]
        names |= _told_apart({run.id: names[run.id] for run in mine})
    return Look(styles, names, dashes)


def setting_of(run: Run) -> str:
    """Model and task as one string: runs are compared only where it is equal.

    Paths are left out of the task, since they say where data lie and not what they are.
    """
    task = run.config["task"]
    kept = {k: v for k, v in task.items() if k != "path" and not k.endswith("_path")}
    return canonical([run.config["model"], kept])


def _by(runs: Sequence[Run], key: Callable[[Run], str]) -> list[list[Run]]:
    """Runs with equal keys together, in the order in which the keys first occur."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(key(run), []).append(run)
    return list(found.values())


def _told_apart(names: Mapping[str, str]) -> dict[str, str]:
    """Names with the beginning of the run's id added where they would be the same."""
    counts = Counter(names.values())
    return {i: name if counts[name] == 1 else f"{name} · {i[:6]}" for i, name in names.items()}


def _variants(runs: Sequence[Run]) -> list[tuple[str, ...]]:
    """Of each run the settings in which the runs differ, as ``key=value``."""
    flat = [_flatten({k: run.config.get(k, {}) for k in COMPARED}) for run in runs]
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
