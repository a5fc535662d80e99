"""How far a prompt brings two domains together, measured once and found again."""

import pytest

import promptpriors as pp
from promptpriors.config.run import parse_config
from promptpriors.data import choose_task
from promptpriors.measure.domain_gap import measure_bridge
from promptpriors.models import Backbone
from promptpriors.running.run import execute
from promptpriors.running.workspace import Workspace
from promptpriors.runs import read_run
from tests.running.test_run import TINY

OTHER = choose_task({"name": "mathematics", "modules": ["div"], "train": 16, "validation": 4})


@pytest.fixture(scope="module")
def workspace():
    return Workspace()


@pytest.fixture(scope="module")
def ran(workspace, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")

    def run(**prompt):
        return execute(parse_config({**TINY, "prompt": prompt}), folder, workspace)

    return run


def measured(run, workspace, **params):
    return measure_bridge(run, workspace, **{"documents": 12, "other": OTHER, **params})


@pytest.mark.slow
def test_what_enters_behind_the_texts_changes_nothing_and_a_soft_prompt_does(ran, workspace):
    soft = ran(mode="soft", length=4)
    sites = workspace.backbone(parse_config(soft.config).model_spec).sites
    blocks = [site for site in sites if site.startswith("block.")]
    deep = measured(ran(mode="deep-cut", length=4, sites=[blocks[-1]]), workspace)
    assert (deep["ratio"], *deep["interval"]) == pytest.approx(
        (1, 1, 1), abs=1e-3
    )  # stores are float16
    found = measured(soft, workspace)
    low, high = found["interval"]
    assert low < found["ratio"] < high
    assert found["ratio"] != pytest.approx(1, abs=5e-3)
    assert found["site"] == blocks[-1]


@pytest.mark.slow
def test_it_is_measured_once_with_the_same_settings(ran, workspace):
    run = ran(mode="soft", length=4)
    first, stamp = measured(run, workspace), (run.folder / "bridge.json").stat().st_mtime_ns
    assert measured(run, workspace) == first
    assert (run.folder / "bridge.json").stat().st_mtime_ns == stamp
    assert measured(run, workspace, documents=10)["settings"]["documents"] == 10


def test_a_model_whose_blocks_are_not_known_has_no_bridge(ran, workspace, monkeypatch):
    run = ran(mode="soft", length=4)
    monkeypatch.setattr(Backbone, "sites", {"embed": None})
    with pytest.raises(pp.InputError, match="has no blocks whose input can be read"):
        measured(run, workspace, documents=9)


def test_what_has_no_bridge_is_refused(ran, workspace):
    with pytest.raises(pp.InputError, match="has no trained prompt"):
        measured(ran(mode="none"), workspace)
    run = ran(mode="soft", length=4)
    with pytest.raises(pp.InputError, match="is on mathematics itself"):
        measured(run, workspace, other=parse_config(run.config).task)
    with pytest.raises(pp.InputError, match="needs 8 documents, found 4"):
        measured(run, workspace, documents=4)
    (run.folder / "result.json").unlink()
    with pytest.raises(pp.InputError, match="has no trained prompt"):
        measured(read_run(run.folder), workspace)
