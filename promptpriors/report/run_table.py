"""Table of runs."""

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any, NamedTuple

from promptpriors.figures import RunStyles
from promptpriors.report.formatting import MISSING, duration, fixed, significant, whole
from promptpriors.report.tables import ShownCell
from promptpriors.runs import Run
from promptpriors.runs.labels import BASELINE, prior_of

SCORES = {
    "exact_match": "Exact match",
    "accuracy": "Accuracy",
    "choice_accuracy": "Likeliest choice",
    "choice_accuracy_norm": "Likeliest choice per character",
    "f1": "F1",
    "precision": "Precision",
    "recall": "Recall",
    "token_accuracy": "Token accuracy",
}


class Column(NamedTuple):
    """Column of numbers: heading, full name, value and its text."""

    title: str
    hint: str
    value: Callable[[Run], float | None]
    text: Callable[[Any], str]


class Row(NamedTuple):
    """A run's row."""

    run: Run
    name: str
    colour: str
    cells: list[ShownCell]


def columns(runs: Sequence[Run]) -> list[Column]:
    """Columns for which some run has a value."""
    fixed_ones = [
        Column("Steps", "training steps", _of("steps"), whole),
        Column("Peak rate", "largest learning rate, at the first site", _rate, significant),
        Column("Loss at start", "validation nats per target token", _of("val_loss_initial"), fixed),
        Column("Loss at end", "the same after the last step", _of("val_loss"), fixed),
        Column("Lowest loss", "the lowest one measured", _of("val_loss_best"), fixed),
        Column("Loss without prompt", "the frozen model alone", _of("val_loss_none"), fixed),
        Column("Displacement", "‖final − initial‖ / ‖initial‖, the whole prompt at once",
               _moved, significant),
    ]  # fmt: skip
    scores = [
        Column(title, f"{title.lower()} on the test examples, 0 to 1", _of("scores", key), fixed)
        for key, title in SCORES.items()
        if any(_of("scores", key)(run) is not None for run in runs)
    ]
    return [*fixed_ones, *scores, Column("Time", "wall clock", _of("seconds"), duration)]


def rows(runs: Sequence[Run], table: Sequence[Column], page_styles: RunStyles) -> list[Row]:
    """One row per run, in the order given."""
    found = []
    for run in runs:
        pairs = [(column, column.value(run)) for column in table]
        cells = [ShownCell("" if v is None else repr(float(v)), c.text(v)) for c, v in pairs]
        found.append(Row(run, page_styles.names[run.id], page_styles.style(run).colour, cells))
    return found


def facts(run: Run) -> list[tuple[str, str]]:
    """Further facts about a run, as name and value."""
    result = run.result or {}
    prompt = run.config["prompt"]
    lr = result.get("lr")
    rates = {k: v for k, v in lr.items() if isinstance(v, float)} if isinstance(lr, dict) else {}
    memory = result.get("peak_memory_mib")
    tokens, useful = result.get("tokens"), result.get("tokens_useful")
    share = f" ({100 * useful / tokens:.0f} %)" if tokens and useful is not None else ""
    versions = result.get("versions") or {}
    return [
        ("Run", run.id),
        ("Mode", str(prompt["mode"])),
        ("Vectors", f"{prompt.get('length', MISSING)} at {', '.join(prompt.get('sites', []))}"),
        ("Peak rate", _by_site(rates)),
        ("Displacement by site", _by_site(result.get("displacement_by_site"))),
        ("Examples", _examples(result.get("eval_examples"))),
        ("Tokens computed", whole(tokens)),
        ("of them in examples", whole(useful) + share),
        ("Tokens per second", whole(result.get("tokens_per_second"))),
        ("Peak memory", MISSING if memory is None else f"{whole(memory)} MiB"),
        ("Versions", ", ".join(f"{k} {v}" for k, v in versions.items()) or MISSING),
    ]


def _of(*keys: str) -> Callable[[Run], Any]:
    return lambda run: reduce(lambda value, key: (value or {}).get(key), keys, run.result)


def _moved(run: Run) -> float | None:
    return None if prior_of(run) == BASELINE else _of("displacement")(run)


def _rate(run: Run) -> float | None:
    lr = _of("lr")(run)
    rates = lr.values() if isinstance(lr, dict) else [lr]
    return next((rate for rate in rates if isinstance(rate, float | int)), None)


def _by_site(values: Mapping[str, float | None] | None) -> str:
    return ", ".join(f"{k} {significant(v)}" for k, v in (values or {}).items()) or MISSING


def _examples(counts: dict[str, int] | int | None) -> str:
    if isinstance(counts, dict):
        return ", ".join(f"{split} {whole(count)}" for split, count in counts.items())
    return whole(counts)
