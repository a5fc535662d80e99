"""The page of settings says of every key that it exists, and what it is unless told."""

import inspect
import re
from pathlib import Path

import pytest

from promptpriors.config.run import _Sections
from promptpriors.config.sections import (
    CaptureSection,
    DeviceSection,
    PromptSection,
    TrainSection,
    fitted_to,
)
from promptpriors.config.study import Compare, Resources, _File
from promptpriors.data import jsonl
from promptpriors.data.gsm8k_rules import RULES as GSM8K_RULES
from promptpriors.data.scoring import RULES
from promptpriors.prompts import MODES

PAGE = (Path(__file__).parents[1] / "docs" / "configuration.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `([\w.]+)` \|\s*([^|]*?)\s*\|", re.MULTILINE)
SECTIONS = {
    "## [prompt]": PromptSection,
    "## [train]": TrainSection,
    "## [device]": DeviceSection,
    "## [capture]": CaptureSection,
    "| `[compare]`": Compare,
    "| `[resources]`": Resources,
}
NESTED = {"prompt", "train", "capture", "device", "compare", "resources"}


def rows_after(heading):
    """Key and default of the first table after a heading."""
    part = PAGE.split(heading, 1)[1]
    table = part[part.index("| key") if heading.startswith("#") else 0 :].split("\n\n", 1)[0]
    return dict(ROW.findall(table))


def written(value):
    """A default as the page has it."""
    if value is None:
        return "none"
    if hasattr(value, "relative"):
        return f"`{{relative = {value.relative}}}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, list):
        return "`[" + ", ".join(f'"{item}"' for item in value) + "]`"
    return f'`"{value}"`' if isinstance(value, str) else f"`{value}`"


@pytest.mark.parametrize("heading", SECTIONS)
def test_every_key_of_a_section_is_there_with_its_default(heading):
    fields = SECTIONS[heading].model_fields
    assert rows_after(heading) == {name: written(field.default) for name, field in fields.items()}


def test_every_key_of_a_config_and_of_a_study_is_there():
    config = {name: field for name, field in _Sections.model_fields.items() if name not in NESTED}
    found = dict(ROW.findall(PAGE.split("## Priors", 1)[0]))
    assert set(found) == set(config)
    assert found["seed"] == written(config["seed"].default)
    study = rows_after("## A study's file")
    assert set(study) == set(_File.model_fields) - NESTED
    assert study["baselines"] == written(_File.model_fields["baselines"].default_factory())


def test_what_every_prior_takes_is_there():
    parameters = inspect.signature(fitted_to).parameters
    expected = {f"prior.{name}": written(given.default) for name, given in parameters.items()}
    assert rows_after("## Priors") == expected


def test_every_mode_is_there():
    table = PAGE.split("| mode | takes", 1)[1].split("\n\n", 1)[0]
    first = [line.split("|")[1] for line in table.splitlines()[2:]]
    assert re.findall(r"`([\w-]+)`", "".join(first)) == list(MODES)


def test_what_is_said_of_own_data_is_there_with_its_default():
    known = inspect.signature(jsonl.build).parameters
    found = dict(ROW.findall(PAGE.split("| of `jsonl` |", 1)[1].split("\n\n", 1)[0]))
    assert found == {name: written(known[name].default) for name in found}
    assert set(found) == {"score", "choices", "choices_field", "control_tokens"}
    for rule in (*RULES, *GSM8K_RULES):
        assert f"`{rule}`" in PAGE.replace('"', "")
