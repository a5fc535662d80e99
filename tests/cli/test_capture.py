"""The command capture as a user meets it."""

import json

import pytest

from promptpriors.activations import load_space
from promptpriors.activations import recording as module


@pytest.fixture
def capturing(place):
    path = place / "run.toml"
    more = '[capture]\nsites = ["embed", "block.1"]\ndocuments = 20\n'
    path.write_text(path.read_text() + more)
    return place


@pytest.mark.slow
def test_capture_prints_the_store_and_nothing_else_on_stdout(capturing, cli):
    status, out, err = cli("capture", "run.toml", "--out", "store")
    assert (status, out) == (0, "store\n")
    assert "20 documents, 20 examples" in err
    assert load_space("store", "block.1").points.shape[1] == 32
    status, out, _ = cli("capture", "run.toml", "--out", "store", "--json")
    found = json.loads(out)
    assert (status, found["documents"], found["computed"]) == (0, 20, 0)


def test_a_capture_without_a_place_lies_in_the_cache(capturing, cli, monkeypatch):
    monkeypatch.setenv("PROMPTPRIORS_CACHE", "cache")
    status, out, _ = cli("capture", "run.toml")
    assert status == 0
    assert out.startswith("cache/stores/")


def test_a_full_disk_is_work_that_failed(capturing, cli, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_tensors", full)
    status, _, err = cli("capture", "run.toml", "--out", "store")
    assert status == 1
    assert "No space left on device" in err
    assert "it goes on from there" in err
    assert "Traceback" not in err


def test_ctrl_c_says_how_to_go_on(capturing, cli, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "write_tensors", stop)
    status, _, err = cli("capture", "run.toml", "--out", "store")
    assert status == 130
    assert "the same command goes on" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["capture.sites=[]"], "expected at least one site"),
        (
            ['capture.sites=["block.9"]'],
            "site 'block.9' does not exist in this model",
        ),
        (["capture.sits=[]"], "Did you mean 'sites'?"),
        (["capture.split=dev"], "task 'mathematics' has"),
        (["capture.documents=0"], "capture.documents = 0"),
        (["--prompt", "nothing"], "no run is called 'nothing'"),
        (["--out", "run.toml"], "the store run.toml can't be written"),
        (["--out", "."], "is no store; set capture.out"),
    ],
)
def test_bad_input_ends_with_status_2_and_a_sentence(capturing, cli, words, message):
    status, out, err = cli("capture", "run.toml", *words)
    assert status == 2
    assert message in err
    assert len(err.strip().splitlines()) <= 4
    assert out == ""


@pytest.mark.slow
def test_under_a_prompt(ran, capturing, cli):
    status, out, _ = cli("capture", "run.toml", "--out", "store", "--prompt", ran["id"][:6])
    assert (status, out) == (0, "store\n")
    assert json.loads((capturing / "store" / "manifest.json").read_text())["prompt"] == ran["id"]
