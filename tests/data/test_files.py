"""What the user reads when a file is missing or broken."""

import pytest
from pydantic import BaseModel

from promptpriors.data.files import find, read_json, read_text
from promptpriors.errors import InputError


class Wanted(BaseModel):
    data: list[int]


def test_a_path_is_looked_for_as_it_stands_and_then_in_the_data_folder(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "there" / "a.txt").write_text("there")
    assert find("a.txt", tmp_path / "there").read_text() == "there"
    (tmp_path / "here" / "a.txt").write_text("here")
    assert find("a.txt", tmp_path / "there").read_text() == "here"


def test_a_missing_file_is_named_with_every_place_that_was_tried(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as error:
        find("gone.txt", tmp_path / "data")
    assert str(error.value) == (
        f"there is no {tmp_path / 'gone.txt'} and no {tmp_path / 'data' / 'gone.txt'}."
        " Point the task's path to a file or folder."
    )


def test_a_byte_order_mark_and_windows_line_ends_do_not_reach_the_text(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfone\r\ntwo")
    assert read_text(tmp_path / "a.txt") == "one\ntwo"


def test_a_file_that_is_not_utf_8_is_named_with_the_byte(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"caf\xe9 noir")
    with pytest.raises(
        InputError, match=r"a.txt is not UTF-8 text: byte 0xe9 at offset 3. Convert"
    ):
        read_text(tmp_path / "a.txt")


def test_a_folder_in_the_place_of_a_file_is_said_to_be_one(tmp_path):
    with pytest.raises(InputError, match=r"cannot be read: Is a directory"):
        read_text(tmp_path)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("[1", "the file: invalid JSON: EOF while parsing a list at line 1 column 2"),
        ("[1]", "the file: input should be an object"),
        ("{}", "the file has no key 'data'"),
        ('{"data": [1, "x"]}', r"data\[1\]: input should be a valid integer, unable to parse"),
    ],
)
def test_json_that_does_not_fit_is_explained_by_entry_and_key(tmp_path, content, problem):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(InputError, match=rf"a.json is not a list: {problem}.*It needs data\[\]"):
        read_json(tmp_path / "a.json", Wanted, "a list", "data[]")


def test_json_in_which_a_key_stands_twice_is_refused(tmp_path):
    (tmp_path / "a.json").write_text('{"data": [1], "data": [2]}')
    with pytest.raises(InputError, match=r"a.json: the object has the field 'data' twice. Rename"):
        read_json(tmp_path / "a.json", Wanted, "a list", "data[]")
