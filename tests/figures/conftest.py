"""A small runs folder."""

import pytest

from promptpriors.runs import list_runs
from tests.report.sample import build_runs


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return build_runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def runs(folder):
    return [run for run in list_runs(folder) if run.config["model"] == "smollm2"]
