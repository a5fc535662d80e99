"""What tests share: the tiny and the embedded model, real data, and how a test may be skipped."""

import gc
import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings

import promptpriors as pp

settings.register_profile("shared machine", deadline=None, max_examples=50)
settings.load_profile("shared machine")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark a test by the costly things that it uses."""
    for fixture, mark in (("smollm2", "slow"), ("made", "slow"), ("browser", "browser")):
        if fixture in getattr(item, "fixturenames", ()):
            item.add_marker(mark)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest tests, so that no process waits for another at the end."""
    items.sort(key=lambda item: not {mark.name for mark in item.iter_markers()} & {"kill", "ray"})


def pytest_collection_finish() -> None:
    """Spare the garbage collector all that was imported: a sixth of the time of small tests."""
    gc.collect()
    gc.freeze()


def require(name: str, reason: str) -> None:
    """Skip for want of ``name``; fail instead when PROMPTPRIORS_REQUIRE lists it."""
    if name in os.environ.get("PROMPTPRIORS_REQUIRE", "").split(","):
        pytest.fail(f"{name} is required here: {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """A command that takes all cores takes one here: tests of another process have the others."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.cpu_count", lambda: 1)
        yield


@pytest.fixture(scope="session")
def tiny():
    return pp.load_model("tiny")


@pytest.fixture(scope="session")
def smollm2():
    return pp.load_model("smollm2")


@pytest.fixture(scope="session")
def real_data() -> Path:
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("PROMPTPRIORS_DATA", beside))
    if not (folder / "squad").is_dir():
        require("data", f"no real data in {folder}; set PROMPTPRIORS_DATA")
    return folder
