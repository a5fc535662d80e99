"""GSM8K from files, from folders and from a pretended hub, with and without derivations."""

import json
import sys
from types import ModuleType, SimpleNamespace

import pytest

from promptpriors.data import build_task, choose_task, fingerprint
from promptpriors.errors import InputError


def row(i, **more):
    derivation = f"Twice {i} is {i}*2 = $<<{i}*2={2 * i}>>{2 * i}.\nThat is all."
    return {"question": f" What is {i}*2? ", "answer": f"{derivation}\n#### {2 * i}"} | more


def write(path, rows):
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(json.dumps(r) for r in rows), encoding="utf-8")
    return path


def build(folder=None, **config):
    return build_task(choose_task({"name": "gsm8k"} | config), folder)


def everything(task):
    return [example for part in task.splits.values() for example in part]


def third(task):
    return next(e for e in everything(task) if e.id == "train/3")


def test_the_answer_is_the_final_number_alone_by_default(tmp_path):
    task = build(path=str(write(tmp_path / "a.jsonl", map(row, range(8)))))
    assert third(task) == (
        "train/3", ("Question: What is 2*2?\nAnswer:",), ("4",), None, True
    )  # fmt: skip
    assert task.stop == "\n"


def test_with_reasoning_the_derivation_is_trained_and_the_number_is_the_target(tmp_path):
    path = str(write(tmp_path / "a.jsonl", map(row, range(8))))
    task = build(path=path, reasoning=True)
    assert third(task).targets == ("4",)
    assert third(task).continuation == " Twice 2 is 2*2 = $4.\nThat is all.\n#### 4"
    assert task.stop is None
    assert task.max_new_tokens > build(path=path).max_new_tokens
    annotated = build(path=path, reasoning=True, annotations=True)
    assert third(annotated).continuation == f" {row(2)['answer']}"


def test_annotations_without_reasoning_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"annotations = true.*Set reasoning = true too"):
        build(path=str(write(tmp_path / "a.jsonl", map(row, range(8)))), annotations=True)


def test_an_answer_is_right_when_its_final_number_is(tmp_path):
    task = build(path=str(write(tmp_path / "a.jsonl", map(row, range(8)))))
    right = {"exact_match": 1.0, "accuracy": 1.0}
    wrong = {"exact_match": 0.0, "accuracy": 0.0}
    for answer in ("4", " $4.00", "2 + 2 = 4.", "5 or 6\n#### 4", "#### 4\nand 7 more"):
        assert task.score(answer, third(task)) == right
    for answer in ("", "four", "4 is 5", "-4", "4\n#### 5", "4\n####", "40", "4.5"):
        assert task.score(answer, third(task)) == wrong


def test_with_reasoning_the_benchmarks_own_rule_counts_unless_another_is_named(tmp_path):
    path = str(write(tmp_path / "a.jsonl", map(row, range(8))))
    found = {}
    for rule in (None, "official", "flexible", "number"):
        task = build(path=path, reasoning=True, **({"rule": rule} if rule else {}))
        answers = ("#### 4\nQuestion: …\n#### 7", "4", "#### $4.00")
        found[rule] = [task.score(answer, third(task))["accuracy"] for answer in answers]
    assert found[None] == found["official"] == [1.0, 0.0, 0.0]
    assert found["flexible"] == [1.0, 1.0, 0.0]
    assert found["number"] == [1.0, 1.0, 1.0]


def test_the_official_rule_is_refused_where_answers_have_no_mark(tmp_path):
    with pytest.raises(InputError, match=r"rule = 'official' looks for the mark.*reasoning = true"):
        build(path=str(write(tmp_path / "a.jsonl", map(row, range(8)))), rule="official")


def test_equal_questions_stay_in_one_split_and_those_of_test_are_left_out(tmp_path):
    rows = [row(i % 10, question=f"What is\n{i % 10}  {'?' * (1 + i % 2)}") for i in range(40)]
    copies = [row(i, question=f"What  is {i} ?") for i in range(0, 10, 2)]
    write(tmp_path / "gsm8k" / "train.jsonl", rows)
    write(tmp_path / "gsm8k" / "test-mine.jsonl", copies)
    splits = build(tmp_path, validation=3).splits
    asked = {
        name: {" ".join(e.source[0].split()) for e in examples} for name, examples in splits.items()
    }
    assert all(asked.values())
    assert sum(map(len, asked.values())) == len(set.union(*asked.values())) == 10
    assert {e.id.split("/")[0] for e in splits["test"]} == {"test"}


def test_the_size_of_train_changes_no_other_split(tmp_path):
    path = str(write(tmp_path / "a.jsonl", map(row, range(50))))
    whole, few = build(path=path).splits, build(path=path, train=9).splits
    assert few["train"] == whole["train"][:9]
    assert (few["validation"], few["test"]) == (whole["validation"], whole["test"])
    assert build(path=path, seed=1).splits["test"] != whole["test"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            {"answer": "no mark 4"},
            "field 'answer' must end with '#### ' and a number, once; found 'no m",
        ),
        ({"answer": "So 4.\n#### four"}, "field 'answer' must end with '#### ' and a number"),
        (
            {"answer": "#### 4\nor #### 5"},
            "field 'answer' must end with '#### ' and a number, once",
        ),
        ({"answer": 4}, "field 'answer' must be a text; found 4"),
        ({"question": None}, "field 'question' must be a text; found null"),
    ],
)
def test_a_malformed_line_is_named_with_file_number_and_field(tmp_path, change, problem):
    write(tmp_path / "bad.jsonl", [row(1), row(2, **change)])
    with pytest.raises(InputError, match=f"bad.jsonl, line 2: {problem}"):
        build(path=str(tmp_path / "bad.jsonl"))


def test_a_missing_field_is_answered_with_those_that_exist(tmp_path):
    write(tmp_path / "bad.jsonl", [{"questions": "1?", "answer": "#### 1"}])
    with pytest.raises(InputError) as error:
        build(path=str(tmp_path / "bad.jsonl"))
    assert str(error.value) == (
        f"{tmp_path / 'bad.jsonl'}, line 1: no field 'question'. Did you mean 'questions'?"
        " It has: questions, answer."
    )


def test_a_folder_without_or_with_two_train_files_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"has no train\*.jsonl. Set task.path"):
        build(path=str(tmp_path))
    write(tmp_path / "train.jsonl", [row(1)])
    write(tmp_path / "train-socratic.jsonl", [row(1)])
    with pytest.raises(InputError, match=r"several train files: train-socratic.jsonl, train.jsonl"):
        build(path=str(tmp_path))


def test_a_missing_data_folder_is_named(tmp_path):
    with pytest.raises(InputError, match=r"data folder .*gone does not exist. Set --data"):
        build(tmp_path / "gone")


@pytest.fixture
def hub(monkeypatch):
    """A hub that answers at once, unless a test puts an error into ``hub.error``."""
    state = SimpleNamespace(error=None, asked=[])

    def dataset_info(_api, name, timeout):
        if state.error:
            raise state.error

    def load_dataset(name, config):
        state.asked.append((name, config))
        return {"train": [row(i) for i in range(9)], "test": [row(i) for i in range(9, 12)]}

    library = ModuleType("datasets")
    library.load_dataset = load_dataset
    monkeypatch.setitem(sys.modules, "datasets", library)
    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", dataset_info)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    return state


def test_without_files_the_hub_is_asked_and_gives_what_its_files_would(hub, tmp_path):
    found = build(tmp_path)
    write(tmp_path / "gsm8k" / "train.jsonl", map(row, range(9)))
    write(tmp_path / "gsm8k" / "test.jsonl", map(row, range(9, 12)))
    assert fingerprint(build(tmp_path)) == fingerprint(found)
    assert hub.asked == [("openai/gsm8k", "main")]


def test_without_network_two_lines_say_how_to_name_a_folder(hub):
    hub.error = ConnectionError("no route to host\nand more")
    with pytest.raises(InputError) as error:
        build()
    assert str(error.value).splitlines() == [
        "task 'gsm8k': openai/gsm8k is out of reach (ConnectionError: no route to host;"
        " a cached copy needs HF_HUB_OFFLINE=1).",
        "Name a folder that holds gsm8k/train.jsonl by --data, or a JSONL file by task.path.",
    ]


def test_without_the_library_two_lines_say_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InputError, match=r"openai/gsm8k needs pip install 'promptpriors\[datas"):
        build()


@pytest.mark.slow
def test_real_gsm8k_is_split_by_question_and_reproduces(real_data):
    task = build(real_data)
    assert [len(task.splits[name]) for name in ("train", "validation", "test")] == [7273, 200, 200]
    assert len({e.source for e in everything(task)}) == 7673
    assert fingerprint(task) == fingerprint(build(real_data))


@pytest.mark.slow
def test_real_derivations_end_in_the_right_number_and_keep_no_annotation(real_data):
    plain = build(real_data, reasoning=True, test=600)
    for example in everything(plain):
        assert "<<" not in example.continuation
        assert plain.score(example.continuation, example)["accuracy"] == 1.0
    lines = (real_data / "gsm8k" / "train.jsonl").read_text().splitlines()
    answers = [json.loads(line)["answer"] for line in lines]
    for example in build(real_data, reasoning=True, annotations=True).splits["train"]:
        assert example.continuation == f" {answers[int(example.id.split('/')[1]) - 1]}"
