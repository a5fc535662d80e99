"""What a finished run's vectors do, measured once and found again."""

import json
from dataclasses import replace

import pytest
import torch
from scipy.stats import t as student

import promptpriors as pp
from promptpriors.analysis.significance import change
from promptpriors.config.run import parse_config
from promptpriors.errors import Note
from promptpriors.files import write_tensors
from promptpriors.geometry import nearest_by_cosine
from promptpriors.measure.effects import measure_use
from promptpriors.prompts import Prompt
from promptpriors.rng import generator
from promptpriors.running.run import execute
from promptpriors.running.workspace import Workspace
from promptpriors.runs import read_run
from tests.running.test_run import TINY

EXAMPLES = 10


@pytest.fixture(scope="module")
def workspace():
    return Workspace()


@pytest.fixture(scope="module")
def ran(workspace, tmp_path_factory):
    """Finished runs by mode."""
    folder, known = tmp_path_factory.mktemp("runs"), {}

    def run(mode, **prompt):
        key = json.dumps([mode, prompt])
        if key not in known:
            section = {"mode": mode, **({"length": 4} if mode != "none" else {}), **prompt}
            known[key] = execute(parse_config({**TINY, "prompt": section}), folder, workspace)
        return known[key]

    return run


def measured(run, workspace, **params):
    (run.folder / "use.json").unlink(missing_ok=True)
    return measure_use(run, workspace, **{"examples": EXAMPLES, "draws": 2, **params})


def examples_of(run, workspace):
    return workspace.task(parse_config(run.config).task).splits["validation"]


def loss(run, workspace, prompt):
    backbone = workspace.backbone(parse_config(run.config).model_spec)
    with torch.no_grad():
        return float(pp.loss(backbone, prompt, examples_of(run, workspace)))


@pytest.mark.slow
def test_losses_are_those_of_the_prompts_they_speak_of(ran, workspace):
    run = ran("soft")
    found = measured(run, workspace)
    whole = found["loss"]
    assert whole == pytest.approx(run.result["val_loss"], rel=1e-5)
    plain = loss(run, workspace, None)
    assert whole + found["masked"]["all"]["change"] == pytest.approx(plain, rel=1e-5)
    space = workspace.vocabulary(parse_config(run.config).model_spec)
    rows = nearest_by_cosine(run.tensors()["final/embed"], space.points).rows[:, 0]
    labels = workspace.tokens(parse_config(run.config).model_spec)
    assert [item["token"] for item in found["readout"]] == [labels[i] for i in rows]
    expected = loss(run, workspace, Prompt("soft", {"embed": space.points[rows]}))
    nearest = found["projected"]["nearest"]["change"]
    assert whole + nearest == pytest.approx(expected, rel=1e-5)
    assert found["split"] == "validation"
    assert found["examples"] == found["documents"] == EXAMPLES
    assert found["model"] == run.metadata()["model"]
    assert found["left_out"] == {}


@pytest.mark.slow
def test_every_vector_is_masked_and_replaced_by_draws_of_the_runs_own_prior(ran, workspace):
    run = ran("soft")
    found = measured(run, workspace, draws=2)
    assert len(found["masked"]["vectors"]) == len(found["replaced"]) == 4
    assert len({item["change"] for item in found["masked"]["vectors"]}) == 4
    for item in [*found["masked"]["vectors"], *found["replaced"]]:
        assert item["low"] < item["change"] < item["high"]
    for item in found["replaced"]:
        assert len(set(item["by_draw"])) == 2
        assert item["change"] == pytest.approx(sum(item["by_draw"]) / 2, rel=1e-6)
    again = measured(run, workspace, seed=1)
    assert again["replaced"] != found["replaced"]
    assert again["masked"] == found["masked"]  # all ten examples, whatever the seed


@pytest.mark.slow
def test_a_deterministic_prior_replaces_a_vector_by_where_it_started(tmp_path, workspace):
    text = {"name": "text", "text": "abcd"}
    run = execute(parse_config({**TINY, "prior": text}), tmp_path, workspace)
    found = measured(run, workspace)
    values = {"embed": run.tensors()["final/embed"].clone()}
    values["embed"][2] = run.tensors()["initial/embed"][2]
    expected = loss(run, workspace, Prompt("soft", values)) - found["loss"]
    assert found["replaced"][2]["by_draw"] == pytest.approx([expected] * 2, abs=1e-6)


@pytest.mark.slow
def test_halves_are_those_nearest_to_and_farthest_from_the_points(ran, workspace):
    run = ran("deep-cut")
    points = torch.randn(50, 32, generator=generator(0, "points"))
    found = measured(run, workspace, points={"block.1": points})
    vocabulary = workspace.vocabulary(parse_config(run.config).model_spec).points
    for site, cloud in (("embed", vocabulary), ("block.1", points)):
        half = found["halves"][site]
        distance = torch.cdist(run.tensors()[f"final/{site}"], cloud).amin(dim=1)
        torch.testing.assert_close(torch.tensor(half["distance"]), distance, rtol=1e-4, atol=1e-5)
        near, far = half["near"]["vectors"], half["far"]["vectors"]
        assert sorted(near + far) == [0, 1, 2, 3]
        assert half["in_neither"] == []
        assert distance[near].max() <= distance[far].min()
        apart = half["near"]["change"] - half["far"]["change"]
        assert half["near_less_far"]["change"] == pytest.approx(apart, rel=1e-6)
    assert found["left_out"] == {}
    assert measured(run, workspace)["left_out"] == {
        "halves.block.1": "no cloud of points at block.1"
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "length", "out"), [("soft", 5, 1), ("soft", 4, 2), ("deep", 5, 1)]
)
def test_the_first_row_that_runs_through_the_network_is_in_neither_half(
    ran, workspace, mode, length, out
):
    found = measured(ran(mode, length=length, sites=["embed"]), workspace)["halves"]["embed"]
    assert 0 in found["in_neither"]
    assert len(found["in_neither"]) == out
    rest = [*found["near"]["vectors"], *found["far"]["vectors"], *found["in_neither"]]
    assert sorted(rest) == list(range(length))
    sides = [[found["distance"][i] for i in found[name]["vectors"]] for name in ("near", "far")]
    assert max(sides[0]) <= min(sides[1])


@pytest.mark.slow
def test_what_has_no_meaning_is_left_out_with_its_reason(ran, workspace):
    found = measured(ran("deep-cut", sites=["block.1"]), workspace)
    assert found["left_out"] == {
        "halves.block.1": "no cloud of points at block.1",
        "projected": "no vocabulary at block.1",
        "readout": "no vocabulary at block.1",
    }
    assert "projected" not in found
    assert len(found["masked"]["vectors"]) == len(found["replaced"]) == 4
    keys = measured(ran("kv"), workspace)
    assert keys["halves"] == {}
    assert (
        keys["left_out"]["halves.block.0"] == "keys and values at block.0 lie in no cloud of points"
    )
    assert measured(ran("soft", length=1), workspace)["left_out"] == {
        "halves.embed": "too few vectors for two halves"
    }


@pytest.mark.slow
def test_attention_is_given_by_head_and_by_vector(ran, workspace):
    found = measured(ran("deep-cut", sites=["block.1"]), workspace)["attention"]
    for part in found.values():
        by_head, by_vector = torch.tensor(part["by_head"]), torch.tensor(part["by_vector"])
        assert by_head.shape == by_vector.shape == (2, 4)
        torch.testing.assert_close(by_head.mean(dim=1), by_vector.sum(dim=1))
        assert (by_head[0] == 0).all()
        assert (by_head[1] > 0).all()


@pytest.mark.slow
def test_it_is_found_again_with_the_same_settings_and_measured_again_with_others(ran, workspace):
    run = ran("soft")
    found = measured(run, workspace)
    path = run.folder / "use.json"
    assert json.loads(path.read_text()) == found
    stages = []
    again = measure_use(
        run,
        workspace,
        examples=EXAMPLES,
        draws=2,
        on_progress=lambda stage, *_: stages.append(stage),
    )
    assert again == found
    assert not stages
    other = measure_use(run, workspace, examples=EXAMPLES - 2, draws=2)
    assert other["examples"] == EXAMPLES - 2
    assert json.loads(path.read_text()) == other
    assert not list(run.folder.glob(".*.tmp"))
    assert read_run(run.folder).status == "done"


@pytest.mark.slow
def test_planted_rows_read_as_their_text_and_projecting_them_changes_nothing(ran, workspace):
    """A run whose prompt is a text, untrained."""
    text = {"name": "text", "text": "read"}
    frozen = parse_config({**TINY, "prior": text, "train": {"frozen": True}})
    run = execute(frozen, ran("soft").folder.parent, workspace)
    found = measured(run, workspace)
    assert [item["token"] for item in found["readout"]] == ["r", "e", "a", "d"]
    assert all(item["read"] for item in found["readout"])
    assert found["projected"]["nearest"]["change"] == pytest.approx(0, abs=1e-6)


@pytest.mark.slow
def test_without_two_documents_there_are_no_intervals(ran, workspace, monkeypatch):
    monkeypatch.setattr("promptpriors.measure.effects.documents", lambda examples: [examples])
    found = measured(ran("deep-cut"), workspace)
    assert found["documents"] == 1
    assert "a single document" in found["left_out"]["intervals"]
    assert found["masked"]["all"]["low"] is found["masked"]["all"]["high"] is None
    assert found["masked"]["all"]["change"] != 0


def test_an_interval_of_single_examples_is_the_usual_one_and_documents_widen_it():
    apart = torch.randn(40, dtype=torch.float64, generator=generator(0, "apart"))
    one = torch.ones(40, dtype=torch.long)
    found = change(apart, one, torch.arange(40))
    half = float(student.ppf(0.975, 39)) * float(apart.std()) / 40**0.5
    assert found["change"] == pytest.approx(float(apart.mean()))
    assert found["high"] - found["change"] == pytest.approx(half)
    twice = change(apart.repeat(2), one.repeat(2), torch.arange(40).repeat(2))
    assert twice == pytest.approx(found)  # the same documents, each told twice
    alike = apart[:8].repeat_interleave(5)
    narrow = change(alike, one, torch.arange(40))
    wide = change(alike, one, torch.arange(8).repeat_interleave(5))
    assert wide["high"] - wide["low"] > 2 * (narrow["high"] - narrow["low"])


def test_intervals_of_ratios_over_documents_cover_the_truth():
    """Documents of several examples with a mean of their own; the truth is 0.3 a token."""
    stream = generator(1, "documents")
    covered = 0
    for _ in range(400):
        document = torch.arange(20).repeat_interleave(3)
        targets = torch.randint(1, 6, (60,), generator=stream)
        means = 0.3 + torch.randn(20, dtype=torch.float64, generator=stream)[document]
        found = change(means * targets, targets, document)
        covered += found["low"] <= 0.3 <= found["high"]
    assert 0.91 < covered / 400 < 0.98


@pytest.mark.slow
def test_what_can_not_be_measured_is_refused(ran, workspace, tmp_path):
    run = ran("soft")
    unfinished = replace(run, result=None)
    for given, params, words in [
        (unfinished, {}, "is unfinished: start it again to end it"),
        (ran("none"), {}, "has the empty prompt"),
        (run, {"examples": 64}, "has 10 examples; expected at least 64\nAsk for fewer"),
        (run, {"examples": 1}, "1 examples and 3 draws: expected at least 2 and 1"),
        (run, {"examples": 4, "draws": 0}, "4 examples and 0 draws"),
    ]:
        with pytest.raises(pp.InputError, match=words):
            measure_use(given, workspace, **params)


@pytest.mark.slow
def test_a_model_at_another_revision_is_warned_of(tmp_path, workspace):
    run = execute(parse_config(TINY), tmp_path, workspace)
    metadata = run.metadata() | {"model": "tiny 0"}
    write_tensors(run.folder / "prompt.safetensors", run.tensors(), metadata)
    with pytest.warns(Note, match="is at tiny 1, the prompt was trained at tiny 0"):
        measured(run, workspace)
