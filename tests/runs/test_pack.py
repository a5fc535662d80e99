"""Packed runs: equal to the folder that they were packed from, and named where they are damaged."""

import gzip
import json
import os
import shutil
import warnings
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings

import promptpriors as pp
from promptpriors.errors import Note
from promptpriors.files import read_tensors, write_json
from promptpriors.runs import find_run, has_run, is_done, list_runs, read_run
from promptpriors.runs.pack import pack_runs
from promptpriors.runs.packed import vectors_path
from promptpriors.verdicts.outcomes import read_settings

from .packing import LOSSES, METRICS, NEAREST, write_run, write_runs


@pytest.fixture
def runs(tmp_path):
    return write_runs(tmp_path / "runs")


def pack(runs, **options):
    """A packed copy; what is noted on the way is another test's."""
    file = runs.parent / "packed" / "some.runs.jsonl.gz"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Note)
        pack_runs(runs, file, **options)
    return file


def lines(file):
    return gzip.decompress(file.read_bytes()).decode().splitlines()


def rewrite(file, content):
    """Other lines in a packed file."""
    file.write_bytes(gzip.compress("".join(f"{line}\n" for line in content).encode()))


def by_id(folder):
    return {run.id: run for run in list_runs(folder)}


def assert_same(run, other):
    for name in ("id", "config", "result", "error", "status"):
        assert getattr(run, name) == getattr(other, name)
    assert run.config_text() == other.config_text()
    assert repr(run.metrics()) == repr(other.metrics())
    assert run.records() == other.records()
    assert {name: run.record(name) for name in run.records()} == other.records()


def test_packed_runs_are_those_of_the_folder(runs):
    packed = by_id(pack(runs, vectors="all", precision="float32").parent)
    assert list(packed) == ["a0", "b1", "c2", "d3", "e4"]
    for name, run in by_id(runs).items():
        assert_same(packed[name], run)
        assert packed[name].packed
        assert packed[name].has_vectors == run.has_vectors
        if run.has_vectors:
            assert packed[name].metadata() == run.metadata()
            tensors = run.tensors()
            found = packed[name].tensors()
            assert found.keys() == tensors.keys()
            assert all(torch.equal(found[key], tensors[key]) for key in tensors)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(METRICS, METRICS)
def test_any_metrics_come_back(tmp_path, one, other):
    runs = tmp_path / "any"
    shutil.rmtree(runs, ignore_errors=True)
    shutil.rmtree(tmp_path / "packed", ignore_errors=True)
    for name, rows in (("one", one), ("other", other)):
        kept = [{k: v for k, v in row.items() if k not in {"lr", "val_loss"}} for row in rows]
        numbered = [{**row, "step": number} for number, row in enumerate(kept)]
        write_run(runs, name, rows=numbered, result=LOSSES)
    known = by_id(runs)
    for name, run in by_id(pack(runs).parent).items():
        assert repr(run.metrics()) == repr(known[name].metrics())


def test_the_source_is_never_changed(runs):
    def content():
        return {path: path.read_bytes() for path in runs.rglob("*") if path.is_file()}

    before = content()
    pack(runs, vectors="all")
    assert content() == before


def test_the_same_runs_give_the_same_bytes(runs, tmp_path):
    one = pack(runs, vectors="all")
    copy = tmp_path / "elsewhere" / "runs"
    shutil.copytree(runs, copy)
    for i, path in enumerate(sorted(copy.glob("*/config.toml"), reverse=True)):
        os.utime(path, (i, i))
    other = pack(copy, vectors="all")
    assert one.read_bytes() == other.read_bytes()
    assert vectors_path(one).read_bytes() == vectors_path(other).read_bytes()


def test_packing_what_is_packed_gives_the_same_bytes(runs, tmp_path):
    one = pack(runs, vectors="all")
    again = tmp_path / "again" / one.name
    pack_runs(one.parent, again, vectors="all")
    assert again.read_bytes() == one.read_bytes()
    assert vectors_path(again).read_bytes() == vectors_path(one).read_bytes()


def test_the_last_vectors_are_kept_in_half_precision_unless_asked_otherwise(runs):
    file = pack(runs)
    header = json.loads(lines(file)[0])
    assert (header["vectors"], header["precision"]) == ("final", "float16")
    run = read_run(file.parent / "a0")
    assert (run.vectors, run.has_vectors) == ("final", False)
    known = read_run(runs / "a0").tensors()["final/embed"]
    assert set(run.tensors()) == {"final/embed"}
    assert torch.equal(run.tensors()["final/embed"], known.half().float())
    prompt = pp.load_prompt(file.parent / "a0")
    torch.testing.assert_close(prompt.snapshot()["embed"], known, rtol=1e-3, atol=1e-3)


def test_vectors_too_large_for_half_precision_stay_as_they_are(runs):
    from promptpriors.files import write_tensors

    path = runs / "a0" / "prompt.safetensors"
    tensors, metadata = read_tensors(path)
    tensors["final/embed"] = torch.full((2, 3), 1e6)
    write_tensors(path, tensors, metadata)
    run = read_run(pack(runs).parent / "a0")
    assert torch.equal(run.tensors()["final/embed"], tensors["final/embed"])


def test_a_prompt_without_vectors_can_not_be_loaded(runs):
    file = pack(runs, vectors="none")
    assert not vectors_path(file).exists()
    with pytest.raises(pp.InputError, match=r"run a0 was packed without its vectors \(.*gz\)"):
        pp.load_prompt(file.parent / "a0")
    with pytest.raises(pp.InputError, match="an adapter of rank 4"):
        pp.load_prompt(file.parent / "c2")


def test_packing_says_how_many_prompts_have_no_vectors(runs, tmp_path):
    (runs / "d3" / "prompt.safetensors").unlink()
    with pytest.warns(Note, match=r"1 of 3 prompts have no vectors to keep \(d3\)"):
        pack_runs(runs, tmp_path / "x" / "y.runs.jsonl.gz")


def test_lost_vectors_are_said_and_the_rest_is_read(runs):
    file = pack(runs)
    vectors_path(file).unlink()
    with pytest.warns(Note, match=r"vectors of its runs lie in some\.runs\.safetensors, which is"):
        found = list_runs(file.parent)
    assert len(found) == 5
    assert found[0].vectors == "none"
    with pytest.raises(pp.InputError, match=r"vectors of run a0 lie in some.*; copy it there"):
        found[0].tensors()


def test_what_is_left_out_is_named(runs):
    file = pack(runs, without=["nearest_tokens"])
    assert json.loads(lines(file)[0])["left_out"] == ["nearest_tokens"]
    run = read_run(file.parent / "a0")
    assert run.left_out == ["nearest_tokens"]
    assert run.result == {k: v for k, v in read_run(runs / "a0").result.items() if v != NEAREST}
    assert read_run(file.parent / "d3").left_out == []  # it had none
    with pytest.raises(pp.InputError, match="'val_loss' can't be left out; expected nearest_to"):
        pack_runs(runs, file.with_name("other.runs.jsonl.gz"), without=["val_loss"])


def test_packed_runs_and_folders_lie_side_by_side(runs):
    folder = pack(runs).parent
    write_run(folder, "a5", result=LOSSES)
    assert list(by_id(folder)) == ["a0", "b1", "c2", "d3", "e4", "a5"]
    assert find_run("a0", folder).packed
    assert not find_run("a5", folder).packed
    assert find_run("d", folder).id == "d3"
    assert find_run(str(folder / "e4"), Path()).id == "e4"
    with pytest.raises(pp.InputError, match="2 runs begin with 'a'"):
        find_run("a", folder)
    with pytest.raises(pp.InputError, match="run b1 is failed: Diverged"):
        find_run("b1", folder)
    assert has_run(folder / "b1")
    assert not has_run(folder / "f9")
    assert is_done(folder / "a0")
    assert not is_done(folder / "b1")
    with pytest.raises(pp.InputError, match="f9 is not a run folder"):
        read_run(folder / "f9")


def test_a_study_finds_its_packed_runs(runs):
    values = [[run.value for run in s.runs] for s in read_settings(runs)]
    packed = read_settings(pack(runs).parent)
    assert [[run.value for run in s.runs] for s in packed] == values
    assert [run.reason for run in packed[0].runs] == ["", "its val_loss is not a number", ""]


def test_what_is_measured_later_lies_beside_and_is_packed_with_the_run(runs, tmp_path):
    file = pack(runs)
    run = read_run(file.parent / "a0")
    run.write_record("bridge.json", {"ratio": 0.5})
    run.write_record("use.json", {"by_head": []})
    again = read_run(file.parent / "a0")
    assert again.packed
    assert again.record("bridge.json") == {"ratio": 0.5}
    assert again.record("use.json") == {"by_head": []}
    assert again.record("position.json") == run.packed.line.records["position.json"]
    pack_runs(file.parent, tmp_path / "more" / "b.runs.jsonl.gz")
    assert read_run(tmp_path / "more" / "a0").records() == again.records()


def test_large_results_become_several_files_none_of_which_may_be_missing(runs, tmp_path):
    one = by_id(pack(runs, vectors="all").parent)
    folder = tmp_path / "split"
    done = pack_runs(runs, folder / "x.runs.jsonl.gz", vectors="all", max_bytes=1)
    names = [f"x-{i}.runs.jsonl.gz" for i in range(1, 6)]
    assert sorted(p.name for p in folder.glob("*.gz")) == names
    assert set(done.files) == {path for path in folder.rglob("*") if path.is_file()}
    for name, run in by_id(folder).items():
        assert_same(run, one[name])
        assert run.vectors == one[name].vectors
    (folder / names[1]).unlink()
    with pytest.warns(Note, match=r"split/x-2\.runs\.jsonl\.gz is missing: it was packed together"):
        assert [run.id for run in list_runs(folder)] == ["a0", "c2", "d3", "e4"]


def test_studies_and_tables_are_copied_and_never_overwritten(runs, tmp_path):
    names = ("studies/small.json", "claims.json", "figures/fig01.json", "charts/x.safetensors")
    for name in names[1:]:
        (runs / name).parent.mkdir(exist_ok=True)
        write_json(runs / name, {"claims": []})
    folder = pack(runs, vectors="all").parent
    for name in names:
        assert (folder / name).read_bytes() == (runs / name).read_bytes()
    write_json(folder / "claims.json", {"claims": [1]})
    with pytest.raises(pp.InputError, match=r"packed/claims\.json exists and is not .*runs/claims"):
        pack_runs(runs, folder / "other.runs.jsonl.gz")


def test_a_file_that_exists_is_not_overwritten(runs):
    file = pack(runs)
    before = file.read_bytes()
    with pytest.raises(pp.InputError, match=r"some\.runs\.jsonl\.gz exists; move it away"):
        pack_runs(runs, file)
    file.rename(file.with_name("some-1.runs.jsonl.gz"))
    with pytest.raises(pp.InputError, match=r"some(-1)?\.runs\.\w+(\.gz)? exists; move it away"):
        pack_runs(runs, file)
    assert file.with_name("some-1.runs.jsonl.gz").read_bytes() == before


def test_a_wrong_name_or_an_empty_folder_is_refused(runs, tmp_path):
    with pytest.raises(pp.InputError, match=r"all\.json: expected a name that ends in \.runs\.js"):
        pack_runs(runs, tmp_path / "all.json")
    (tmp_path / "empty").mkdir()
    with pytest.raises(pp.InputError, match="holds no finished or failed run"):
        pack_runs(tmp_path / "empty", tmp_path / "x.runs.jsonl.gz")


def test_unfinished_runs_are_refused_or_left_out(runs):
    write_run(runs, "f5", vectors=False)
    with pytest.raises(pp.InputError, match=r"1 runs of .* unfinished \(f5\); .*--leave-out-unf"):
        pack(runs)
    file = pack(runs, leave_out_unfinished=True)
    assert "f5" not in by_id(file.parent)


@pytest.mark.parametrize("share", [0.5, 0.8, 0.99])
def test_of_a_file_that_was_cut_off_the_whole_lines_are_read(runs, share):
    file = pack(runs, vectors="none")
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    with pytest.warns(Note, match=r"some\.runs\.jsonl\.gz was cut off: \d of its 5 runs are the"):
        found = list_runs(file.parent)
    for run in found:
        assert_same(run, read_run(runs / run.id))


def test_without_its_last_lines_a_file_counts_as_cut_off(runs):
    file = pack(runs, vectors="none")
    whole = lines(file)
    rewrite(file, whole[:-1])
    with pytest.warns(Note, match="was cut off: 5 of its 5 runs are there; copy it again"):
        assert len(list_runs(file.parent)) == 5
    rewrite(file, [*whole[:3], whole[-1]])
    with pytest.warns(Note, match="was cut off: 2 of its 5 runs"):
        assert len(list_runs(file.parent)) == 2


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{nonsense", "Expecting property name"),
        ('{"id": "a0"}', "config: Field required"),
        ('["a0"]', "line: Input should be"),
    ],
)
def test_a_damaged_line_is_named_and_left_out(runs, line, reason):
    file = pack(runs, vectors="none")
    whole = lines(file)
    rewrite(file, [whole[0], line, *whole[2:]])
    with pytest.warns(Note, match=f"gz, line 2 is damaged and left out: {reason}"):
        assert list(by_id(file.parent)) == ["b1", "c2", "d3", "e4"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"config": "x = "}, r"line 2 \(run a0\) is not readable TOML"),
        ({"config": "x = 1"}, r"line 2 \(run a0\) is not the resolved config of a run"),
        ({"result": {"val_loss": 1}}, r"line 2 \(run a0\) is not the result of a run"),
    ],
)
def test_a_packed_run_is_checked_as_one_in_a_folder(runs, changes, reason):
    file = pack(runs, vectors="none")
    whole = lines(file)
    rewrite(file, [whole[0], json.dumps(json.loads(whole[1]) | changes), *whole[2:]])
    with pytest.warns(Note, match=f"left out: .*{reason}"):
        assert "a0" not in by_id(file.parent)


def test_damaged_metrics_are_named_when_they_are_read(runs):
    file = pack(runs, vectors="none")
    whole = lines(file)
    rewrite(file, [whole[0], json.dumps(json.loads(whole[1]) | {"metrics": {}}), *whole[2:]])
    with pytest.raises(pp.InputError, match=r"line 2 \(run a0\): the metrics are damaged"):
        read_run(file.parent / "a0").metrics()


def test_a_newer_format_is_refused(runs):
    file = pack(runs, vectors="none")
    whole = lines(file)
    header = json.loads(whole[0]) | {"format": 2, "version": "9.0"}
    rewrite(file, [json.dumps(header), *whole[1:]])
    with pytest.raises(pp.InputError, match=r"format 2, expected 1: promptpriors 9\.0 wrote it"):
        list_runs(file.parent)


@pytest.mark.parametrize(
    "content",
    [b"", b"no gzip", gzip.compress(b"{}\n", mtime=0), gzip.compress(b"1", mtime=0)],
    ids=["empty", "no gzip", "no header", "no object"],
)
def test_what_is_no_packed_file_is_refused(tmp_path, content):
    (tmp_path / "x.runs.jsonl.gz").write_bytes(content)
    with pytest.raises(pp.InputError, match=r"x\.runs\.jsonl\.gz is (damaged|not a file of pack)"):
        list_runs(tmp_path)


def test_changed_bytes_are_found_by_the_checksum(runs):
    file = pack(runs, vectors="none")
    content = bytearray(file.read_bytes())
    content[-6] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(pp.InputError, match="is damaged or not a file of packed runs"):
        list_runs(file.parent)


def test_a_run_that_is_twice_there_is_read_once(runs, tmp_path):
    folder = pack(runs).parent
    shutil.copytree(runs / "a0", folder / "a0")
    assert len(list_runs(folder)) == 5  # equal: no word of it
    assert not by_id(folder)["a0"].packed
    write_json(folder / "a0" / "result.json", LOSSES | {"val_loss": 0.5})
    with pytest.warns(Note, match=r"run a0 is there twice .*packed/a0 counts, not .*gz, line 2"):
        assert by_id(folder)["a0"].result["val_loss"] == 0.5
    assert read_run(folder / "a0").result["val_loss"] == 0.5
    with pytest.warns(Note, match="twice"):
        pack_runs(folder, tmp_path / "b" / "other.runs.jsonl.gz")
    shutil.rmtree(folder / "a0")
    (tmp_path / "b" / "other.runs.jsonl.gz").rename(folder / "other.runs.jsonl.gz")
    with pytest.warns(Note) as notes:
        assert by_id(folder)["a0"].result["val_loss"] == 0.5  # the first file by name
    assert any(
        "run a0 is there twice" in str(n.message)
        and "other.runs.jsonl.gz, line 2 (run a0) counts, not" in str(n.message)
        for n in notes
    )


def test_a_run_twice_in_one_file_is_named_and_the_first_one_counts(runs):
    file = pack(runs, vectors="none")
    whole = lines(file)
    again = json.dumps(json.loads(whole[1]) | {"metrics": {}})
    header = json.loads(whole[0])
    header["runs"] += 1
    end = json.dumps({"end": header["runs"]})
    rewrite(file, [json.dumps(header), *whole[1:-1], again, end])
    with pytest.warns(Note, match=r"line 7 \(run a0\) is left out: it is there twice"):
        found = by_id(file.parent)
    assert len(found) == 5
    assert found["a0"].metrics()


def test_alike_runs_of_two_files_are_told_in_one_note(runs):
    file = pack(runs, vectors="none")
    shutil.copy(file, file.with_name("b.runs.jsonl.gz"))
    with pytest.warns(Note, match="5 runs are in several packed files, alike; a0 is one"):
        assert len(list_runs(file.parent)) == 5


def test_a_packed_file_is_no_folder(runs):
    file = pack(runs)
    with pytest.raises(pp.InputError, match=r"is a file of packed runs; give the folder that it"):
        list_runs(file)
