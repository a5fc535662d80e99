"""The table of figures: what each is gathered by, in the order of the paper."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from promptpriors.errors import InputError
from promptpriors.experiments.paper import domains, prompts, vocabulary
from promptpriors.experiments.paper.charts import chart_all
from promptpriors.experiments.paper.claims import write_claims
from promptpriors.experiments.paper.material import Material
from promptpriors.experiments.paper.plan import FigurePlan
from promptpriors.experiments.session import Session
from promptpriors.experiments.watch import Watch
from promptpriors.runs.pictures import PICTURES, Picture, read_picture, write_picture

FIGURES: dict[int, Callable[[Material], Picture]] = {
    1: vocabulary.sentences,
    2: domains.texts,
    3: domains.answers,
    4: domains.layers,
    5: domains.means,
    6: partial(vocabulary.soft, number=6, name="isotropic-fast"),
    7: partial(vocabulary.soft, number=7, name="isotropic-slow"),
    8: partial(vocabulary.soft, number=8, name="gaussian-fast"),
    9: vocabulary.exclusion,
    10: lambda m: prompts.fitted(m, 10, "embed", ("squad-gaussian", "squad-xavier")),
    11: lambda m: prompts.fitted(m, 11, m.last, ("deep-gaussian", "deep-xavier")),
    12: prompts.between,
    13: prompts.autoencoder,
}


def produce(
    plan: FigurePlan,
    numbers: Sequence[int],
    runs: Path,
    session: Session,
    *,
    command: str,
    watch: Watch,
) -> Iterator[Picture]:
    """Gather figures one after another, making what they need, and store each; what stands, stands.

    All of them together are followed by the charts of the page and what they say of the claims.

    Args:
        plan: what they are made from.
        numbers: of ``FIGURES``.
        runs: the runs folder; pictures go to ``figures`` below it.
        session: has models and tasks.
        command: kept with each picture.
        watch: told how far the work is.

    Raises:
        InputError: for whatever model, data or config have wrong.
        WorkError: if training diverges or the disk fails.
    """
    material = Material(plan, runs, session, watch)
    source = plan.fingerprint
    for number in numbers:
        picture = _known(runs / PICTURES, number, source)
        if picture is None:
            watch(f"figure {number}", 0.0, {})
            picture = replace(FIGURES[number](material), command=command, source=source)
            write_picture(runs / PICTURES, picture)
        yield picture
    if set(FIGURES) <= set(numbers):
        for title in chart_all(material):
            watch(f"chart: {title}", 1.0, {})
        write_claims(runs)


def _known(folder: Path, number: int, source: str) -> Picture | None:
    """A stored picture that was gathered from the same plan."""
    try:
        found = read_picture(folder, number)
    except InputError:
        return None
    return found if found.source == source else None
