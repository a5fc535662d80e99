"""The command `pack`, and the other commands on what it made."""

import json
import shutil

import pytest

FILE = "packed/all.runs.jsonl.gz"


@pytest.fixture
def packed(ran, cli, place):
    """The run, packed into another folder, and its own gone."""
    assert cli("compare", "runs")[0] == 0
    status, out, err = cli("pack", "runs", FILE)
    assert status == 0
    copied = "packed/compare.json"
    assert out.split() == [FILE, "packed/all.runs.safetensors", copied]
    assert "1 runs are packed; the folder runs is as it was" in err
    assert (place / ran["folder"] / "result.json").exists()
    shutil.move(place / "runs", place / "gone")
    return ran["id"]


def test_every_command_reads_what_is_packed(packed, cli, place):
    _, out, _ = cli("list", "runs", "--runs", "packed", "--json")
    (row,) = json.loads(out)
    assert (row["id"], row["status"]) == (packed, "done")
    status, out, _ = cli("ask", f"packed/{packed}", "What is 2 + 2?", "--max-new-tokens", 2)
    assert status == 0
    assert out.startswith("with the prompt:")
    status, out, _ = cli("report", "packed")
    assert status == 0
    assert packed in (place / out.strip()).read_text(encoding="utf-8")
    assert cli("compare", "packed")[0] == 0
    own, other = (place / f / "compare" / "position.csv" for f in ("gone", "packed"))
    assert own.read_text() == other.read_text()
    status, _, err = cli("report", FILE)
    assert status == 2
    assert f"{FILE} is a file of packed runs; give the folder that it lies in" in err


def test_a_run_that_is_packed_is_not_done_again(packed, cli, place):
    status, out, _ = cli("run", "run.toml", "--runs", "packed")
    assert status == 0
    assert out.strip() == f"packed/{packed}"
    assert not (place / "packed" / packed).exists()


def test_positions_of_packed_vectors_lie_beside_the_file(ran, cli, place):
    assert cli("pack", "runs", FILE, "--vectors", "all", "--precision", "float32")[0] == 0
    assert cli("compare", "packed")[0] == 0
    assert (place / "packed" / ran["id"] / "position.json").is_file()
    assert cli("compare", "runs")[0] == 0
    for name in ("position", "priors"):
        own, other = (place / f / "compare" / f"{name}.csv" for f in ("runs", "packed"))
        assert own.read_text() == other.read_text()


def test_what_is_left_out_is_said_on_the_page(ran, cli, place):
    cli("pack", "runs", FILE, "--without", "nearest_tokens")
    _, out, _ = cli("report", "packed")
    page = (place / out.strip()).read_text(encoding="utf-8")
    assert "1 of 1 runs were packed without nearest_tokens, which is not shown of them." in page


def test_json_names_the_files_and_what_is_left_out(ran, cli, place):
    folder = place / "runs" / "0123"
    folder.mkdir()
    shutil.copy(place / ran["folder"] / "config.toml", folder)
    status, _, err = cli("pack", "runs", FILE)
    assert status == 2
    assert "unfinished (0123)" in err
    _, out, _ = cli("pack", "runs", FILE, "--leave-out-unfinished", "--vectors", "none", "--json")
    assert json.loads(out) == {"files": [FILE], "runs": 1, "unfinished": ["0123"]}
