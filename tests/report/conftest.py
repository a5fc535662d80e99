"""A small runs folder, and a browser that has no network."""

import contextlib
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


@pytest.fixture(scope="session")
def visit(browser):
    """Open a page; its errors and requests fail the test when it is closed."""

    @contextlib.contextmanager
    def visit_(path, **options):
        context = browser.new_context(offline=True, **options)
        page = context.new_page()
        wrong, asked = [], []
        page.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        yield page
        assert page.evaluate("window.attacked") is None
        assert wrong == []
        assert [url for url in asked if not url.startswith(("blob:", "data:"))] == [path.as_uri()]
        context.close()

    return visit_
