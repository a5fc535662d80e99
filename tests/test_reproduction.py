"""The committed reproduction: its packed runs give the committed tables and numbers."""

import importlib.util
import re
import shutil
from pathlib import Path

import pytest

from promptpriors.files import read_json

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "results" / "reproduction"
SCRIPTS = ROOT / "scripts"
COMMAND = 2
"""Line of the tables, from 0, that says which command wrote them."""
NUMBER = re.compile(r"[-+−]?\d+\.\d+(?:e[-+]\d+)?")


def tables(folder):
    """Lines of the tables with # for each decimal number, and these numbers."""
    lines = (folder / "tables.md").read_text(encoding="utf-8").splitlines()
    text = "\n".join(lines[:COMMAND] + lines[COMMAND + 1 :])
    numbers = [float(found.replace("−", "-")) for found in NUMBER.findall(text)]
    return NUMBER.sub("#", text).splitlines(), numbers


def leaves(value, path=""):
    """Each number or word of a JSON value, by where it stands."""
    if isinstance(value, dict | list):
        inner = value.items() if isinstance(value, dict) else enumerate(value)
        for key, each in inner:
            yield from leaves(each, f"{path}/{key}")
    else:
        yield path, value


def script():
    """The module that writes the tables."""
    spec = importlib.util.spec_from_file_location("reproduction", SCRIPTS / "reproduction.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_packed_runs_give_the_committed_tables_and_pictures(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS)
    for name in ("runs", "float32"):
        shutil.copytree(RESULTS / name, tmp_path / name)
    script().main(tmp_path, ROOT / "configs" / "paper" / "analysis.toml")
    (words, values), (known_words, known_values) = tables(tmp_path), tables(RESULTS)
    assert words == known_words
    # the last of four digits, and p values of 1e-15, depend on the processor's rounding
    assert values == pytest.approx(known_values, rel=1.5e-3, abs=1e-9)
    numbers = {path.name for path in RESULTS.glob("*-forest.json")}
    numbers |= {path.name for path in RESULTS.glob("*-curves.json")}
    assert {path.name for path in tmp_path.glob("*.json")} == numbers
    for name in numbers:
        found, known = (dict(leaves(read_json(f / name))) for f in (tmp_path, RESULTS))
        assert found.keys() == known.keys()
        for key, value in known.items():
            same = value
            if isinstance(value, float):
                same = pytest.approx(value, rel=1e-9, abs=1e-12)
            assert found[key] == same, f"{name}{key}"
