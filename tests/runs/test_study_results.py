"""A study's result is read as it was written; what is damaged or newer is refused."""

import json

import pytest

import promptpriors as pp
from promptpriors.runs.studies import Comparison, StudyRecord, study_paths, write_study_record
from promptpriors.runs.study_results import (
    Answer,
    StudyResult,
    Verdict,
    list_study_results,
    read_study_result,
    write_study_result,
)
from promptpriors.verdicts.outcomes import read_settings
from promptpriors.verdicts.results import study_result
from tests.verdicts.studies import Study


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    Study({"vocabulary": 0.0, "xavier": 0.5}, seeds=2).write(folder)
    return study_result(read_settings(folder))


def change(folder, result, edit):
    path = write_study_result(folder, result)
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))
    return path


def test_a_result_is_read_as_it_was_written_and_is_no_record(tmp_path, result):
    path = write_study_result(tmp_path, result)
    assert path.name == "screening.result.json"
    assert read_study_result(path) == result
    assert study_paths(tmp_path) == []


def test_no_study_may_have_the_name_of_a_result(tmp_path):
    record = StudyRecord(name="a.result", compare=Comparison(margin=0.1), runs=[])
    with pytest.raises(pp.InputError, match=r"can't be called 'a.result'.*rename its file"):
        write_study_record(tmp_path, record)


def test_what_a_later_version_adds_is_passed_over(tmp_path, result):
    path = change(tmp_path, result, lambda content: content["settings"][0].update(more=1))
    assert read_study_result(path) == result


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda c: c.update(format=2), r"has format 2, expected 1; `promptpriors compare`"),
        (lambda c: c.pop("name"), "name: Field required"),
        (lambda c: c["settings"][0]["verdicts"][0].update(state="won"), "verdicts.0.state: Input"),
        (lambda c: c["settings"][0]["arms"][0].update(mean="low"), "arms.0.mean: Input should be"),
        (lambda c: c["settings"][0]["contrasts"][0]["difference"].pop("low"), "difference.low"),
        (lambda c: c.update(name="../x"), "name: String should match pattern"),
    ],
)
def test_a_damaged_or_newer_result_is_refused_in_one_line(tmp_path, result, edit, words):
    path = change(tmp_path, result, edit)
    with pytest.raises(pp.InputError, match=words) as found:
        read_study_result(path)
    assert len(str(found.value).splitlines()) == 1
    assert str(path) in str(found.value)


def test_results_of_a_folder_are_read_one_by_one(tmp_path, result):
    write_study_result(tmp_path, result)
    other = StudyResult(name="other", settings=[])
    path = write_study_result(tmp_path, other)
    path.with_name("twice.result.json").write_text(path.read_text())
    path.with_name("broken.result.json").write_text("{")
    found, errors = list_study_results(tmp_path)
    assert found == [other, result]
    assert "broken.result.json is not readable JSON" in errors[0]
    assert "twice.result.json: another study is called 'other' too" in errors[1]


def test_a_number_that_is_none_is_stored_as_null():
    answer = Answer(
        question="priors_equal", state="none", reason="x", statistic="p", value=float("nan")
    )
    assert answer.value is None


@pytest.mark.parametrize(
    ("state", "reason", "text"),
    [
        ("equal", "", "equal"),
        ("none", "no runs", "none: no runs"),
        ("yes", "xavier higher", "yes: xavier higher"),
        ("missing", "no runs", "missing (no runs)"),
    ],
)
def test_a_verdict_as_text(state, reason, text):
    assert Verdict(state=state, reason=reason).text == text
