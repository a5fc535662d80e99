"""The table of power: what a study of this size can show, and what size it would take."""

from collections.abc import Mapping

from promptpriors.analysis.power import difference_power, equality_power, units_needed
from promptpriors.runs.tables import Cell
from promptpriors.verdicts.controls import ALPHA
from promptpriors.verdicts.judge import Judged


def power_of(judged: Judged) -> list[Mapping[str, Cell]]:
    """One row, of the spread that the runs have."""
    pooled, margin = judged.pooled, judged.margin
    if pooled is None:
        return [{"residual sd": None, "note": judged.reasons["pooled"]}]
    record: dict[str, Cell] = {
        "residual sd": pooled.sd,
        "df": pooled.df,
        "seeds an arm": min(pooled.units.values()),
        "margin": margin,
    }
    arms = len(pooled.arms)
    if margin is None or arms < 2:
        return [record | {"note": judged.reasons.get("scale", "there is one arm")}]
    sd, units = pooled.sd, min(pooled.units.values())

    def equal(n: int, df: int) -> float:
        return equality_power(sd=sd, units=n, arms=arms, df=df, margin=margin, alpha=ALPHA)

    def differs(n: int, df: int) -> float:
        return difference_power(
            sd=sd, units=n, arms=arms, df=df, difference=margin, level=1 - ALPHA
        )

    def df_of(n: int) -> int:
        return (arms - 1) * (n - 1) if pooled.blocks else arms * (n - 1)

    for name, power in (("equality", equal), ("difference", differs)):
        needed = units_needed(power, df_of)
        runs = None if needed is None else needed * len(pooled.rates)
        record |= {f"power, {name}": power(units, pooled.df), f"runs for 80 %, {name}": runs}
    return [record | {"note": ""}]
