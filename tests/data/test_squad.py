"""SQuAD from files, from folders and from a pretended hub."""

import json
import sys
from types import ModuleType, SimpleNamespace

import pytest

from promptpriors.data import build_task, choose_task, fingerprint
from promptpriors.errors import InputError


def question(identity, *answers, **more):
    texts = [{"text": answer, "answer_start": 0} for answer in answers]
    return {"id": identity, "question": f" Question {identity}? ", "answers": texts} | more


def content(articles=6, contexts=3, questions=2, prefix=""):
    return {
        "version": "1.1",
        "data": [
            {
                "title": f"{prefix}article {a}",
                "paragraphs": [
                    {
                        "context": f" {prefix}context {a}.{c}\n",
                        "qas": [question(f"{prefix}{a}.{c}.{q}", "yes") for q in range(questions)],
                    }
                    for c in range(contexts)
                ],
            }
            for a in range(articles)
        ],
    }


def write(path, value):
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def build(folder=None, **config):
    return build_task(choose_task({"name": "squad"} | config), folder)


def articles_of(examples):
    return {example.id.split(".")[0] for example in examples}


def test_the_context_is_the_shared_first_piece_and_text_is_stripped(tmp_path):
    task = build(path=str(write(tmp_path / "a.json", content())))
    example = next(e for e in task.splits["train"] if e.id.endswith(".0.1"))
    article = example.id.split(".")[0]
    assert example.source == (
        f"context {article}.0\n",
        f"Question: Question {article}.0.1?\nAnswer:",
    )
    assert example.targets == ("yes",)
    assert example.continuation is None


def test_a_single_file_gives_three_splits_apart_by_article(tmp_path):
    task = build(path=str(write(tmp_path / "a.json", content())))
    articles = [articles_of(examples) for examples in task.splits.values()]
    assert all(articles)
    assert sum(map(len, articles)) == len(set.union(*articles))


def test_a_folder_gives_train_and_validation_from_train_and_test_from_dev(tmp_path):
    write(tmp_path / "squad" / "train-mine.json", content())
    write(tmp_path / "squad" / "dev-mine.json", content(prefix="dev ", articles=2))
    for task in (build(folder=tmp_path), build(path=str(tmp_path / "squad"))):
        assert articles_of(task.splits["test"]) == {"dev 0", "dev 1"}
        assert not articles_of(task.splits["train"]) & articles_of(task.splits["validation"])


def test_questions_of_one_context_are_taken_together(tmp_path):
    splits = build(path=str(write(tmp_path / "a.json", content(questions=4))), train=8).splits
    assert len({example.source[0] for example in splits["train"]}) == 2


def test_references_are_distinct_and_in_order(tmp_path):
    data = content(articles=2, contexts=1, questions=0)
    for article in data["data"]:
        article["paragraphs"][0]["qas"] = [question(article["title"], "b", " a", "b", "a ")]
    (example,) = build(path=str(write(tmp_path / "a.json", data)), test=0).splits["train"]
    assert example.targets == ("b", "a")


def test_an_impossible_question_of_version_2_has_the_target_unanswerable(tmp_path):
    data = content(articles=2, contexts=1, questions=0)
    for article in data["data"]:
        more = {"is_impossible": True, "plausible_answers": [{"text": "x", "answer_start": 0}]}
        article["paragraphs"][0]["qas"] = [question(article["title"], **more)]
    task = build(path=str(write(tmp_path / "a.json", data)), test=0)
    (example,) = task.splits["train"]
    assert example.targets == ("unanswerable",)
    assert task.score("unanswerable", example)["f1"] == 1.0
    assert task.score("x", example)["f1"] == 0.0


@pytest.mark.parametrize(
    ("answer", "version"), [("so", 1), (".", 2), ("The", 2), ("A!", 2), ("the dog", 1)]
)
def test_the_version_is_higher_where_an_answer_has_no_word(tmp_path, answer, version):
    data = content(articles=4, contexts=1, questions=0)
    for article in data["data"]:
        article["paragraphs"][0]["qas"] = [question(article["title"], "so", answer)]
    task = build(path=str(write(tmp_path / "a.json", data)))
    example = task.splits["test"][0]
    assert task.version == version
    assert task.score(answer, example) == dict.fromkeys(task.score("", example), 1.0)
    assert set(task.score("", example).values()) == {0.0}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda q: q.pop("answers"), "qas[1] has no key 'answers'. It needs data[].title"),
        (lambda q: q.update(id=7), "qas[1].id: input should be a valid string"),
        (lambda q: q.update(question=" "), "qas[1].question: string should have at least 1"),
        (lambda q: q.update(answers=[]), "qas[1]: answers is empty, which needs is_impossible"),
        (lambda q: q["answers"][0].pop("text"), "qas[1].answers[0] has no key 'text'"),
    ],
)
def test_a_malformed_entry_is_named_with_its_file_and_key(tmp_path, change, problem):
    data = content()
    change(data["data"][3]["paragraphs"][0]["qas"][1])
    with pytest.raises(InputError) as error:
        build(path=str(write(tmp_path / "bad.json", data)))
    start = f"{tmp_path / 'bad.json'} is not a SQuAD file: data[3].paragraphs[0].{problem}"
    assert str(error.value).startswith(start)


def test_a_repeated_id_is_refused(tmp_path):
    data = content(articles=2)
    for article in data["data"]:
        for paragraph in article["paragraphs"]:
            paragraph["qas"][0]["id"] = "same"
    with pytest.raises(InputError, match=r"3 examples of the train split have the id 'same'. Give"):
        build(path=str(write(tmp_path / "a.json", data)), test=0)


def test_a_file_of_one_article_cannot_be_split(tmp_path):
    with pytest.raises(InputError, match=r"the validation split is empty.*at least two. Give more"):
        build(path=str(write(tmp_path / "a.json", content(articles=1))))


def test_a_folder_without_or_with_two_train_files_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"has no train-\*.json. Set task.path"):
        build(path=str(tmp_path))
    write(tmp_path / "train-v1.1.json", content())
    write(tmp_path / "train-v2.0.json", content())
    with pytest.raises(InputError, match=r"several train files: train-v1.1.json, train-v2.0.json"):
        build(path=str(tmp_path))


def test_a_missing_path_or_data_folder_is_named(tmp_path):
    with pytest.raises(InputError, match=r"there is no .*gone.json. Point"):
        build(path=str(tmp_path / "gone.json"))
    with pytest.raises(InputError, match=r"data folder .*gone does not exist. Set --data"):
        build(folder=tmp_path / "gone")


def hub_row(article, k):
    answers = {"text": ["yes"] if k else [], "answer_start": [0] if k else []}
    row = {"id": f"{article}.{k}", "title": article, "context": f"About {article}"}
    return row | {"question": f"Question {k}?", "answers": answers}


@pytest.fixture
def hub(monkeypatch):
    """A hub that answers at once, unless a test puts an error into ``hub.error``."""
    state = SimpleNamespace(error=None)

    def dataset_info(_api, name, timeout):
        if state.error:
            raise state.error

    library = ModuleType("datasets")
    library.load_dataset = lambda name: {
        part: [hub_row(f"{name} {part} {a}", k) for a in range(3) for k in range(2)]
        for part in ("train", "validation")
    }
    monkeypatch.setitem(sys.modules, "datasets", library)
    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", dataset_info)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    return state


def test_without_files_the_hub_is_asked(hub, tmp_path):
    for folder in (None, tmp_path):
        splits = build(folder, hub="rajpurkar/squad_v2").splits
        assert all("squad_v2 train" in e.id for e in splits["train"] + splits["validation"])
        assert len(splits["test"]) == 6
        assert all("squad_v2 validation" in example.id for example in splits["test"])
        assert {e.targets for e in splits["test"]} == {("yes",), ("unanswerable",)}


def test_without_network_two_lines_say_how_to_name_a_folder(hub):
    hub.error = ConnectionError("no route to host\nand more")
    with pytest.raises(InputError) as error:
        build()
    assert str(error.value).splitlines() == [
        "task 'squad': rajpurkar/squad is out of reach (ConnectionError: no route to host;"
        " a cached copy needs HF_HUB_OFFLINE=1).",
        "Name a folder that holds squad/train-*.json by --data, or a SQuAD file by task.path.",
    ]


def test_without_the_library_two_lines_say_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InputError) as error:
        build()
    first, second = str(error.value).splitlines()
    assert first == "task 'squad': rajpurkar/squad needs pip install 'promptpriors[datasets]'."
    assert second.startswith("Name a folder")


@pytest.mark.slow
def test_real_squad_splits_by_article_and_reproduces(real_data):
    task = build(real_data)
    train, validation, test = (task.splits[name] for name in ("train", "validation", "test"))
    assert (len(validation), len(test)) == (200, 200)
    assert len(train) > 10_000
    assert not {e.source[0] for e in train} & {e.source[0] for e in validation + test}
    assert fingerprint(task) == fingerprint(build(real_data))
    assert build(real_data, seed=1).splits["validation"] != validation
    assert build(real_data, train=500).splits["train"] == train[:500]


@pytest.mark.slow
def test_real_references_score_perfectly_on_their_own_questions(real_data):
    task = build(real_data)
    for example in task.splits["test"]:
        for target in example.targets:
            assert task.score(target, example)["f1"] == 1.0
