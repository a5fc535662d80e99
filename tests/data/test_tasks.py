"""Laws over the whole table."""

import hashlib
import inspect
import json
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from promptpriors.data import TASKS, build_task, choose_task, fingerprint
from promptpriors.errors import InputError
from promptpriors.types import Example, Task

SIZES = {"train": 12, "validation": 4, "test": 4}


@pytest.fixture(params=TASKS)
def task(request, tmp_path):
    """Every task of the table on a few examples."""
    config = {"name": request.param} | SIZES
    if request.param == "jsonl":
        lines = [json.dumps({"source": f"q{i}", "targets": "a"}) for i in range(40)]
        (tmp_path / "a.jsonl").write_text("\n".join(lines))
        config["path"] = "a.jsonl"
    if request.param == "squad":
        qas = [{"id": "", "question": "Why?", "answers": [{"text": "so", "answer_start": 0}]}]
        data = [
            {
                "title": str(i),
                "paragraphs": [{"context": f"Text {i}", "qas": [qas[0] | {"id": str(i)}]}],
            }
            for i in range(40)
        ]
        (tmp_path / "a.json").write_text(json.dumps({"data": data}))
        config["path"] = "a.json"
    if request.param in {"c4", "gsm8k"}:
        lines = [
            json.dumps({"text": f"Text {i}.", "question": f"{i} + 1?", "answer": f"So.\n#### {i}"})
            for i in range(40)
        ]
        (tmp_path / "a.jsonl").write_text("\n".join(lines))
        config["path"] = "a.jsonl"
    return build_task(choose_task(config), tmp_path)


def test_a_task_is_named_as_its_row_and_keeps_its_sizes(task):
    assert task.name in TASKS
    assert {name: len(task.splits[name]) for name in SIZES} == SIZES


def test_splits_share_no_example_and_ids_are_unique(task):
    ids = [example.id for name in SIZES for example in task.splits[name]]
    texts = [example[1:4] for name in SIZES for example in task.splits[name]]
    assert len(set(ids)) == len(ids)
    assert len(set(texts)) == len(texts)


def test_every_example_has_a_target_and_scores_in_the_unit_interval(task):
    for example in task.splits["test"]:
        assert example.targets
        assert set(task.score(example.targets[0], example).values()) <= {1.0}
        assert all(0 <= score <= 1 for score in task.score("neither", example).values())


@pytest.fixture(scope="module")
def process():
    """Another process, as a study's workers are."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        yield pool


@pytest.mark.slow
def test_a_task_can_be_sent_to_another_process(task, process):
    assert process.submit(fingerprint, task).result() == fingerprint(task)


@pytest.mark.parametrize("name", TASKS)
def test_a_row_takes_keywords_only_and_the_common_ones(name):
    parameters = inspect.signature(TASKS[name]).parameters
    assert {p.kind for p in parameters.values()} == {inspect.Parameter.KEYWORD_ONLY}
    assert {"folder", "seed", *SIZES} <= set(parameters)


@pytest.mark.parametrize("wrong", [{"train": 0}, {"validation": 0}, {"test": -1}, {"train": 2.5}])
@pytest.mark.parametrize("name", [name for name in TASKS if name != "jsonl"])
def test_impossible_sizes_are_refused_by_name(name, wrong):
    (key,) = wrong
    with pytest.raises(InputError, match=f"task '{name}': {key} = "):
        choose_task({"name": name} | wrong)


def test_the_data_folder_is_not_a_parameter_of_a_config():
    with pytest.raises(InputError, match=r"task 'text' has no parameter 'folder'"):
        choose_task({"name": "text", "folder": "."})


def test_an_unknown_task_is_answered_with_the_closest_one():
    with pytest.raises(InputError, match=r"unknown task 'squat'. Did you mean 'squad'"):
        choose_task("squat")


def toy(**changes):
    example = Example("1", ("q",), ("a",))
    fields = {"name": "toy", "version": 1, "splits": {"train": [example]}, "score": len}
    return Task(**fields | changes)


def test_the_fingerprint_knows_name_version_and_every_example():
    example = Example("1", ("q",), ("a",))
    variants = [
        toy(),
        toy(name="other"),
        toy(version=2),
        toy(splits={"test": [example]}),
        *[
            toy(splits={"train": [example._replace(**{field: value})]})
            for field, value in {
                "id": "2",
                "source": ("q", ""),
                "targets": ("a", "b"),
                "continuation": " a",
                "ends": False,
            }.items()
        ],
    ]
    assert len({fingerprint(task) for task in variants}) == len(variants)
    assert fingerprint(toy()) == fingerprint(toy(max_new_tokens=5))


def test_the_fingerprint_is_that_of_the_whole_tasks_json(task):
    splits = {name: list(map(list, examples)) for name, examples in task.splits.items()}
    whole = json.dumps([task.name, task.version, splits], sort_keys=True, separators=(",", ":"))
    assert fingerprint(task) == hashlib.sha256(whole.encode()).hexdigest()


@pytest.mark.parametrize("split", ["train", "validation"])
def test_an_empty_split_is_refused_with_its_reason(monkeypatch, split):
    example = Example("1", ("q",), ("a",))
    splits = {"train": [example], "validation": [example], "test": []} | {split: []}
    monkeypatch.setitem(TASKS, "text", lambda **_: toy(splits=splits))
    with pytest.raises(InputError) as error:
        build_task(choose_task("text"))
    assert str(error.value) == (
        f"task 'toy': the {split} split is empty. Train and validation have no article, document or"
        " source text in common, so the data must hold at least two. Give more data by task.path."
    )
