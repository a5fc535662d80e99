"""The user's own JSONL and CSV."""

import json

import pytest

from promptpriors.data import build_task, choose_task, fingerprint
from promptpriors.errors import InputError


def build(path, folder=None, **config):
    return build_task(choose_task({"name": "jsonl", "path": str(path)} | config), folder)


def write(path, rows):
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def rows(count, **more):
    return [{"source": f"q{i}", "targets": [f"a{i}", "b"]} | more for i in range(count)]


def everything(task):
    return [example for part in task.splits.values() for example in part]


def test_strings_and_lists_become_pieces_and_targets(tmp_path):
    lines = [
        {"source": "one ", "targets": " 1 "},
        {"source": ["Context.\n", "Two?"], "targets": ["2", "two"]},
    ]
    examples = everything(build(write(tmp_path / "a.jsonl", lines), test=0))
    assert {(e.source, e.targets) for e in examples} == {
        (("one ",), ("1",)),
        (("Context.\n", "Two?"), ("2", "two")),
    }


def test_csv_gives_the_same_examples_as_jsonl(tmp_path):
    (tmp_path / "a.csv").write_text(
        'source,targets\n"q, 1",yes\n\n"two\nlines",no\nlast,"so ""so"""'
    )
    lines = [("q, 1", "yes"), ("two\nlines", "no"), ("last", 'so "so"')]
    same = [{"source": source, "targets": target} for source, target in lines]
    from_csv = everything(build(tmp_path / "a.csv"))
    from_json = everything(build(write(tmp_path / "a.jsonl", same)))
    assert {e[1:] for e in from_csv} == {e[1:] for e in from_json}
    assert {e.id for e in from_csv} == {"train/2", "train/4", "train/6"}


def test_blank_lines_are_skipped_and_unicode_line_separators_are_text(tmp_path):
    (tmp_path / "a.jsonl").write_text(
        '{"source": "one\u2028line", "targets": "1"}\n\n{"source": "q", "targets": "2"}\n',
        encoding="utf-8",
    )
    assert {e.id for e in everything(build(tmp_path / "a.jsonl"))} == {"train/1", "train/3"}


def test_field_names_and_answer_length_can_be_set(tmp_path):
    lines = [{"prompt": f"q{i}", "label": "yes"} for i in range(5)]
    names = {"source_field": "prompt", "targets_field": "label", "max_new_tokens": 3}
    task = build(write(tmp_path / "a.jsonl", lines), **names)
    assert task.max_new_tokens == 3
    assert task.splits["train"][0].targets == ("yes",)


def test_answers_end_at_a_line_feed_unless_a_target_has_one(tmp_path):
    assert build(write(tmp_path / "a.jsonl", rows(5))).stop == "\n"
    assert build(write(tmp_path / "b.jsonl", rows(5, targets="two\nlines"))).stop is None


def test_equal_sources_stay_in_one_split(tmp_path):
    path = write(
        tmp_path / "a.jsonl", [{"source": f"q{i % 5}", "targets": str(i)} for i in range(40)]
    )
    sources = [{e.source for e in part} for part in build(path).splits.values()]
    assert all(sources)
    assert sum(map(len, sources)) == len(set.union(*sources)) == 5


def test_own_files_for_validation_and_test_are_used_and_their_sources_left_out_of_train(tmp_path):
    write(tmp_path / "train.jsonl", rows(10))
    write(tmp_path / "validation.jsonl", rows(2))
    write(tmp_path / "test.jsonl", rows(4))
    own = {"validation_path": "validation.jsonl", "test_path": "test.jsonl"}
    splits = build("train.jsonl", tmp_path, **own).splits
    assert {e.id.split("/")[0] for e in splits["test"]} == {"test"}
    assert not {e.source for e in splits["train"]} & {e.source for e in splits["test"]}
    assert not {e.source for e in splits["validation"]} & {e.source for e in splits["test"]}


def test_a_file_that_moves_keeps_its_fingerprint(tmp_path):
    here, there = write(tmp_path / "a.jsonl", rows(9)), write(tmp_path / "b.jsonl", rows(9))
    other = write(tmp_path / "c.jsonl", rows(10))
    assert fingerprint(build(here)) == fingerprint(build(there)) != fingerprint(build(other))


def test_scores_are_those_of_squad(tmp_path):
    task = build(write(tmp_path / "a.jsonl", rows(5)))
    assert task.score("The B!", task.splits["train"][0])["exact_match"] == 1.0


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{'source'}", "not JSON: Expecting property name .* column 2. Write one {…} a line"),
        ("[1, 2]", "not an object, found \\[1, 2\\]. Write one"),
        (
            '{"sauce": "q", "targets": "a"}',
            "no field 'source'. Did you mean 'sauce'\\? It has: sauce",
        ),
        ('{"source": "q"}', "no field 'targets'. It has: source. Set task.source_field and"),
        ('{"source": "q", "targets": 42}', "field 'targets' must be a text or a list .* found 42"),
        ('{"source": [], "targets": "a"}', "field 'source' must be a text .* found \\[\\]"),
        (
            '{"source": ["q", " "], "targets": "a"}',
            "field .* none of them blank; found \\[.q., . .\\]",
        ),
    ],
)
def test_a_malformed_line_is_named_with_file_number_and_field(tmp_path, line, problem):
    (tmp_path / "bad.jsonl").write_text('{"source": "q", "targets": "a"}\n' + line)
    with pytest.raises(InputError, match=f"bad.jsonl, line 2: {problem}"):
        build(tmp_path / "bad.jsonl")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("a,b,c", '3 cells under a header of 2. Put a text with commas into "quotes"'),
        ('"a"b,c', "not CSV: ',' expected after '\"'"),
        (",yes", "field 'source' must be a text"),
    ],
)
def test_a_malformed_csv_line_is_named_with_its_number(tmp_path, line, problem):
    (tmp_path / "bad.csv").write_text(f"source,targets\nq,a\n{line}\n")
    with pytest.raises(InputError, match=f"bad.csv, line 3: {problem}"):
        build(tmp_path / "bad.csv")


def test_a_missing_column_is_answered_with_those_that_exist(tmp_path):
    (tmp_path / "a.csv").write_text("question,targets\nq,a\n")
    with pytest.raises(InputError, match=r"no field 'source'. It has: question, targets"):
        build(tmp_path / "a.csv")


def test_the_path_is_required():
    with pytest.raises(InputError, match=r"task 'jsonl' needs the parameter 'path'"):
        choose_task("jsonl")


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "a.jsonl").write_text("\n")
    with pytest.raises(InputError, match=r"task 'jsonl': the train split is empty"):
        build(tmp_path / "a.jsonl")
