"""From one config to thirteen figures: on a model for tests, with real texts."""

import json
import shutil
import tomllib
from pathlib import Path

import pytest
import tomli_w

import promptpriors as pp
from promptpriors.figures.pictures import draw
from promptpriors.paper import FIGURES, figures, paper_claims, produce, read_plan
from promptpriors.paper import domain_figures as domains
from promptpriors.paper.claims import claim_with
from promptpriors.paper.figure_rules import judge
from promptpriors.progress import silent
from promptpriors.report import build
from promptpriors.running.workspace import Workspace
from promptpriors.runs import list_charts, list_runs, read_chart
from promptpriors.runs.claims import Evidence, read_claims, write_claims
from promptpriors.runs.pictures import read_picture

SHIPPED = Path(__file__).resolve().parents[2] / "configs" / "paper" / "figures.toml"
ARITHMETIC = {"name": "mathematics", "train": 64, "validation": 16, "test": 0}


def small(folder):
    """The shipped config, shrunk to a model for tests and few documents."""
    config = tomllib.loads(SHIPPED.read_text(encoding="utf-8"))
    config["model"] = "tiny"
    config["base"]["task"] = {"name": "squad", "train": 32, "validation": 8, "test": 0}
    config["base"]["train"] |= {"steps": 4, "evaluate_every": 2}
    for domain in config["domains"].values():
        domain |= {"documents": 40, "tokens": 96}
    config["layers"] = {"documents": 40, "tokens": 32}
    config["means"] = {"documents": 40, "modules": ["add_or_sub", "mul"]}
    for run in config["runs"].values():
        if "task" in run:
            run["task"] = ARITHMETIC
        if "train" in run:
            run["train"]["steps"] = 4
        if run.get("prompt"):
            run["prompt"]["sites"] = ["block.0", "block.1"]
    path = folder / "figures.toml"
    path.write_text(tomli_w.dumps(config), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory, real_data):
    folder = tmp_path_factory.mktemp("paper")
    plan = read_plan(small(folder))
    runs = folder / "runs"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "POINTS", 200)
        patch.setattr(domains, "NULLS", 99)
        found = produce(
            plan, list(FIGURES), runs, Workspace(real_data), command="a command", on_progress=silent
        )
        return plan, runs, list(found)


def test_every_figure_has_points_a_caption_and_numbers(made):
    _, runs, pictures = made
    assert [picture.number for picture in pictures] == list(range(1, 14))
    for picture in pictures:
        stored = json.loads((runs / "figures" / f"fig{picture.number:02d}.json").read_text())
        assert stored["command"] == "a command"
        assert len(stored["caption"]) > 100
        assert stored["numbers"]
        for panel in picture.panels:
            assert panel.layers
            assert all(len(layer.points) for layer in panel.layers)


def test_figures_of_one_space_share_one_map(made):
    _, runs, _ = made
    clouds = [read_picture(runs / "figures", n).panels[0].layers[0].points for n in (6, 7, 8, 9)]
    assert all(cloud.equal(clouds[0]) for cloud in clouds)


def test_prompts_of_the_figures_are_those_of_the_runs(made):
    _, runs, pictures = made
    run = {run.id: run for run in list_runs(runs)}[pictures[5].numbers["run"]]
    assert run.config["prior"]["name"] == "isotropic"
    assert run.config["train"]["lr"]["relative"] == 0.25
    assert pictures[5].numbers["validation loss"][1] == run.result["val_loss"]


def test_a_drawn_figure_shows_every_panel(made):
    *_, pictures = made
    for picture in pictures:
        shown = [axes for axes in draw(picture).axes if axes.has_data()]
        assert len(shown) == len(picture.panels)


def test_a_second_start_gathers_nothing_anew(made, real_data):
    plan, runs, _ = made
    patterns = ("figures/*", "charts/*", "*/result.json", "stores/*/shard*")
    files = [path for pattern in patterns for path in runs.glob(pattern)]
    before = {path: path.stat().st_mtime_ns for path in files}
    assert len(before) > 40
    list(
        produce(
            plan, list(FIGURES), runs, Workspace(real_data), command="another", on_progress=silent
        )
    )
    assert all(path.stat().st_mtime_ns == then for path, then in before.items())


def test_charts_hold_every_run_at_their_site(made):
    _, runs, _ = made
    charts = [read_chart(path) for path in list_charts(runs)]
    assert {"vocabulary", "tokens at embed"} <= {chart.title for chart in charts}
    for chart in charts:
        at_site = {run.id for run in list_runs(runs) if chart.site in run.config["prompt"]["sites"]}
        assert set(chart.prompts) == at_site
        assert set(chart.layouts) == {"pca", "tsne"}


def test_the_page_takes_them_up(made):
    page = build(made[1])
    assert "Sentence trajectories are not localised" in page
    assert "tokens at embed" in page


def test_every_claim_has_a_verdict_and_one_run_decides_nothing(made):
    claims = read_claims(made[1])
    assert [found.claim for found in claims] == list(paper_claims()) == list(range(1, 24))
    for found in claims:
        assert found.figure.evidence
        if paper_claims()[found.claim].evidence == ["study"]:
            assert found.verdict == "undecided"
    assert claims[10].verdict == "not testable"  # the encoder–decoder is a random one


def test_verdicts_of_studies_outlast_the_figures(made, real_data, tmp_path):
    plan, whole, _ = made
    runs = shutil.copytree(whole, tmp_path / "runs")
    study = Evidence(
        statistic="s", value=1.0, interval=(0.5, 1.5), p=None, verdict="confirmed", evidence="seeds"
    )
    write_claims(runs, [claim_with(1, study=study)])
    workspace = Workspace(real_data)
    list(produce(plan, list(FIGURES), runs, workspace, command="c", on_progress=silent))
    first = read_claims(runs)[0]
    assert (first.study, first.verdict) == (study, "confirmed")
    assert first.figure.statistic == "displacement, isotropic, fast"


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [([0.85, 0.95], "confirmed"), ([0.5, 0.7], "refuted"), ([1.1, 1.2], "refuted"),
     ([0.7, 0.9], "undecided"), ([0.9, 1.1], "undecided")],
)  # fmt: skip
def test_the_verdict_on_walks_follows_the_interval(interval, verdict):
    numbers = {1: {"spread over vocabulary": {"ratio": 0.9, "interval": interval, "p": 0.01}}}
    found = {claim.claim: claim for claim in judge(numbers)}
    assert found[9].verdict == verdict
    assert found[17].verdict == "undecided"
    assert found[17].figure.evidence == "figure 3 was not made"


def test_a_plan_without_a_run_that_a_figure_needs_is_refused(tmp_path):
    config = tomllib.loads(SHIPPED.read_text(encoding="utf-8"))
    del config["runs"]["deep-xavier"]
    (tmp_path / "plan.toml").write_text(tomli_w.dumps(config), encoding="utf-8")
    with pytest.raises(pp.InputError, match=r"need the runs .*; add \[runs.deep-xavier\]"):
        read_plan(tmp_path / "plan.toml")


def test_the_shipped_plan_is_whole():
    plan = read_plan(SHIPPED)
    assert plan.runs["deep-gaussian"]["train"] == plan.runs["squad-gaussian"]["train"]
    assert plan.runs["isotropic-fast"]["train"]["batch"] == 16
