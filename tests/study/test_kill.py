"""A study that is killed again and again ends with the bytes of one that nobody disturbed."""

import os
import random
import re
from itertools import count

import pytest

from tests.study.killing import finish, kill_once, same, start
from tests.study.samples import BASE, write_study

KILLS = int(os.environ.get("PROMPTPRIORS_KILLS", "5"))
"""Half of them of a study in one process, half under Ray; `make test-kill` takes 50."""
LONG = {**BASE, "train": {"steps": 120, "batch": 4, "evaluate_every": 5}}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    finish(start(write_study(folder, base=LONG), folder / "runs", 0))
    return folder / "runs"


@pytest.mark.kill
@pytest.mark.parametrize(
    ("workers", "kills"),
    [(0, (KILLS + 1) // 2), pytest.param(2, KILLS // 2, marks=pytest.mark.ray)],
)
def test_kills_change_nothing(undisturbed, tmp_path, workers, kills):
    study, moment = write_study(tmp_path, base=LONG), random.Random(kills)
    killed = []
    for attempt in count():
        runs, restarted = tmp_path / f"runs{attempt}", False
        while True:
            process = start(study, runs, workers)
            struck = kill_once(process, runs, moment) if len(killed) < kills else None
            if struck is not None:
                killed.append(struck)
            if struck is None or struck.whom == "worker":
                said = finish(process)
                break
            restarted = True
        assert same(undisturbed, runs) == []
        (found,) = re.findall(r"^\d+ runs: .*$", said, flags=re.M)
        assert (found == f"{len(list(runs.glob('*/config.toml')))} runs: 5 missing") != restarted
        if len(killed) >= kills:
            break
    assert len(killed) == kills
