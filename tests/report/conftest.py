"""A small runs folder and a browser."""

from pathlib import Path

import pytest

from tests.conftest import require
from tests.report.sample import build_runs

CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return build_runs(tmp_path_factory.mktemp("report") / "runs")


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium, or a skip that says why there is none."""
    if not CHROMIUM.exists():
        require("browser", f"{CHROMIUM} is missing: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield chromium
        chromium.close()
