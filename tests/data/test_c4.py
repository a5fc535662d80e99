"""C4: documents stay on disk, no text stands in two splits."""

import gc
import json
import sys
import tracemalloc
from types import ModuleType, SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptpriors.data import build_task, choose_task, fingerprint
from promptpriors.errors import InputError


def build(folder=None, **config):
    return build_task(choose_task({"name": "c4"} | config), folder)


def write(path, texts, **more):
    path.parent.mkdir(exist_ok=True)
    lines = [json.dumps({"text": text, "url": "x"} | more, ensure_ascii=False) for text in texts]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def texts_of(examples):
    return [example.continuation for example in examples]


def everything(task):
    return [example for part in task.splits.values() for example in part]


def test_an_example_is_its_document_without_a_source_and_without_scores(tmp_path):
    task = build(path=str(write(tmp_path / "a.jsonl", [" Größe: 1\n", "two"])), test=0)
    example = next(e for e in everything(task) if e.id == "0/1")
    assert example.source == ()
    assert example.continuation == "Größe: 1"
    assert example.targets == (example.continuation,)
    assert example.ends
    assert task.stop is None
    assert task.score("anything", example) == {}


def test_a_long_document_is_cut_before_white_space_and_has_no_end(tmp_path):
    path = write(tmp_path / "a.jsonl", ["one two three", "one two 3", "one", "one two"])
    found = {e.continuation: e.ends for e in everything(build(path=str(path), characters=8))}
    assert found == {"one two": False, "one": True}
    found = {e.continuation: e.ends for e in everything(build(path=str(path), characters=9))}
    assert found == {"one two": False, "one two 3": True, "one": True}


def test_blank_documents_and_lines_are_skipped_and_lines_keep_their_numbers(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(
        b'\xef\xbb\xbf{"text": "one"}\r\n\n{"text": " \\n"}\n{"text": "two"}'
    )
    examples = everything(build(path=str(tmp_path / "a.jsonl")))
    assert {(e.id, e.continuation) for e in examples} == {("0/1", "one"), ("0/4", "two")}


documents = st.lists(st.sampled_from("abcdefghij"), min_size=12, max_size=60).filter(
    lambda texts: len(set(texts)) > 3
)


@given(documents, st.integers(0, 3))
def test_a_text_counts_once_and_stands_in_one_split(tmp_path_factory, texts, seed):
    path = write(tmp_path_factory.mktemp("c4") / "a.jsonl", texts)
    task = build(path=str(path), seed=seed)
    assert sorted(texts_of(everything(task))) == sorted(set(texts))


def test_the_beginning_decides_which_texts_are_equal(tmp_path):
    path = write(tmp_path / "a.jsonl", [f"same beginning {i}" for i in range(9)] + ["other"])
    assert len(everything(build(path=str(path), characters=14))) == 2


def test_a_smaller_train_split_is_the_beginning_of_a_larger_one(tmp_path):
    path = str(write(tmp_path / "a.jsonl", [f"document {i}" for i in range(60)]))
    whole, few = build(path=path).splits, build(path=path, train=7).splits
    assert [len(whole[name]) for name in ("train", "validation", "test")] == [36, 12, 12]
    assert list(few["train"]) == list(whole["train"][:7])
    assert list(few["validation"]) == list(whole["validation"])
    assert list(few["test"]) == list(whole["test"])
    assert list(build(path=path, seed=1).splits["test"]) != list(whole["test"])


def test_a_range_of_documents_is_lazy_and_an_index_may_be_negative(tmp_path):
    train = build(path=str(write(tmp_path / "a.jsonl", map(str, range(50))))).splits["train"]
    assert type(train[2:5]) is type(train)
    assert list(train[2:5]) == list(train)[2:5]
    assert train[-1] == list(train)[-1]
    with pytest.raises(IndexError):
        train[len(train)]


def test_files_of_a_folder_are_read_in_the_order_of_their_names(tmp_path):
    write(tmp_path / "c4" / "b.json", ["three", "one"])
    write(tmp_path / "c4" / "a.jsonl", ["one", "two"])
    (tmp_path / "c4" / "notes.txt").write_text("no document")
    for task in (build(tmp_path), build(path=str(tmp_path / "c4"))):
        found = {(e.id, e.continuation) for e in everything(task)}
        assert found == {("0/1", "one"), ("0/2", "two"), ("1/1", "three")}


def test_a_folder_that_moves_keeps_its_fingerprint(tmp_path):
    here = write(tmp_path / "here" / "a.jsonl", map(str, range(20)))
    there = write(tmp_path / "there" / "b.jsonl", map(str, range(20)))
    other = write(tmp_path / "c.jsonl", map(str, range(21)))
    assert fingerprint(build(path=str(here))) == fingerprint(build(path=str(there)))
    assert fingerprint(build(path=str(here))) != fingerprint(build(path=str(other)))


def memory(path):
    """Bytes that stay, and that were in use at most, when a task is built and hashed."""
    gc.collect()
    tracemalloc.start()
    try:
        task = build(path=str(path))
        fingerprint(task)
        gc.collect()
        return tracemalloc.get_traced_memory(), len(everything(task))
    finally:
        tracemalloc.stop()


@pytest.mark.slow
def test_memory_grows_by_a_bounded_number_of_bytes_a_document_and_not_with_the_text(tmp_path):
    count, few = 1500, 100
    small = write(tmp_path / "small.jsonl", (f"{i}" for i in range(few)))
    short = write(tmp_path / "short.jsonl", (f"{i}" for i in range(count)))
    long = write(tmp_path / "long.jsonl", (f"{i} " + "word " * 1000 for i in range(count)))
    memory(small)
    (base, _), _ = memory(small)
    (kept_short, _), found = memory(short)
    (kept_long, peak_long), same = memory(long)
    assert found == same == count
    assert (kept_short - base) / (count - few) < 40
    assert kept_long - kept_short < 100_000
    assert peak_long < 0.2 * long.stat().st_size


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"{'text'}", "not JSON: Expecting property name .* column 2. Write one {…} a line"),
        (b"[1, 2]", r"not an object, found \[1, 2\]. Write one"),
        (b'{"txt": "a"}', "no field 'text'. Did you mean 'txt'. It has: txt."),
        (b"{}", "no field 'text'. It has: none."),
        (b'{"text": 42}', "field 'text' must be a text; found 42"),
        (b'{"text": "caf\xe9"}', "not UTF-8 text: byte 0xe9 at offset 13. Convert it"),
        (b'{"text": "\\ud800"}', "holds half a character"),
        (b"[" * 100_000, "not JSON that can be read: "),
    ],
)
def test_a_malformed_line_is_named_with_file_and_number(tmp_path, line, problem):
    (tmp_path / "bad.jsonl").write_bytes(b'{"text": "a"}\n\n' + line + b"\n")
    with pytest.raises(InputError, match=rf"bad.jsonl, line 3: .*{problem}"):
        build(path=str(tmp_path / "bad.jsonl"))


def test_a_compressed_file_is_refused_with_the_command_that_unpacks_it(tmp_path):
    packed = tmp_path / "c4-train.00000-of-01024.json.gz"
    packed.write_bytes(b"\x1f\x8b")
    for path in (packed, tmp_path):
        with pytest.raises(InputError) as error:
            build(path=str(path))
        assert str(error.value) == (
            f"{packed} is compressed, and documents are read from the middle of a file."
            f" Unpack it: gunzip --keep {packed.name}"
        )
    write(tmp_path / "a.jsonl", "abc")
    assert len(everything(build(path=str(tmp_path)))) == 3


def test_missing_and_too_few_documents_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"has no \*.jsonl. Set task.path"):
        build(path=str(tmp_path))
    with pytest.raises(InputError, match=r"the train split is empty"):
        build(path=str(write(tmp_path / "a.jsonl", [" "])))
    with pytest.raises(InputError, match=r"the validation split is empty"):
        build(path=str(write(tmp_path / "a.jsonl", ["one"])))
    path = str(write(tmp_path / "a.jsonl", "abcdef"))
    for split, exist in (("validation", 5), ("test", 4), ("train", 4)):
        with pytest.raises(InputError) as error:
            build(path=path, **{split: 7})
        assert str(error.value) == (
            f"task 'c4': {split} = 7 documents were asked for and {exist} exist apart from the"
            f" other splits. Set task.{split} to {exist} or less, or give more data."
        )


def test_a_file_that_goes_away_after_the_task_was_built_is_named(tmp_path):
    path = write(tmp_path / "a.jsonl", "abc")
    task = build(path=str(path))
    path.unlink()
    with pytest.raises(InputError, match=r"a.jsonl cannot be read: No such file"):
        task.splits["train"][0]


class Stream(list):
    """A stream of the hub; ``shuffle`` turns it by the seed, which stands for an order."""

    def shuffle(self, seed, buffer_size):
        turn = seed % len(self)
        return Stream(self[turn:] + self[:turn])


@pytest.fixture
def hub(monkeypatch):
    """A hub of 50 documents a part, each twice; a test may put an error into ``hub.error``."""
    state = SimpleNamespace(error=None, asked=[])

    def load_dataset(name, config, split, streaming):
        state.asked.append((name, config, split, streaming))
        if state.error:
            raise state.error
        texts = [" ", *(f"{split} {i // 2}" for i in range(100))]
        return Stream({"text": text} for text in texts)

    library = ModuleType("datasets")
    library.load_dataset = load_dataset
    monkeypatch.setitem(sys.modules, "datasets", library)
    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", lambda *_, timeout: None)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    return state


def test_without_files_the_hub_streams_as_many_documents_as_are_asked_for(hub, tmp_path):
    sizes = {"train": 20, "validation": 5, "test": 4}
    splits = build(tmp_path, **sizes).splits
    assert {name: len(splits[name]) for name in sizes} == sizes
    assert {text.split()[0] for text in texts_of(splits["train"])} == {"train"}
    assert {text.split()[0] for text in texts_of(splits["test"])} == {"validation"}
    assert len({e.continuation for part in splits.values() for e in part}) == 29
    assert set(hub.asked) == {("allenai/c4", "en", part, True) for part in ("validation", "train")}
    more = build(tmp_path, **sizes | {"train": 30}).splits
    assert more["train"][:20] == splits["train"]
    assert (more["validation"], more["test"]) == (splits["validation"], splits["test"])


def test_a_hub_with_too_few_documents_is_said_to_have_them(hub):
    with pytest.raises(InputError, match=r"train = 2000 documents were asked for and 50 exist"):
        build(validation=2, test=2)


def test_without_network_two_lines_say_how_to_name_a_folder(hub):
    hub.error = ConnectionError("no route to host\nand more")
    with pytest.raises(InputError) as error:
        build()
    assert str(error.value).splitlines() == [
        "task 'c4': allenai/c4 is out of reach (ConnectionError: no route to host).",
        "Name a folder that holds c4/*.jsonl by --data, or a JSONL file by task.path.",
    ]


def test_without_the_library_two_lines_say_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InputError, match=r"task 'c4': allenai/c4 needs pip install 'promptpriors"):
        build()


def test_real_c4_splits_and_reproduces(real_data):
    task = build(real_data)
    assert [len(task.splits[name]) for name in ("train", "validation", "test")] == [600, 200, 200]
    assert len(set(texts_of(everything(task)))) == 1000
    assert all(0 < len(e.continuation) <= 2000 for e in everything(task))
    assert 0 < sum(not e.ends for e in everything(task)) < 1000
    assert fingerprint(task) == fingerprint(build(real_data))
