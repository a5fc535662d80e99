"""Positions are read back as they were measured, from the first version of the file as well."""

import pytest

from promptpriors.errors import InputError
from promptpriors.files import write_json
from promptpriors.runs import Run
from promptpriors.runs.positions import (
    HEADINGS,
    NullComparison,
    Position,
    read_positions,
    write_positions,
)

FIRST = {
    "displacement": 0.44,
    "norm, start": 4.3,
    "kept of the start": None,
    "radius in the data over √rank, end": 1.9,
    "reach ratio": 4.4,
    "nearest, moved null": 0.446,
    "p, moved": 0.07,
}
AGAINST = {"embed": "vocabulary"}
VALUES = Position(
    displacement=0.44,
    norm_start=4.3,
    kept=None,
    radius_end=1.9,
    reach_ratio=4.4,
    moved=NullComparison(null=0.446, p=0.07, effect=-0.019),
)


def run_in(folder):
    return Run(folder, {}, None, None)


def version_1(folder, record):
    row = {"site": "embed", "coordinates": "raw", "record": record, "effects": {"moved": -0.019}}
    write_json(folder / "position.json", {"version": 1, "against": AGAINST, "positions": [row]})


def test_positions_are_read_back_with_what_was_not_measured_left_out(tmp_path):
    positions = {("embed", "raw"): VALUES, ("embed", "visible"): Position(norm_end=1.0)}
    write_positions(run_in(tmp_path), positions, AGAINST)
    assert read_positions(run_in(tmp_path), AGAINST) == positions
    found = read_positions(run_in(tmp_path))
    assert found["embed", "visible"].by_heading() == {"norm, end": 1.0}


def test_the_first_version_is_read_by_its_headings_and_nothing_is_lost(tmp_path):
    version_1(tmp_path, FIRST)
    (found,) = read_positions(run_in(tmp_path), AGAINST).values()
    assert found == VALUES
    assert found.model_fields_set == VALUES.model_fields_set
    assert found.by_heading() == FIRST
    assert found.flat()["moved.effect"] == -0.019


def test_other_points_and_later_versions_are_measured_again(tmp_path):
    version_1(tmp_path, FIRST)
    assert read_positions(run_in(tmp_path), {"embed": "other"}) is None
    write_json(tmp_path / "position.json", {"version": 3})
    assert read_positions(run_in(tmp_path)) is None
    assert read_positions(run_in(tmp_path / "nowhere")) is None


def test_no_two_numbers_share_a_heading():
    assert len(set(HEADINGS.values())) == len(HEADINGS) == 24


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"kepd": 1.0}, "no parameter 'kepd'. Did you mean 'kept'"),
        ({"kept": "much"}, "kept = 'much'"),
        ({"moved": {"p": 0.5}}, "needs the parameters"),
        (None, "is damaged"),
    ],
)
def test_a_damaged_file_is_named_with_what_is_wrong(tmp_path, row, words):
    rows = [{"site": "embed", "coordinates": "raw", "values": row}]
    write_json(tmp_path / "position.json", {"version": 2, "against": {}, "positions": rows})
    with pytest.raises(
        InputError, match=f"position.json of run {tmp_path.name} is damaged"
    ) as error:
        read_positions(run_in(tmp_path))
    assert words in str(error.value)


def test_a_heading_that_is_not_known_is_damage(tmp_path):
    version_1(tmp_path, {**FIRST, "something else": 1.0})
    with pytest.raises(InputError, match="something else"):
        read_positions(run_in(tmp_path))
