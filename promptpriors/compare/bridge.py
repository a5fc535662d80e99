"""Whether the runs' prompts bridge two domains, as it was measured and stored beside each run."""

from collections.abc import Sequence

from promptpriors.figures.styles import RunStyles
from promptpriors.measure.domain_gap import FILE
from promptpriors.runs import Run
from promptpriors.runs.tables import Table, tabulate

NOTE = (
    "Separation of the run's own task from another domain at the input of the last block behind "
    "the trained prompt, over that without it (1: nothing changed, 0: they have met), with a 95 % "
    "interval over documents."
)


def bridge_table(runs: Sequence[Run], style: RunStyles) -> Table:
    """A row a run of which it was measured."""
    records = []
    for run in runs:
        found = run.record(FILE)
        if found is None:
            continue
        low, high = found["interval"]
        records.append(
            {
                "run": run.id,
                "name": style.names[run.id],
                "other domain": found["settings"]["other"]["name"],
                "site": found["site"],
                "documents": found["settings"]["documents"],
                "separation": found["ratio"],
                "separation, 95 %": f"{low:.3g} to {high:.3g}",
            }
        )
    return tabulate("bridge", "Domains behind the prompt", NOTE, records)
