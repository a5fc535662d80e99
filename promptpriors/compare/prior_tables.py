"""Tables with a row a prior or a pair of priors, over seeds."""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import torch
from torch import Tensor

from promptpriors.analysis.collapse import collapse_over_runs
from promptpriors.analysis.memory import memory
from promptpriors.analysis.significance import label_test, t_interval
from promptpriors.errors import InputError
from promptpriors.files import canonical
from promptpriors.measure.position import Ends
from promptpriors.rng import generator
from promptpriors.runs import Run
from promptpriors.runs.labels import prior_of
from promptpriors.runs.positions import NULLS, Positions
from promptpriors.runs.tables import Cell, Table, tabulate
from promptpriors.types import Site

MOMENTS = ("val_loss_initial", "val_loss", "val_loss_best")
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


def grouped(measured: Sequence[Measured]) -> Groups:
    """Group runs that differ in prior and seed alone, and within that by prior."""
    groups: Groups = {}
    for found in measured:
        config = found.run.config
        lr = config["train"]["lr"]
        rate = f"{lr['relative']:g} relative" if isinstance(lr, dict) else f"{lr:g}"
        words = (
            str(config["model"]),
            str(config["task"]["name"]),
            str(config["prompt"]["mode"]),
            f"lr {rate}",
            f"{config['train']['steps']} steps",
        )
        setting = " · ".join(words), _setting(config)
        groups.setdefault(setting, {}).setdefault(prior_of(found.run), []).append(found)
    return groups


def _setting(config: Mapping[str, Any]) -> str:
    """A config without prior, seeds and device, as text."""
    task = {k: v for k, v in config["task"].items() if k != "path" and not k.endswith("_path")}
    train = {key: value for key, value in config["train"].items() if key != "order"}
    return canonical([config["model"], task, config["prompt"], train])


def priors_table(groups: Groups) -> Table:
    """Tabulate losses, collapse and memory, a row a prior within one setting."""
    records = []
    for (setting, _), priors in groups.items():
        for prior, mine in priors.items():
            record: dict[str, Cell] = {"setting": setting, "prior": prior, "runs": len(mine)}
            for name in MOMENTS:
                record |= _interval(name, _results(mine, name))
            record |= _collapse(mine) | _memory(mine)
            records.append(record)
    return tabulate("priors", "Priors over their seeds", PRIORS_NOTE, records)


def _results(mine: Sequence[Measured], name: str) -> Tensor:
    """The finite values of a number of the runs' results."""
    values = [found.run.result[name] for found in mine if found.run.result]
    return torch.tensor([float(value) for value in values if value is not None])


def _interval(name: str, values: Tensor) -> dict[str, Cell]:
    """Mean and t interval; with one value, the value and what an interval needs."""
    if not len(values):
        return {name: None, f"{name}, 95 %": "not finite"}
    if len(values) < 2:
        return {name: float(values[0]), f"{name}, 95 %": "needs 2 seeds"}
    found = t_interval(values)
    return {name: found.estimate, f"{name}, 95 %": f"{found.low:.4g} to {found.high:.4g}"}


def _collapse(mine: Sequence[Measured]) -> dict[str, Cell]:
    """Distance to the nearest point beyond each null, at the first site, over runs."""
    effects: dict[str, list[float]] = {}
    for found in mine:
        numbers = next(iter(found.positions.values())).flat()
        for null in NULLS:
            effect = numbers.get(f"{null}.effect")
            if effect is not None:
                effects.setdefault(null, []).append(effect)
    record: dict[str, Cell] = {}
    for name, values in effects.items():
        record[f"nearest beyond {name}"] = sum(values) / len(values)
        stream = generator(0, "compare", "collapse", name)
        p = _or_reason(
            lambda v=values, s=stream: collapse_over_runs(torch.tensor(v), generator=s).test.p
        )
        record[f"p, nearest beyond {name}"] = p
    return record


def _memory(mine: Sequence[Measured]) -> dict[str, Cell]:
    sites = list(mine[0].ends)
    if len(mine) < 2 or any(list(found.ends) != sites for found in mine):
        return {"memory": None, "p, memory": "needs 4 seeds"}
    if not sites:
        return {"memory": None, "p, memory": "needs the runs' vectors"}
    starts, finals = (
        torch.stack([getattr(found.ends[sites[0]], when) for found in mine])
        for when in ("start", "end")
    )
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
            records.append(
                {
                    "setting": setting,
                    "first": one,
                    "second": other,
                    "runs": f"{len(x)} and {len(y)}",
                    "difference": float(x.mean() - y.mean()),
                    "p": _or_reason(lambda x=x, y=y, s=stream: label_test(x, y, generator=s).p),
                }
            )
    return tabulate("pairs", "Prior against prior", PAIRS_NOTE, records)


def _or_reason(test: Callable[[], Any]) -> Any:
    """The result of a test, or the reason why there is none."""
    try:
        return test()
    except InputError as error:
        return str(error).splitlines()[0]
