"""Verdicts of studies and figures stand side by side; old files are read, damaged ones named."""

import json

import pytest

from promptpriors.errors import InputError
from promptpriors.files import write_json
from promptpriors.runs.claims import Claim, Evidence, read_claims, write_claims


def evidence(verdict, reason="because"):
    return Evidence(
        statistic="s", value=0.5, interval=(0.25, 0.75), p=None, verdict=verdict, evidence=reason
    )


def claim(number=1, **kinds):
    return Claim(claim=number, text="A claim.", section="4.2", figures=[6], **kinds)


@pytest.mark.parametrize(
    ("study", "figure", "counts"),
    [
        ("confirmed", "refuted", "confirmed"),
        ("undecided", "confirmed", "undecided"),
        ("not testable", "refuted", "refuted"),
        ("not testable", "undecided", "not testable"),
        (None, "refuted", "refuted"),
        ("refuted", None, "refuted"),
    ],
)
def test_a_study_counts_first_where_it_can_test_the_claim(study, figure, counts):
    found = claim(study=study and evidence(study), figure=figure and evidence(figure))
    assert found.verdict == counts
    assert len(found.evidence) == 2 - [study, figure].count(None)


def test_what_is_written_is_read_back_and_later_evidence_of_a_kind_replaces_the_earlier(tmp_path):
    write_claims(
        tmp_path, [claim(2, study=evidence("undecided")), claim(study=evidence("refuted"))]
    )
    later = [
        claim(2, study=evidence("confirmed", "more seeds")),
        claim(3, figure=evidence("refuted")),
    ]
    write_claims(tmp_path, later)
    assert read_claims(tmp_path) == [claim(study=evidence("refuted")), *later]
    stored = json.loads((tmp_path / "claims.json").read_text())
    assert [row["verdict"] for row in stored["claims"]] == ["refuted", "confirmed", "refuted"]


def test_values_that_are_not_finite_are_read_back_as_missing(tmp_path):
    found = evidence("undecided").model_copy(
        update={"value": float("nan"), "interval": (float("-inf"), 1.0)}
    )
    write_claims(tmp_path, [claim(study=found)])
    (read,) = read_claims(tmp_path)
    assert (read.study.value, read.study.interval) == (None, (None, 1.0))


def test_a_file_without_a_version_is_read_by_who_wrote_it(tmp_path):
    common = {"value": 0.5, "interval": [0.25, 0.75], "p": None, "evidence": "because"}
    rows = [
        {"claim": 1, "text": "A claim.", "figures": [6], "statistic": "s", "verdict": "undecided"},
        {"claim": 2, "text": "A claim.", "figures": [], "statistic": "", "verdict": "undecided"},
        {"claim": 3, "text": "A claim.", "figures": [], "statistic": "s", "verdict": "confirmed"},
    ]
    write_json(tmp_path / "claims.json", {"claims": [row | common for row in rows]})
    found = read_claims(tmp_path)
    assert [list(one.evidence) for one in found] == [["figure"], ["figure"], ["study"]]
    assert found[2].study == evidence("confirmed")
    write_claims(tmp_path, [claim(3, figure=evidence("refuted"))])
    assert read_claims(tmp_path)[2].verdict == "confirmed"


def test_files_that_cannot_be_read_are_named_and_not_written_over(tmp_path):
    path = tmp_path / "claims.json"
    write_json(path, {"version": 3, "claims": []})
    with pytest.raises(InputError, match="is of version 3, expected 2: update promptpriors"):
        read_claims(tmp_path)
    write_json(path, {"version": 2, "claims": [{"claim": 1, "text": "A claim."}, 5]})
    first, second = read_claims(tmp_path)
    assert "needs the evidence of a study or a figure" in str(first)
    assert "entry 2 is not a claim" in str(second)
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"Move .*claims\.json away"):
        write_claims(tmp_path, [claim(study=evidence("refuted"))])
    assert path.read_bytes() == before
