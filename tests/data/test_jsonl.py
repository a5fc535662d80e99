"""The user's own JSONL and CSV."""

import csv
import json
import pickle
import re

import pytest

from promptpriors.data import build_task, choose_task, fingerprint
from promptpriors.errors import InputError
from promptpriors.types import Markup


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


@pytest.mark.parametrize(
    ("score", "answer", "right"),
    [
        ("exact", "7", 1.0),
        ("exact", " 7\n", 1.0),
        *[("exact", wrong, 0.0) for wrong in ("7.0", "-7", "7.", "The 7", "", "#### 7")],
        ("squad", "The 7!", 1.0),
        ("squad", "7.0", 0.0),
        ("number", "7.0", 1.0),
        ("number", "-7", 0.0),
        ("number", "The 7!", 0.0),
    ],
)
def test_an_answer_is_scored_exactly_or_by_the_rule_that_is_named(tmp_path, score, answer, right):
    path = write(tmp_path / "a.jsonl", rows(5, targets="7"))
    task = build(path, **({} if score == "exact" else {"score": score}))
    found = task.score(answer, task.splits["train"][0])
    assert (found["exact_match"], found["accuracy"]) == (right, right)
    assert ("f1" in found) == (score == "squad")


@pytest.mark.parametrize("target", ["A", "The", "an", "…", "...", ">", "C", "15", "1230", "no"])
@pytest.mark.parametrize("wrong", ["", "the", "a", "?", "-", "C++", "1.5", "12:30", "nO", "n o"])
def test_a_letter_or_word_is_right_as_it_is_written_and_not_otherwise(tmp_path, target, wrong):
    task = build(write(tmp_path / "a.jsonl", rows(5, targets=target)))
    example = task.splits["train"][0]
    assert task.score(target, example) == {"exact_match": 1.0, "accuracy": 1.0}
    assert task.score(wrong, example) == {"exact_match": 0.0, "accuracy": 0.0}


def test_an_unknown_rule_and_a_target_that_is_no_number_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"score = 'exakt': input should be 'exact', 'squad' or"):
        build(tmp_path, score="exakt")
    with pytest.raises(InputError, match=r"a.jsonl, line 1: the target 'a0' is no number, which"):
        build(write(tmp_path / "a.jsonl", rows(5)), score="number")


def offered(task):
    return {example.targets: task.choices(example) for example in everything(task)}


def test_choices_are_the_same_for_all_or_a_list_of_each_example_or_columns(tmp_path):
    letters = ["A", "B", "C"]
    same = write(tmp_path / "a.jsonl", rows(5, targets="B"))
    own = write(tmp_path / "b.jsonl", rows(5, targets="B", options=["B", "D"]))
    (tmp_path / "c.csv").write_text(
        "source,targets,one,two,three\nq,no,yes,no,\nr,yes,yes,no,perhaps\n"
    )
    assert build(same).choices is None
    sent = pickle.loads(pickle.dumps(build(own, choices_field="options")))
    assert offered(sent) == {("B",): ("B", "D")}
    assert offered(build(same, choices=letters)) == {("B",): ("A", "B", "C")}
    assert offered(build(own, choices_field="options")) == {("B",): ("B", "D")}
    columns = build(tmp_path / "c.csv", choices_field=["one", "two", "three"])
    assert offered(columns) == {("no",): ("yes", "no"), ("yes",): ("yes", "no", "perhaps")}


def test_the_fingerprint_knows_the_choices(tmp_path):
    plain, first, other = (
        write(tmp_path / f"{i}.jsonl", rows(5, targets="B", options=options))
        for i, options in enumerate((["A", "B"], ["B", "A"], ["B", "C"]))
    )
    tasks = [build(plain), *(build(f, choices_field="options") for f in (plain, first, other))]
    assert len(set(map(fingerprint, tasks))) == len(tasks)


@pytest.mark.parametrize(
    ("more", "config", "problem"),
    [
        ({"targets": "b"}, {"choices": ["A", "B"]}, "the target 'b' is none of the choices: 'A', "),
        ({"targets": ["A", "C"]}, {"choices": ["A", "B"]}, "the target 'C' is none of the choices"),
        ({"o": "A"}, {"choices_field": "o"}, "field 'o' must be a list of texts, the choices; fou"),
        ({"o": ["A", 1]}, {"choices_field": "o"}, "field 'o' must be a list of texts, the choices"),
        ({"o": ["A", "A "]}, {"choices_field": "o"}, "expected different texts, none of them blan"),
        ({"o": ["A"]}, {"choices_field": "o"}, "1 choices; expected at least two"),
        ({"o": ["A", "B"]}, {"choices_field": "p"}, "no field 'p'. It has: source, targets, o"),
        ({"o": 1, "p": "A"}, {"choices_field": ["o", "p"]}, "a choice must be a text; found 1"),
    ],
)
def test_choices_that_do_not_fit_are_named_with_their_line(tmp_path, more, config, problem):
    path = write(tmp_path / "a.jsonl", rows(2, **{"targets": "A"} | more))
    with pytest.raises(InputError, match=f"a.jsonl, line 1: .*{problem}"):
        build(path, **config)


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"choices": ["A"]}, "choices = .*at least 2 items"),
        ({"choices": ["A", " A"]}, "choices = .*expected different texts"),
        ({"choices": ["A", "B"], "choices_field": "o"}, "are both set; leave out one"),
    ],
)
def test_choices_of_a_config_are_checked(tmp_path, config, problem):
    with pytest.raises(InputError, match=problem):
        build(write(tmp_path / "a.jsonl", rows(5)), **config)


def test_control_tokens_of_sources_are_marked_where_they_are_asked_for(tmp_path):
    path = write(tmp_path / "a.jsonl", rows(5))
    for asked in (False, True):
        (piece, *_) = everything(build(path, control_tokens=asked))[0].source
        assert isinstance(piece, Markup) == asked
    assert fingerprint(build(path)) == fingerprint(build(path, control_tokens=True))


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
        *(
            (
                f'{{"source": "q", "targets": {n}}}',
                f"field 'targets' must be .* found {said}. Write it in",
            )
            for n, said in (("42", "42"), ("1.5", "1.5"), ('["a", 3]', "3"), ("true", "true"))
        ),
        ('{"source": "q", "targets": null}', "field 'targets' must be a text .* found null"),
        ('{"source": "\\ud800", "targets": "a"}', "field 'source' holds half a character"),
        (
            '{"source": "q", "targets": "a", "targets": "b"}',
            "the object has the field 'targets' tw",
        ),
        ('{"targets": "a", "source": "q", "source": "q"}', "the object has the field 'source' twi"),
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
        ("a", "1 cell under a header of 2"),
        ('a,"b', "not CSV: unexpected end of data"),
        ('a,"b\nc\nd', "not CSV: unexpected end of data"),
        (",yes", "field 'source' must be a text"),
    ],
)
def test_a_malformed_csv_line_is_named_with_its_number(tmp_path, line, problem):
    (tmp_path / "bad.csv").write_text(f"source,targets\nq,a\n{line}\n")
    with pytest.raises(InputError, match=f"bad.csv, line 3: {problem}"):
        build(tmp_path / "bad.csv")


@pytest.mark.parametrize(
    "header",
    ["source,targets,targets", "source,source,targets", "source,targets, targets", "n,n,source"],
)
def test_a_header_that_names_a_column_twice_is_refused(tmp_path, header):
    (tmp_path / "a.csv").write_text(f"{header}\na,b,c\n")
    twice = re.escape(header.split(",")[0] if header[:2] == "n," else header.split(",")[1])
    with pytest.raises(InputError, match=rf"a.csv: the header has the column '{twice}' twice"):
        build(tmp_path / "a.csv")


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_columns_that_no_comma_separates_are_said(tmp_path, mark):
    (tmp_path / "a.csv").write_text(f"source{mark}targets\na{mark}b\n")
    with pytest.raises(InputError, match=r"a.csv: the header is one column, .* by commas"):
        build(tmp_path / "a.csv")


def test_columns_without_a_name_and_blanks_around_names_do_no_harm(tmp_path):
    (tmp_path / "a.csv").write_text("\n source, targets,,\na,b,1,2\nc,d,,\n")
    assert {e[1:3] for e in everything(build(tmp_path / "a.csv"))} == {
        (("a",), ("b",)),
        (("c",), ("d",)),
    }


def test_a_field_of_a_csv_file_has_any_length(tmp_path):
    long, limit = "word " * 30_000 + "end", csv.field_size_limit()
    (tmp_path / "a.csv").write_text(f"source,targets\n{long},yes\nq,no\n")
    found = everything(build(tmp_path / "a.csv"))
    assert {e.source for e in found} == {(long,), ("q",)}
    assert csv.field_size_limit() == limit


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
