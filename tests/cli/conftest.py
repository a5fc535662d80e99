"""The command line, called as a user calls it."""

import json
import sys

import pytest

from promptpriors.cli import main

CONFIG = """
model = "tiny"
[task]
name = "mathematics"
train = 30
validation = 8
test = 4
[prior]
name = "gaussian"
[prompt]
length = 3
[train]
steps = 3
batch = 4
evaluate_every = 2
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty working folder with a config in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PROMPTPRIORS_DATA", raising=False)
    (tmp_path / "run.toml").write_text(CONFIG)
    return tmp_path


@pytest.fixture
def cli(monkeypatch, capsys):
    """Call a command: its status, and what it wrote to stdout and stderr."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["promptpriors", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capsys.readouterr()
        return end.value.code or 0, out, err

    return call


@pytest.fixture
def ran(place, cli):
    status, out, _ = cli("run", "run.toml", "--json")
    assert status == 0
    return json.loads(out)
