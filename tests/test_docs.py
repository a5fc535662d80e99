"""What the documents show must hold: the example runs, the tree is true, links lead somewhere."""

import ast
import re
import subprocess
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


def first_line(path):
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0].rstrip(".").replace("`", "")


def test_the_readmes_tree_names_every_module_with_its_first_line_and_nothing_else():
    (tree,) = re.findall(r"```text\n(.*?)```", README, flags=re.S)
    shown, folder = {}, ""
    for line in tree.splitlines():
        name, about = line.split(maxsplit=1)
        if not line.startswith("  "):
            folder = name if name.endswith("/") else ""
        shown[folder + name if line.startswith("  ") else name] = about
    for path in (ROOT / "promptpriors").rglob("*.py"):
        if path.name != "__init__.py":
            assert shown[str(path.relative_to(ROOT))] == first_line(path)
        elif path.parent.name != "promptpriors":
            assert shown[f"{path.parent.relative_to(ROOT)}/"] == first_line(path)
    assert all((ROOT / path).exists() for path in shown)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith("https://"):
            assert (page.parent / target).exists(), target


def test_the_version_is_said_once():
    from promptpriors import __version__

    assert f"version: {__version__}" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_make_targets_are_there():
    for target in ("demo", "test", "check", "bench"):
        made = subprocess.run(
            ["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert made.returncode == 0, made.stderr
