"""The command line, called as a user calls it."""

import contextlib
import io
import json
import shutil
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


def call(*words):
    """The status with which a command ends."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["promptpriors", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
    return end.value.code or 0


@pytest.fixture
def cli(capsys):
    """Call a command: its status, and what it wrote to stdout and stderr."""

    def answer(*words):
        status = call(*words)
        return status, *capsys.readouterr()

    return answer


@pytest.fixture(scope="session")
def first(tmp_path_factory):
    """A working folder in which the config's run was done, and what the command printed."""
    folder, printed = tmp_path_factory.mktemp("first"), io.StringIO()
    (folder / "run.toml").write_text(CONFIG)
    with contextlib.chdir(folder), contextlib.redirect_stdout(printed):
        assert call("run", "run.toml", "--json") == 0
    return folder, json.loads(printed.getvalue())


@pytest.fixture
def ran(place, first):
    """The finished run, in the working folder of this test alone."""
    folder, printed = first
    shutil.copytree(folder / "runs", place / "runs")
    return printed
