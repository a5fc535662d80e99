"""Tables of studies' results: arms, differences, equality, power, variance, curves, verdicts."""

from collections.abc import Callable, Mapping, Sequence

from promptpriors.runs.studies import Stored
from promptpriors.runs.study_results import Difference, SettingResult, StudyResult, Verdict
from promptpriors.runs.tables import Cell, Table, tabulate

Record = Mapping[str, Cell | Verdict]

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


def study_tables(results: Sequence[StudyResult]) -> list[Table]:
    """Make every table over all settings; none where there are no studies."""
    return [_table(name, results) for name in RECORDS] if results else []


def _table(name: str, results: Sequence[StudyResult]) -> Table:
    records = [
        {"study": result.name, "setting": setting.setting}
        | {key: v.text if isinstance(v, Verdict) else v for key, v in record.items()}
        for result in results
        for setting in result.settings
        for record in RECORDS[name](setting)
    ]
    table = tabulate(name, *NOTES[name], records)
    return table if records else table.model_copy(update={"columns": ["study", "setting"]})


def _row(row: Stored) -> Record:
    """A column a field, headed by its name; differences and lists have their own headings."""
    record: dict[str, Cell] = {}
    for name, value in row:
        heading = name.replace("_", " ")
        if name == "less_reference":
            less = _numbers(value)
            record |= {heading: less["difference"]}
            record |= {f"{heading}, {end}": less[end] for end in ("low", "high")}
        elif name == "rates_left_out":
            record[heading] = ", ".join(value)
        elif name == "missing_runs":
            record[heading] = "; ".join(f"{run.id}: {run.reason}" for run in value)
        else:
            record[heading] = value
    return record


def _numbers(found: Difference | None) -> dict[str, float | None]:
    if found is None:
        return dict.fromkeys(("difference", "low", "high", "p"))
    return {"difference": found.value, "low": found.low, "high": found.high, "p": found.p}


def _differences(setting: SettingResult) -> list[Record]:
    return [
        {
            "arm": contrast.arm, "kind": contrast.kind, "reference": setting.reference,
            **_numbers(contrast.difference), "margin": setting.margin, "verdict": contrast.verdict,
        }
        for contrast in setting.contrasts
    ]  # fmt: skip


def _equality(setting: SettingResult) -> list[Record]:
    margin, every = setting.margin, setting.all_pairs
    records: list[Record] = [
        {
            "first": pair.first, "second": pair.second, **_numbers(pair.difference),
            "margin": margin, "verdict": pair.verdict,
        }
        for pair in setting.pairs
    ]  # fmt: skip
    if every is None:
        return records
    numbers = {**_numbers(None), "p": every.p, "margin": margin}
    return [*records, {"first": "all pairs", "second": "", **numbers, "verdict": every.verdict}]


def _power(setting: SettingResult) -> list[Record]:
    power = setting.power
    record: dict[str, Cell] = {"residual sd": power.residual_sd}
    if power.df is not None:
        record |= {"df": power.df, "seeds an arm": power.seeds, "margin": setting.margin}
    if power.equality is not None:
        record |= {
            "power, equality": power.equality,
            "runs for 80 %, equality": power.equality_runs,
            "power, difference": power.difference,
            "runs for 80 %, difference": power.difference_runs,
        }
    return [{**record, "note": power.reason}]


def _components(setting: SettingResult) -> list[Record]:
    if setting.components.reason:
        return [{"source": "none", "note": setting.components.reason}]
    return [_row(source) for source in setting.components.sources]


def _verdicts(setting: SettingResult) -> list[Record]:
    return [
        {
            "question": answer.title, "statistic": answer.statistic, "value": answer.value,
            "verdict": answer,
        }
        for answer in setting.verdicts
    ]  # fmt: skip


RECORDS: Mapping[str, Callable[[SettingResult], Sequence[Record]]] = {
    "arms": lambda setting: [_row(arm) for arm in setting.arms],
    "differences": _differences,
    "equality": _equality,
    "power": _power,
    "components": _components,
    "plateaus": lambda setting: [_row(plateau) for plateau in setting.plateaus],
    "verdicts": _verdicts,
}
