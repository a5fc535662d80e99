"""A small study on the page: runs, record and result by the code that writes them."""

from pathlib import Path
from typing import Any

from promptpriors.runs.study_results import write_study_result
from promptpriors.verdicts.outcomes import read_settings
from promptpriors.verdicts.results import study_results
from tests.report.sample import SCRIPT
from tests.verdicts.studies import CEILING, FLOOR, TEXT, Study

SLOW, FAST = RATES = ("0.025 relative", "0.1 relative")
TEXT_ARM = f"text {SCRIPT}"
EFFECTS = {"vocabulary": 0.0, "gaussian": -0.01, "isotropic": 0.22, TEXT_ARM: 0.06}
"""What each arm adds to the loss at the end; the slower rate is the better one by 0.1."""
SEEDS = 5
MARGIN = 0.05 * (FLOOR - CEILING)
FAILED, ABSENT = ("gaussian", FAST, SEEDS - 2), ("gaussian", FAST, SEEDS - 1)

__all__ = [
    "ABSENT", "CEILING", "EFFECTS", "FAILED", "FAST", "FLOOR", "MARGIN", "RATES", "SEEDS", "SLOW",
    "TEXT", "TEXT_ARM", "build_study", "judge_again", "study",
]  # fmt: skip


def study(effects: dict[str, float] = EFFECTS, *, failing: bool = False, **more: Any) -> Study:
    """A study with a failed and an absent run; with ``failing`` no control is found different."""
    options: dict[str, Any] = {
        "seeds": SEEDS, "rates": RATES, "steps": 40, "every": 10, "noise": 0.01, "draw": 0.01,
        "order": 0.02, "positive": 0.0 if failing else 1.0, "lost": {FAILED}, "absent": {ABSENT},
        "error": f"the loss is no longer a number at step 12 {SCRIPT}",
    }  # fmt: skip
    return Study(effects, **options | more)


def build_study(folder: Path, effects: dict[str, float] = EFFECTS, **more: Any) -> Path:
    """Write a study with its result, and give the folder back."""
    study(effects, **more).write(folder)
    return judge_again(folder)


def judge_again(folder: Path) -> Path:
    """Write the results of the folder's studies, as compare does."""
    for result in study_results(read_settings(folder)):
        write_study_result(folder, result)
    return folder
