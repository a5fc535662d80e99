"""Files appear whole or not at all, and nothing that is not ours is written over."""

import contextlib
import os
import select
import stat
import threading
from pathlib import Path

import pytest

import promptpriors as pp
from promptpriors.files import write_bytes, write_json
from promptpriors.paths import check_folder, check_output, expand


def test_a_link_stays_a_link_and_what_it_leads_to_is_written(tmp_path):
    (tmp_path / "there").mkdir()
    target, link = tmp_path / "there" / "page.html", tmp_path / "link"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to("there/page.html")
    write_bytes(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_a_link_to_nothing_makes_the_file_that_it_names(tmp_path):
    (tmp_path / "link").symlink_to("new.json")
    write_json(tmp_path / "link", {})
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "new.json").read_text() == "{}\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "new.json"]


def test_a_device_is_written_through():
    before = os.stat(os.devnull)
    write_bytes(Path(os.devnull), b"page")
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)
    assert os.stat(os.devnull).st_ino == before.st_ino


def test_a_pipe_is_written_to_its_reader_and_refused_without_one(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(pp.InputError, match="nobody reads"):
        write_bytes(pipe, b"page")
    number = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    content, found = b"x" * 300_000, b""
    writer = threading.Thread(target=write_bytes, args=(pipe, content))
    writer.start()
    while len(found) < len(content):
        select.select([number], [], [], 5)
        with contextlib.suppress(BlockingIOError):
            found += os.read(number, 100_000)
    writer.join()
    os.close(number)
    assert found == content
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_what_is_no_file_is_refused(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "folder").mkdir()
    for name, message in {"loop": "leads to itself", "folder": "is a folder"}.items():
        with pytest.raises(pp.InputError, match=message):
            write_bytes(tmp_path / name, b"")
    assert (tmp_path / "loop").is_symlink()


def test_an_error_of_the_disk_names_the_file_that_was_asked_for(tmp_path):
    with pytest.raises(OSError, match="No such file") as error:
        write_bytes(tmp_path / "nowhere" / "page.html", b"")
    assert error.value.filename == str(tmp_path / "nowhere" / "page.html")
    write_bytes(tmp_path / ("n" * 250), b"as long as a name may be")


def test_only_a_file_with_our_mark_is_replaced(tmp_path):
    (tmp_path / "data.jsonl").write_text("{}\n")
    with pytest.raises(pp.InputError, match="is no report of ours"):
        check_output(tmp_path / "data.jsonl", b"MARK", "report")
    with pytest.raises(pp.InputError, match="is a folder"):
        check_output(tmp_path, b"MARK", "report")
    (tmp_path / "empty").touch()
    (tmp_path / "ours").write_text("<MARK>")
    for name in ("empty", "ours", "new"):
        check_output(tmp_path / name, b"MARK", "report")


@pytest.mark.parametrize("name", ["file/below/it", "file", "loop", "n" * 300])
def test_a_folder_that_can_not_be_written_is_refused_and_nothing_is_made(tmp_path, name):
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(pp.InputError, match=r"can't be written .*; remedy"):
        check_folder(tmp_path / name, "remedy")
    check_folder(tmp_path / "new" / "below", "remedy")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("path", ["~nobody-by-this-name/x", "a\0b"])
def test_a_path_that_can_not_be_is_refused(path):
    with pytest.raises(pp.InputError, match="the path"):
        expand(path)
