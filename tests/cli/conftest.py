"""The command line, called as a user calls it."""

import sys

import pytest
import torch

from promptpriors.cli import main


@pytest.fixture
def cli(monkeypatch, capsys):
    """Call a command: its status, and what it wrote to stdout and stderr."""
    threads = torch.get_num_threads()

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["promptpriors", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capsys.readouterr()
        return end.value.code or 0, out, err

    yield call
    torch.set_num_threads(threads)
