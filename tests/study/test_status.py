"""What a study finds in its folder, and that nothing finished is lost or counted twice."""

import errno
import json
import shutil
import threading

import pytest

from promptpriors.config.study import read_study
from promptpriors.errors import InputError
from promptpriors.progress import silent
from promptpriors.running.workspace import Workspace
from promptpriors.runs.folder import held
from promptpriors.study import local as workers
from promptpriors.study.launch import Stopped, carry_out, prepare_study, to_do
from promptpriors.study.plan import plan
from promptpriors.study.status import repair, sentence, survey
from tests.study.samples import write_study

DAMAGE = {
    "result.json": lambda path: path.write_text(path.read_text()[:40]),
    "prompt.safetensors": lambda path: path.write_bytes(path.read_bytes()[:-8] + b"\0" * 8),
    "metrics.jsonl": lambda path: path.write_text(path.read_text().splitlines()[0] + "\n"),
}


@pytest.fixture(scope="module")
def workspace():
    return Workspace()


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return read_study(write_study(tmp_path_factory.mktemp("study")))


@pytest.fixture(scope="module")
def entries(study, workspace):
    return plan(study, workspace)


@pytest.fixture(scope="module")
def whole(study, entries, workspace, tmp_path_factory):
    runs = tmp_path_factory.mktemp("whole") / "runs"
    assert [outcome.status for outcome in run(study, entries, runs, workspace)] == ["done"] * 5
    return runs


@pytest.fixture
def runs(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "runs")


def run(study, entries, runs, workspace):
    found, _ = prepare_study(study, entries, runs)
    missing = to_do(entries, found)
    return list(carry_out(study, missing, runs, workspace, silent, threads=1))


def bytes_of(runs, entries):
    return [(runs / entry.id / "prompt.safetensors").read_bytes() for entry in entries]


@pytest.mark.slow
def test_what_is_done_is_not_done_again(study, entries, runs, workspace):
    before = [(runs / e.id / "result.json").stat().st_mtime_ns for e in entries]
    assert run(study, entries, runs, workspace) == []
    assert before == [(runs / e.id / "result.json").stat().st_mtime_ns for e in entries]
    assert sentence(survey(entries, runs)) == "5 runs: 5 done"


@pytest.mark.slow
@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_file_is_kept_aside_and_its_run_done_again(
    study, entries, runs, workspace, whole, name
):
    path = runs / entries[1].id / name
    DAMAGE[name](path)
    damaged = path.read_bytes()
    assert survey(entries, runs)[entries[1].id].state == "damaged"
    assert path.read_bytes() == damaged  # looking changes nothing
    assert [outcome.id for outcome in run(study, entries, runs, workspace)] == [entries[1].id]
    assert path.with_name(f"{name}.damaged").read_bytes() == damaged
    assert bytes_of(runs, entries) == bytes_of(whole, entries)
    assert sentence(survey(entries, runs)) == "5 runs: 5 done"


def test_a_damaged_config_is_written_anew(study, entries, runs, workspace, whole):
    path = runs / entries[1].id / "config.toml"
    path.write_bytes(b"\xff\xfe")
    assert run(study, entries, runs, workspace) == []
    assert path.read_text() == (whole / entries[1].id / "config.toml").read_text()


def test_results_without_vectors_count_as_done(study, entries, runs, workspace):
    (runs / entries[1].id / "prompt.safetensors").unlink()
    assert survey(entries, runs)[entries[1].id] == ("done", "its vectors are not here")
    assert run(study, entries, runs, workspace) == []


@pytest.mark.slow
def test_half_done_failed_and_missing_are_told_apart(study, entries, runs, workspace, whole):
    half, failed, missing = (runs / entry.id for entry in entries[1:4])
    config = entries[1].run.config

    def stop(stage, share, known):
        if known.get("step") == 3:
            raise KeyboardInterrupt

    shutil.rmtree(half)
    with pytest.raises(KeyboardInterrupt):
        workers.execute(config, runs, workspace, on_progress=stop)
    (failed / "result.json").unlink()
    (failed / "error.txt").write_text("WorkError: no luck\nsecond line\n")
    shutil.rmtree(missing)
    found = survey(entries, runs)
    assert found[half.name] == ("half done", "step 2")
    assert found[failed.name] == ("failed", "WorkError: no luck")
    assert found[missing.name].state == "missing"
    assert sentence(found) == (
        "5 runs: 2 done, 1 half done (resumed), 1 failed (tried again), 1 missing"
    )
    assert len(run(study, entries, runs, workspace)) == 3
    assert bytes_of(runs, entries) == bytes_of(whole, entries)


def test_a_run_in_work_elsewhere_is_waited_for(study, entries, runs, workspace, monkeypatch):
    folder = runs / entries[1].id
    result = (folder / "result.json").read_bytes()
    (folder / "result.json").unlink()
    monkeypatch.setattr("promptpriors.study.local.PAUSE", 0.05)
    with held(folder):
        assert survey(entries, runs)[entries[1].id].state == "in work"

        def end():
            (folder / "result.json").write_bytes(result)

        timer = threading.Timer(0.3, end)
        timer.start()
        outcomes = run(study, entries, runs, workspace)
        timer.join()
    assert [(outcome.id, outcome.status) for outcome in outcomes] == [(entries[1].id, "done")]
    assert (folder / "result.json").read_bytes() == result  # the other's, not done twice


@pytest.mark.slow
def test_a_full_disk_stops_the_study_and_keeps_what_is_done(
    study, entries, tmp_path, workspace, monkeypatch
):
    runs, real = tmp_path / "runs", workers.execute

    def full(config, *words, **more):
        if config.seed == 1:
            try:
                raise OSError(errno.ENOSPC, "No space left on device")
            except OSError as error:
                from promptpriors.errors import WorkError

                raise WorkError(f"prior: {error}") from None
        return real(config, *words, **more)

    monkeypatch.setattr(workers, "execute", full)
    with pytest.raises(Stopped, match="Make room"):
        run(study, entries, runs, workspace)
    found = survey(entries, runs)
    assert [found[entry.id].state for entry in entries] == ["done"] * 3 + ["missing"] * 2
    monkeypatch.undo()
    assert len(run(study, entries, runs, workspace)) == 2


@pytest.mark.slow
def test_one_failure_does_not_end_the_others(study, entries, tmp_path, workspace, monkeypatch):
    real = workers.execute

    def breaks(config, *words, **more):
        if config.prior.name == "vocabulary":
            raise RuntimeError("a defect")
        return real(config, *words, **more)

    monkeypatch.setattr(workers, "execute", breaks)
    outcomes = run(study, entries, tmp_path / "runs", workspace)
    assert [o.status for o in outcomes].count("failed") == 2
    assert {o.message for o in outcomes if o.status == "failed"} == {"RuntimeError: a defect"}


def test_a_folder_of_another_version_is_refused(study, entries, runs):
    path = runs / "studies" / "study.json"
    about = json.loads(path.read_text())
    path.write_text(json.dumps({**about, "results": 1}))
    with pytest.raises(InputError, match="of another version: expected format 1, results 2"):
        prepare_study(study, entries, runs)


def test_the_record_says_which_run_is_which(study, entries, runs):
    about = json.loads((runs / "studies" / "study.json").read_text())
    assert [row["id"] for row in about["runs"]] == [entry.id for entry in entries]
    assert about["compare"]["margin"] == study.compare.margin
    assert about["earlier"] == []


def test_a_comparison_that_changed_is_told(study, entries, runs, tmp_path):
    changed = read_study(
        write_study(tmp_path, compare={"reference": "vocabulary", "controls": False, "margin": 0.2})
    )
    _, remark = prepare_study(changed, entries, runs)
    assert "was another before" in remark
    about = json.loads((runs / "studies" / "study.json").read_text())
    assert [compare["margin"] for compare in about["earlier"]] == [0.05]
    assert prepare_study(changed, entries, runs)[1] == remark


def test_runs_that_a_study_no_longer_has_are_told(study, entries, runs):
    _, remark = prepare_study(study, entries[:3], runs)
    assert "2 runs that the study 'study' had before are none of its own now" in remark
    assert prepare_study(study, entries, runs)[1] == ""


@pytest.mark.slow
def test_a_result_without_its_steps_is_damaged(study, entries, runs, workspace, whole):
    path = runs / entries[1].id / "result.json"
    result = json.loads(path.read_text())
    path.write_text(json.dumps({key: value for key, value in result.items() if key != "steps"}))
    assert survey(entries, runs)[entries[1].id].state == "damaged"
    assert [outcome.status for outcome in run(study, entries, runs, workspace)] == ["done"]
    assert bytes_of(runs, entries) == bytes_of(whole, entries)


def test_a_checkpoint_that_another_process_mended_meanwhile_is_kept(entries, runs, workspace):
    folder = runs / entries[1].id

    def stop(stage, share, known):
        if known.get("step") == 3:
            raise KeyboardInterrupt

    shutil.rmtree(folder)
    with pytest.raises(KeyboardInterrupt):
        workers.execute(entries[1].run.config, runs, workspace, on_progress=stop)
    found = survey(entries, runs)
    found[entries[1].id] = found[entries[1].id]._replace(state="damaged")  # as it was a while ago
    repair(entries, found, runs)
    assert survey(entries, runs)[entries[1].id] == ("half done", "step 2")


def test_a_run_that_has_another_id_by_now_is_not_done(entries, tmp_path, workspace):
    found = workers.attempt("0" * 16, entries[1].run.plain, tmp_path / "runs", workspace, 1)
    assert found.status == "failed"
    assert f"this was run {'0' * 16} and would be {entries[1].id} now" in found.message
    assert not (tmp_path / "runs").exists()
