"""A small study beside the runs of a sample: arms, controls, baselines, a failed and a lost run."""

import itertools
import random
from pathlib import Path
from typing import Any

from promptpriors.files import write_json
from tests.report.sample import NO_PROMPT, SCRIPT, config, result, start, write_metrics

RATES = (0.025, 0.1)
LORA = 1.05
TEXT = 2.1
MARGIN = 0.05 * (NO_PROMPT - LORA)
EFFECTS = {"vocabulary": 0.0, "gaussian": -0.01, "isotropic": 0.22, f"text {SCRIPT}": 0.075}
"""What each arm adds to the loss at the end."""
FAR = {"positive control": 1.1, "vocabulary, second name": 0.002}
EVALUATIONS = 5


def build_study(
    folder: Path,
    effects: dict[str, float] = EFFECTS,
    *,
    seeds: int = 3,
    evaluations: int = EVALUATIONS,
    setting: str = "",
    name: str = "screening",
    failing: bool = False,
    tables: bool = True,
    first: int = 100,
) -> Path:
    """Runs without vectors, the study's file, and its tables.

    Args:
        folder: of the runs.
        effects: what each arm adds to the loss at the end; ``vocabulary`` is the reference.
        seeds: of each arm and rate.
        evaluations: of each run.
        setting: of all runs.
        name: of the study.
        failing: whether the positive control comes out equal, so that there is no verdict.
        tables: whether ``compare.json`` is written.
        first: the number of the first run.
    """
    numbers = itertools.count(first)
    members: list[dict[str, Any]] = []

    def member(kind: str, arm: str, rate: str, seed: int, at: float | None = None) -> str:
        found = f"{next(numbers):016x}"
        members.append({"id": found, "kind": kind, "arm": arm, "setting": setting, "rate": rate,
                        "seed": seed, "factors": {"seed": seed} | at_rate(at)})  # fmt: skip
        return found

    for arm, rate, seed in itertools.product(effects, RATES, range(seeds)):
        prior = arm.partition(" ")[0]
        run = member("arm", arm, f"{rate:g} relative", seed, rate)
        trained(folder, run, prior, rate, seed, effects[arm], evaluations)
    for seed in range(seeds):
        run = member("positive", "positive control", f"{RATES[0]:g} relative", seed, RATES[0])
        trained(folder, run, "isotropic", RATES[0], seed, 0 if failing else 1.1, evaluations)
        for rate in RATES:
            again = member("negative", "vocabulary, second name", f"{rate:g} relative", seed, rate)
            trained(folder, again, "vocabulary", rate, seed, 0.002, evaluations)
    still(folder, member("baseline", "none", "", 0), NO_PROMPT, mode="none")
    still(folder, member("baseline", "text: Answer the question.", "", 0), TEXT)
    for rate, loss in ((0.0003, 1.21), (0.001, LORA)):
        run = member("ceiling", "lora 16", f"{rate:g}", 0)
        still(folder, run, loss, mode="none", train={"steps": 40, "lora": 16, "lr": rate})
    lost = member("arm", "gaussian", "0.1 relative", seeds)
    broken = start(folder, lost, config("gaussian", seed=seeds))
    (broken / "error.txt").write_text(f"the loss is no longer a number at step 12 {SCRIPT}")
    member("arm", "gaussian", "0.1 relative", seeds + 1)  # never began
    rules = {"reference": "vocabulary", "margin": 0.05, "metric": "val_loss", "controls": True}
    (folder / "studies").mkdir(exist_ok=True)
    stored = {"format": 1, "results": 2, "name": name, "compare": rules, "runs": members}
    write_json(folder / "studies" / f"{name}.json", stored)
    if tables:
        write_json(
            folder / "compare.json", {"tables": study_tables(effects, name, setting, failing)}
        )
    return folder


def at_rate(rate: float | None) -> dict[str, Any]:
    """What a study says of a run's rate."""
    return {} if rate is None else {"train.lr": {"relative": rate}}


def trained(
    folder: Path, name: str, prior: str, rate: float, seed: int, effect: float, evaluations: int
) -> None:
    """A finished run that ends at 1.3 + its effect, and a little more at the lower rate."""
    settings = config(prior, seed=seed, train={"steps": 40, "lr": {"relative": rate}})
    noise = random.Random(name)
    losses = [
        1.3 + effect + 0.4 * (RATES[1] - rate) + 2.2 * 0.93 ** (40 * i / (evaluations - 1))
        + noise.gauss(0, 0.02) + 0.01 * seed
        for i in range(evaluations)
    ]  # fmt: skip
    run = start(folder, name, settings)
    write_metrics(run, losses)
    write_json(run / "result.json", result(settings, losses, 0.5, {}, mapped=False))


def still(folder: Path, name: str, loss: float, mode: str = "soft", **parts: Any) -> None:
    """A baseline or ceiling."""
    settings = config("text", mode=mode, **parts)
    run = start(folder, name, settings)
    write_metrics(run, [loss])
    write_json(run / "result.json", result(settings, [loss], None, {}, mapped=False))


def study_tables(
    effects: dict[str, float], study: str, setting: str, failing: bool
) -> list[dict[str, Any]]:
    """What compare stores of the study."""
    here = {"study": study, "setting": setting}
    far = FAR | ({"positive control": 0.01} if failing else {})
    others = {arm: effect for arm, effect in (effects | far).items() if arm != "vocabulary"}
    differences = [
        {**here, "arm": arm, "reference": "vocabulary", "difference": effect, "low": effect - 0.05,
         "high": effect + 0.05, "p": 0.5 if abs(effect) < 0.05 else 0.0002, "margin": MARGIN,
         "verdict": "none: control failed" if failing else _said(effect)}
        for arm, effect in others.items()
    ]  # fmt: skip
    arms = [
        {**here, "arm": arm, "kind": "arm", "runs": 6, "missing": 2 if arm == "gaussian" else 0,
         "mean": 1.4 + effect, "low": 1.35 + effect, "high": 1.45 + effect,
         "best rate": "0.1 relative", "mean at the best rate": 1.35 + effect, "share": 0.8}
        for arm, effect in effects.items()
    ]  # fmt: skip
    pairs = [
        {**here, "first": one, "second": other, "difference": effects[one] - effects[other],
         "low": -0.1, "high": 0.1, "p": 0.3, "margin": MARGIN, "verdict": "undecided"}
        for one, other in itertools.combinations(effects, 2)
    ]  # fmt: skip
    whole = {**here, "first": "all pairs", "second": "", "difference": None, "low": None,
             "high": None, "p": 0.9, "margin": MARGIN, "verdict": "undecided"}  # fmt: skip
    answers = [
        ("Is the positive control detected?", "difference to the reference",
         far["positive control"], "failed" if failing else "passed"),
        ("Does the negative control come out equal?", "p of two one-sided tests", 0.012, "passed"),
        ("Do arms differ from vocabulary?", "arms whose interval leaves 0", 2,
         "none: control failed" if failing else "yes: isotropic higher"),
        ("Are all arms equal?", "largest p over all pairs", 0.9,
         "none: control failed" if failing else "undecided"),
        (f"Does {SCRIPT} matter?", None, "not measured", "not testable"),
    ]  # fmt: skip
    verdicts = [
        {**here, "question": question, "statistic": statistic, "value": value, "verdict": verdict}
        for question, statistic, value, verdict in answers
    ]
    power = [{**here, "seeds": 3, "difference found in 80 %": 0.06, "equality shown in 80 %": 0.09}]
    return [
        table("verdicts", "Verdicts", "", verdicts),
        table("arms", "Arms", "Means over the grid of rates, with 95 % intervals.", arms),
        table("differences", "Differences to the reference", "Dunnett.", differences),
        table("equality", "Equality of all pairs", "Two one-sided tests.", [*pairs, whole]),
        table("power", "Power", "", power),
    ]


def _said(effect: float) -> str:
    if abs(effect) < 0.08:
        return "undecided"
    return "higher" if effect > 0 else "lower"


def table(name: str, title: str, note: str, records: list[dict[str, Any]]) -> dict[str, Any]:
    """A table as compare stores it."""
    columns = list(records[0])
    rows = [[record[column] for column in columns] for record in records]
    return {"name": name, "title": title, "note": note, "columns": columns, "rows": rows}
