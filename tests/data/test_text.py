"""Plain text cut into pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptpriors.data import build_task, choose_task
from promptpriors.data.text import cut
from promptpriors.errors import InputError


def build(folder=None, **config):
    return build_task(choose_task({"name": "text"} | config), folder)


@given(st.text(alphabet=" \nab", max_size=60), st.integers(1, 20))
def test_pieces_joined_are_the_document_and_none_is_too_long(document, characters):
    pieces = cut(document, characters)
    assert "".join(pieces) == document
    assert all(len(piece) <= characters for piece in pieces)


@given(st.lists(st.text(alphabet="ab", min_size=1, max_size=8), min_size=1), st.integers(9, 30))
def test_no_word_that_fits_is_cut(words, characters):
    pieces = cut(" ".join(words), characters)
    assert [word for piece in pieces for word in piece.split()] == words


def test_only_the_last_piece_of_a_document_ends(tmp_path):
    for name in "abcde":
        (tmp_path / f"{name}.txt").write_text(f"{name} " * 100)
    train = build(path=str(tmp_path), characters=50).splits["train"]
    by_document = {}
    for example in train:
        by_document.setdefault(example.continuation[-1], []).append(example)
    for pieces in by_document.values():
        assert [piece.ends for piece in pieces] == [False] * (len(pieces) - 1) + [True]


def test_an_example_is_its_piece_without_a_source_and_without_scores(tmp_path):
    for name in ("a.txt", "b.md"):
        (tmp_path / name).write_text(f" words of {name}\n")
    task = build(path=str(tmp_path), test=0)
    (example,) = task.splits["train"]
    assert example.source == ()
    assert example.targets == (example.continuation,)
    assert example.continuation.startswith("words of")
    assert task.score("anything", example) == {}


def test_the_pieces_of_one_document_stay_in_one_split():
    splits = build(train=40, validation=20, test=20).splits
    topics = [{example.id.split("/")[0] for example in part} for part in splits.values()]
    assert sum(map(len, topics)) == len(set.union(*topics))


def test_the_default_is_python_s_own_help_and_the_seed_decides():
    splits = build().splits
    assert all(splits.values())
    assert len(splits["validation"]) == len(splits["test"]) <= len(splits["train"])
    assert build().splits == splits
    assert build(seed=1).splits["validation"] != splits["validation"]


def test_a_lone_file_is_split_by_its_stretches(tmp_path):
    (tmp_path / "book.txt").write_text(" ".join(f"word{i}" for i in range(2000)))
    splits = build(path="book.txt", folder=tmp_path, characters=100).splits
    pieces = [{example.continuation for example in part} for part in splits.values()]
    assert all(pieces)
    assert sum(map(len, pieces)) == len(set.union(*pieces))
    assert sum(example.ends for part in splits.values() for example in part) <= 1


def test_hidden_files_are_left_out_and_subfolders_are_read(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / ".hidden").mkdir()
    for name in ("a.txt", "inner/b.rst", ".c.txt", ".hidden/d.txt"):
        (tmp_path / name).write_text(name)
    splits = build(path=str(tmp_path), test=0).splits
    found = {example.continuation for part in splits.values() for example in part}
    assert found == {"a.txt", "inner/b.rst"}


def test_blank_and_too_short_texts_are_refused(tmp_path):
    (tmp_path / "a.txt").write_text(" \n")
    with pytest.raises(InputError, match=r"holds no text. Set task.path to a text file"):
        build(path=str(tmp_path))
    (tmp_path / "a.txt").write_text("short")
    with pytest.raises(InputError, match=r"the validation split is empty"):
        build(path=str(tmp_path))


def test_a_binary_file_in_the_folder_is_named(tmp_path):
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    with pytest.raises(
        InputError, match=r"picture.png is not UTF-8 text: byte 0x89 .* leave it out"
    ):
        build(path=str(tmp_path))
