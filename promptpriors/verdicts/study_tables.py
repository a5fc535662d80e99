"""The tables of a folder's studies: arms, differences, equality, power, curves, verdicts."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from promptpriors.runs.tables import Cell, Table, tabulate
from promptpriors.verdicts.arms import arms_of
from promptpriors.verdicts.contrasts import differences_of, equality_of
from promptpriors.verdicts.judge import Judged, judge
from promptpriors.verdicts.outcomes import Setting, read_settings
from promptpriors.verdicts.plateaus import curves_of
from promptpriors.verdicts.power import power_of
from promptpriors.verdicts.variance import sources_of
from promptpriors.verdicts.verdicts import verdicts_of

Record = Mapping[str, Cell]

NOTES = {
    "arms": (
        "Arms of a study",
        "A row an arm within one setting. mean: over the rate grid, of the metric that the study "
        "names, with 95 % t interval; the arms' come from one fit (mean over rates ~ arm + seed, "
        "spread pooled) and hold for these orders of the data, the others' from their own seeds. "
        "A seed without a run at some rate is left out of the mean; rates at which some arm has no "
        "run are left out for all, and named. sd: between the seeds of the arm; one pooled spread "
        "is right only where these are alike. best rate: by mean. share: of the way from floor "
        "(the baseline none) to ceiling (the best mean of the ceiling's rates). missing: failed "
        "(diverged runs among them: they have no loss, and flatter the arm by not counting) or not "
        "done; with more than a fifth missing an arm has no verdict.",
    ),
    "differences": (
        "Arms against the reference",
        "Arm less reference, means over the rate grid: p and 95 % intervals by Dunnett's test, "
        "adjusted for all arms of the setting. A unit is a seed, that is a draw with its order of "
        "the data: rates of one seed are no replicates. higher, lower: p ≤ 0.05; equal: else, and "
        "the interval lies within ± margin. A control's row is of the same test at its rates, with "
        "it as one more arm. "
        "Primary for: do priors differ?",
    ),
    "equality": (
        "Pairs of arms: equal within the margin?",
        "First less second with 90 % interval; p of two one-sided tests (TOST). equal: the "
        "interval lies within ± margin, each pair at 5 % by itself; different: a 95 % interval "
        "for all pairs together lies beyond it; otherwise undecided. The row of all pairs is "
        "primary for: are all priors equal? There p is the largest. The margin takes floor and "
        "ceiling as known.",
    ),
    "power": (
        "What the study can show",
        "residual sd: of a seed's mean over rates, arms and seeds taken out. Power of finding all "
        "pairs equal if they are, and of Dunnett's test for one arm that is off by the margin, if "
        "that sd is the true one; runs an arm (all rates) that 80 % would take.",
    ),
    "components": (
        "Where variance comes from",
        "Variances of the metric by the method of moments, over the arms that have their verdicts; "
        "a negative estimate counts as 0, and is given. Exploratory.",
    ),
    "plateaus": (
        "Have curves come to rest?",
        "at rest: a line through the last third of the steps' validation losses moves by less than "
        "the margin. steps to loss: mean of the steps to the loss, or of all steps where it is not "
        "reached (censored), with 95 % t interval over seeds; the loss is the worst arm's mean at "
        "the end. less reference: less the steps of the reference, by Dunnett's test, with 95 % "
        "interval; the negative control is one more arm. mean loss: over the steps. Exploratory.",
    ),
    "verdicts": (
        "Verdicts",
        "One primary statistic a question; each setting is judged by itself, at 5 %. Unless both "
        "controls pass and the best arm covers a fifth of the way from floor to ceiling, there is "
        "no verdict. Positive control: must be found different from the reference by the test of "
        "the arms. Negative control: the reference under a second name, must be found equal to it.",
    ),
}  # fmt: skip


def study_tables(settings: Sequence[Setting]) -> list[Table]:
    """Every table over all settings; none where there are no studies."""
    if not settings:
        return []
    judged = [judge(setting) for setting in settings]
    return [_table(name, judged) for name in RECORDS]


def _table(name: str, judged: Sequence[Judged]) -> Table:
    records = [
        {"study": found.setting.study, "setting": found.setting.name, **record}
        for found in judged
        for record in RECORDS[name](found)
    ]
    table = tabulate(name, *NOTES[name], records)
    return table if records else table._replace(columns=["study", "setting"])


def read_study_tables(folder: Path) -> list[Table]:
    """The tables of a folder's studies.

    Raises:
        InputError: for a damaged record of a study.
    """
    return study_tables(read_settings(folder))


RECORDS: Mapping[str, Callable[[Judged], Sequence[Record]]] = {
    "arms": arms_of,
    "differences": differences_of,
    "equality": equality_of,
    "power": power_of,
    "components": sources_of,
    "plateaus": curves_of,
    "verdicts": verdicts_of,
}
