"""Tables of a comparison, with a row a run, a prior or a pair of priors."""

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import torch
from torch import Tensor

from promptpriors.analysis.collapse import collapse_over_runs
from promptpriors.analysis.memory import memory
from promptpriors.analysis.significance import label_test, t_interval
from promptpriors.errors import InputError, note
from promptpriors.figures.styles import RunStyles
from promptpriors.files import canonical
from promptpriors.measure.position import Ends
from promptpriors.rng import generator
from promptpriors.runs import Run
from promptpriors.runs.labels import prior_of, setting_of
from promptpriors.runs.positions import NULLS, Positions
from promptpriors.runs.records import read_bridge, read_use
from promptpriors.runs.tables import Cell, Table, tabulate
from promptpriors.types import Site
from promptpriors.verdicts.outcomes import number_at

MOMENTS = ("val_loss_initial", "val_loss", "val_loss_best")
POSITION_NOTE = (
    "A row a run, site and kind of coordinates: raw as they are stored, visible as the block "
    "reads them (deep-cut alone). Nulls of the distance to the nearest real point: moved, the "
    "start plus random displacements as long as training's, whose number is the change; redrawn, "
    "fresh draws of the prior; normed, draws of the Gaussian fitted to the points at the vectors' "
    "norms. p: share of null prompts at least as near. Below a reach ratio of 3 where a prompt "
    "ended can't be tested."
)
USE_NOTE = (
    "Changes of the loss in nats per target token, with 95 % intervals over documents: every "
    "vector masked; the most that masking one alone changes; the near half masked less the far "
    "half masked (by distance to the nearest vocabulary row); every vector as its nearest row, "
    "and that less random rows. attention: share that answer tokens pay to the prompt, mean over "
    "blocks and heads."
)
BRIDGE_NOTE = (
    "Separation of the run's own task from another domain at the input of the last block behind "
    "the trained prompt, over that without it (1: nothing changed, 0: they have met), with a 95 % "
    "interval over documents."
)
PRIORS_NOTE = (
    "A row a prior within one setting (model, task, mode, rate, steps …), over its seeds, with t "
    "intervals. memory: share of the final positions' variance between runs that the start "
    "explains."
)
PAIRS_NOTE = (
    "Differences of the validation loss at the end, first minus second; p by permuting runs. "
    "Exploratory: no correction for the number of pairs, no test of equality."
)


class Measured(NamedTuple):
    """A run with its vectors by site, and its positions by site and coordinates."""

    run: Run
    ends: dict[Site, Ends]
    positions: Positions


Groups = dict[tuple[str, str], dict[str, list[Measured]]]
"""Measured runs by setting and prior; a setting is what is shown of it, and all of it."""


def position_table(measured: Sequence[Measured], style: RunStyles) -> Table:
    """Tabulate each run's positions, a row a site and kind of coordinates."""
    rows: list[dict[str, Cell]] = [
        {**_named(run, style), "site": site, "coordinates": kind, **found.by_heading()}
        for run, _, positions in measured
        for (site, kind), found in positions.items()
    ]
    return tabulate("position", "Prior against posterior", POSITION_NOTE, rows)


def use_table(runs: Sequence[Run], style: RunStyles) -> Table:
    """Tabulate what the vectors of each run do, as stored in ``use.json``."""
    rows = [_use(run, style, use) for run, use in _recorded(runs, read_use)]
    return tabulate("use", "What vectors do", USE_NOTE, rows)


def bridge_table(runs: Sequence[Run], style: RunStyles) -> Table:
    """Tabulate how far apart two domains are behind each prompt, as stored in ``bridge.json``."""
    rows: list[dict[str, Cell]] = [
        {
            **_named(run, style),
            "other domain": bridge["settings"]["other"]["name"],
            "site": bridge["site"],
            "documents": bridge["settings"]["documents"],
            "separation": bridge["ratio"],
            "separation, 95 %": _range(*bridge["interval"]),
        }
        for run, bridge in _recorded(runs, read_bridge)
    ]
    return tabulate("bridge", "Domains behind the prompt", BRIDGE_NOTE, rows)


def _recorded(
    runs: Sequence[Run], read: Callable[[Run], dict[str, Any] | None]
) -> list[tuple[Run, dict[str, Any]]]:
    """Runs with what was measured of them; what is damaged is left out with a note."""
    found = []
    for run in runs:
        try:
            known = read(run)
        except InputError as error:
            note(f"left out: {error}")
            continue
        if known is not None:
            found.append((run, known))
    return found


def _named(run: Run, style: RunStyles) -> dict[str, Cell]:
    return {"run": run.id, "name": style.names[run.id]}


def _use(run: Run, style: RunStyles, use: dict[str, Any]) -> dict[str, Cell]:
    heads = [mass for block in use["attention"]["answers"]["by_head"] for mass in block]
    largest = max(use["masked"]["vectors"], key=lambda vector: vector["change"])
    projected = use.get("projected", {})
    return {
        **_named(run, style),
        "examples": use["examples"],
        "loss": use["loss"],
        **_change("all masked", use["masked"]["all"]),
        **_change("one masked, at most", largest),
        **_change("near less far half", use["halves"].get("embed", {}).get("near_less_far")),
        **_change("nearest rows", projected.get("nearest")),
        **_change("nearest less random rows", projected.get("nearest_less_random")),
        "read as a token": sum(vector["read"] for vector in use.get("readout", [])),
        "attention": sum(heads) / len(heads),
    }


def _change(name: str, found: dict[str, Any] | None) -> dict[str, Cell]:
    if found is None:
        return {name: None, f"{name}, 95 %": None}
    return {name: found["change"], f"{name}, 95 %": _range(found["low"], found["high"])}


def _range(low: float | None, high: float | None) -> str | None:
    return None if low is None or high is None else f"{low:.3g} to {high:.3g}"


def grouped(measured: Sequence[Measured]) -> Groups:
    """Group runs that differ in prior and seed alone, and within that by prior."""
    groups: Groups = {}
    for found in measured:
        config = found.run.config
        train, task, mode = config["train"], config["task"]["name"], config["prompt"]["mode"]
        lr = train.get("lr", 0.0)
        rate = f"{lr['relative']:g} relative" if isinstance(lr, dict) else f"{lr:g}"
        steps = train.get("steps", 0)
        words = f"{config['model']} · {task} · {mode} · lr {rate} · {steps} steps"
        train = {key: value for key, value in train.items() if key != "order"}
        setting = words, canonical([setting_of(found.run), config["prompt"], train])
        groups.setdefault(setting, {}).setdefault(prior_of(found.run), []).append(found)
    return groups


def priors_table(groups: Groups) -> Table:
    """Tabulate losses, collapse and memory, a row a prior within one setting."""
    records = []
    for (setting, _), priors in groups.items():
        for prior, mine in priors.items():
            record: dict[str, Cell] = {"setting": setting, "prior": prior, "runs": len(mine)}
            for name in (*MOMENTS, *_scores(mine)):
                record |= _interval(name, _results(mine, name))
            record |= _collapse(mine) | _memory(mine)
            records.append(record)
    return tabulate("priors", "Priors over their seeds", PRIORS_NOTE, records)


def _results(mine: Sequence[Measured], name: str) -> Tensor:
    """The finite values of a number of the runs' results."""
    values = [number_at(found.run.result, name) for found in mine]
    return torch.tensor([value for value in values if value is not None])


def _scores(mine: Sequence[Measured]) -> list[str]:
    """Addresses of the scores at the end that some of the runs have."""
    results = [found.run.result or {} for found in mine]
    names = dict.fromkeys(key for result in results for key in result.get("scores", {}))
    return [f"scores.{name}" for name in names]


def _interval(name: str, values: Tensor) -> dict[str, Cell]:
    """Mean and t interval; with one value, the value and what an interval needs."""
    mean, interval = None, "not finite"
    if len(values) == 1:
        mean, interval = float(values[0]), "needs 2 seeds"
    elif len(values):
        mean, low, high = t_interval(values)
        interval = f"{low:.4g} to {high:.4g}"
    return {name: mean, f"{name}, 95 %": interval}


def _collapse(mine: Sequence[Measured]) -> dict[str, Cell]:
    """Distance to the nearest point beyond each null, at the first site, over runs."""
    numbers = [next(iter(found.positions.values())).flat() for found in mine]
    record: dict[str, Cell] = {}
    for null in NULLS:
        effects = [found.get(f"{null}.effect") for found in numbers]
        values = [effect for effect in effects if effect is not None]
        if values:
            record[f"nearest beyond {null}"] = sum(values) / len(values)
            stream = generator(0, "compare", "collapse", null)
            record[f"p, nearest beyond {null}"] = _or_reason(
                lambda v=values, s=stream: collapse_over_runs(torch.tensor(v), generator=s).test.p
            )
    return record


def _memory(mine: Sequence[Measured]) -> dict[str, Cell]:
    sites = list(mine[0].ends)
    if len(mine) < 2 or any(list(found.ends) != sites for found in mine):
        return {"memory": None, "p, memory": "needs 4 seeds"}
    if not sites:
        return {"memory": None, "p, memory": "needs the runs' vectors"}
    ends = [found.ends[sites[0]] for found in mine]
    starts, finals = torch.stack([e.start for e in ends]), torch.stack([e.end for e in ends])
    found = _or_reason(lambda: memory(starts, finals, generator=generator(0, "compare", "memory")))
    if isinstance(found, str):
        return {"memory": None, "p, memory": found}
    return {"memory": found.share, "p, memory": found.p}


def pairs_table(groups: Groups) -> Table:
    """Tabulate differences of the final loss, a row a pair of priors within one setting."""
    records = []
    for (setting, _), priors in groups.items():
        for one, other in combinations(priors, 2):
            x, y = (_results(priors[name], "val_loss") for name in (one, other))
            if not (len(x) and len(y)):
                continue
            stream = generator(0, "compare", "pairs", one, other)
            p = _or_reason(lambda x=x, y=y, s=stream: label_test(x, y, generator=s).p)
            record: dict[str, Cell] = {"setting": setting, "first": one, "second": other}
            record |= {"runs": f"{len(x)} and {len(y)}"}
            records.append(record | {"difference": float(x.mean() - y.mean()), "p": p})
    return tabulate("pairs", "Prior against prior", PAIRS_NOTE, records)


def _or_reason(test: Callable[[], Any]) -> Any:
    """The result of a test, or the reason why there is none."""
    try:
        return test()
    except InputError as error:
        return str(error).splitlines()[0]
