"""Table of the paper's figures, and their production."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from promptpriors.errors import InputError
from promptpriors.paper import domain_figures as domains
from promptpriors.paper import prompt_figures as prompts
from promptpriors.paper import vocabulary_figures as vocabulary
from promptpriors.paper.charts import chart_all
from promptpriors.paper.figure_plan import FigurePlan
from promptpriors.paper.figure_rules import judge_figures
from promptpriors.paper.inputs import FigureInputs
from promptpriors.progress import OnProgress
from promptpriors.running.workspace import Workspace
from promptpriors.runs.claims import write_claims
from promptpriors.runs.pictures import PICTURES, Picture, read_picture, write_picture

FIGURES: dict[int, Callable[[FigureInputs], Picture]] = {
    1: vocabulary.sentences,
    2: domains.texts,
    3: domains.answers,
    4: domains.layers,
    5: domains.means,
    6: partial(vocabulary.soft, number=6, name="isotropic-fast"),
    7: partial(vocabulary.soft, number=7, name="isotropic-slow"),
    8: partial(vocabulary.soft, number=8, name="gaussian-fast"),
    9: vocabulary.exclusion,
    10: lambda inputs: prompts.fitted(inputs, 10, "embed", ("squad-gaussian", "squad-xavier")),
    11: lambda inputs: prompts.fitted(
        inputs, 11, inputs.last_block, ("deep-gaussian", "deep-xavier")
    ),
    12: prompts.between,
    13: prompts.autoencoder,
}


def produce(
    plan: FigurePlan,
    numbers: Sequence[int],
    runs: Path,
    workspace: Workspace,
    *,
    command: str,
    on_progress: OnProgress,
) -> Iterator[Picture]:
    """Make and store figures; those of the same plan are found again.

    All of them together are followed by the charts of the page and what they say of the claims.

    Args:
        plan: what they are made from.
        numbers: of ``FIGURES``.
        runs: the runs folder; pictures go to ``figures`` below it.
        workspace: has models and tasks.
        command: kept with each picture.
        on_progress: called with stage, share done, and what is known so far.

    Raises:
        InputError: for whatever model, data or config have wrong.
        WorkError: if training diverges or the disk fails.
    """
    material = FigureInputs(plan, runs, workspace, on_progress)
    source = plan.fingerprint
    for number in numbers:
        picture = _known(runs / PICTURES, number, source)
        if picture is None:
            on_progress(f"figure {number}", 0.0, {})
            picture = replace(FIGURES[number](material), command=command, source=source)
            write_picture(runs / PICTURES, picture)
        yield picture
    if set(FIGURES) <= set(numbers):
        for title in chart_all(material):
            on_progress(f"chart: {title}", 1.0, {})
        write_claims(runs, judge_figures(runs))


def _known(folder: Path, number: int, source: str) -> Picture | None:
    """A stored picture that was gathered from the same plan."""
    try:
        found = read_picture(folder, number)
    except InputError:
        return None
    return found if found.source == source else None
