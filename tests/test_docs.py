"""Documents: the example runs, the tree is up to date, links lead somewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_the_readmes_example_runs(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.S)
    small = code.replace('"smollm2"', '"tiny"').replace("steps=40", "steps=1")
    small = small.replace('"train": 500', '"train": 20, "validation": 5, "test": 2')
    assert small != code
    exec(compile(small, "README.md", "exec"), {})  # the README's own code
    assert capsys.readouterr().out.count("\n") >= 4


@pytest.mark.slow
def test_the_tree_names_every_module_with_its_first_line():
    made = subprocess.run(
        [sys.executable, "scripts/tree.py", "--check"], cwd=ROOT, check=False, capture_output=True
    )
    assert made.returncode == 0, "docs/tree.md is old: python scripts/tree.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith("https://"):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_module_that_a_page_names_exists(page):
    text = page.read_text(encoding="utf-8")
    invented = {"promptpriors/priors/laplace.py"}  # the example of add_a_prior.md
    for name in set(re.findall(r"`((?:[a-z_0-9]+/)+[a-z_0-9]+\.py)`", text)) - invented:
        assert any((folder / name).exists() for folder in (ROOT, ROOT / "promptpriors")), name


def test_the_version_is_said_once():
    from promptpriors import __version__

    assert f"version: {__version__}" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_make_targets_are_there():
    for target in ("demo", "test", "check", "bench"):
        made = subprocess.run(
            ["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert made.returncode == 0, made.stderr
