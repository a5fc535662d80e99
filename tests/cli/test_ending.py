"""How commands end: streams that are closed or full, signals, names that would steer a terminal."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from promptpriors.cli import output
from promptpriors.cli.output import print_json, print_table, progress_bar

ROOT = Path(__file__).parents[2]
LONG = "n" * 5000
RED = "\x1b[31m"
ASCII = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}


def shell(line, place, **environment):
    """A command line given to a shell: its status, and what came out on stderr."""
    known = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    command = line.replace("promptpriors", f"{sys.executable} -m promptpriors", 1)
    done = subprocess.run(
        command, check=False, shell=True, cwd=place, env=known, capture_output=True
    )
    return done.returncode, done.stderr.decode()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "status", "said"),
    [
        ("promptpriors list modes >&-", 0, ""),
        ("promptpriors --help >&- 2>&- <&-", 0, ""),
        ("promptpriors list nothing >&- 2>&-", 2, ""),
        ("promptpriors list nothing 2>/dev/full", 2, ""),
        ("promptpriors list priors >/dev/full", 1, "failed: the output can't be written: No space"),
        ("promptpriors list priors --json >/dev/full", 1, "failed: the output can't be written"),
        ("promptpriors --help >/dev/full", 1, "failed: the output can't be written"),
    ],
)
def test_a_stream_that_is_closed_or_full_ends_in_a_sentence(tmp_path, line, status, said):
    found, err = shell(line, tmp_path)
    assert found == status
    assert err.startswith(said)
    assert err.count("\n") == bool(said)


@pytest.mark.slow
@pytest.mark.parametrize("line", ["run ä.toml", "list runs --runs ö", "report 'x\udcff'"])
def test_a_name_that_the_locale_does_not_have_ends_in_a_sentence(tmp_path, line):
    status, err = shell(f"promptpriors {line}", tmp_path, **ASCII)
    assert status == 2
    assert "Set PYTHONUTF8=1" in err
    assert err.count("\n") == 2


@pytest.mark.slow
def test_an_interrupt_while_a_library_is_imported_ends_at_once(tmp_path):
    (tmp_path / "typer.py").write_text(
        "import os, signal, time\n"
        "try:\n    os.kill(os.getpid(), signal.SIGINT)\n    time.sleep(5)\n"
        "except BaseException as error:\n    raise RecursionError from error\n"
    )
    path = f"{tmp_path}{os.pathsep}{ROOT}"
    assert shell("promptpriors list priors", tmp_path, PYTHONPATH=path) == (130, "interrupted\n")


def test_an_interrupt_ends_in_one_line(cli, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("promptpriors.cli.list.read_methods", stop)
    assert cli("list", "priors") == (130, "", "interrupted\n")


@pytest.mark.parametrize(
    "words",
    [
        ("list", f"a{RED}"),
        (f"--{RED}",),
        (f"x{RED}",),
        ("report", f"x{RED}\u202e\x9b"),
        ("run", "run.toml", f"model={RED}"),
        ("run", "run.toml", f"{RED}=1"),
        ("list", "runs", f"--runs={RED}"),
        ("list", LONG),
        (LONG,),
        ("report", LONG),
        ("run", LONG),
        ("run", "run.toml", f"{LONG}=1"),
        ("run", "run.toml", f"model={LONG}"),
        ("run", "run.toml", f"prior={LONG}"),
        ("run", "run.toml", f"train.schedule={' '.join(LONG)}"),
        ("run", "run.toml", f"prior.space={LONG}"),
        ("ask", LONG, "text"),
    ],
)
def test_names_reach_the_terminal_cut_and_without_control_characters(place, cli, words):
    status, out, err = cli(*words)
    assert status == 2
    assert not out
    assert err.startswith("error: ")
    assert len(err) < 700
    assert err.replace("\n", "").isprintable()


def test_json_holds_no_character_that_steers_a_terminal(capsys):
    print_json({"answer": f"{RED}\x9b1m\u202e é 漢"})
    printed = capsys.readouterr().out
    assert printed.replace("\n", "").isprintable()
    assert "\\u001b[31m\\u009b1m\\u202e é 漢" in printed


def test_cells_and_progress_hold_no_character_that_steers_a_terminal(capsys):
    print_table([{"id": f"a{RED}", "prior": "\x9b1m"}], ["id", "prior"])
    with progress_bar(f"{RED}: ") as on_progress:
        on_progress("training", 0.5, {})
    out, err = capsys.readouterr()
    assert (out + err).replace("\n", "").isprintable()


def test_a_narrow_terminal_shows_every_column(capsys, monkeypatch):
    columns = ["id", "status", "model", "prior", "validation loss"]
    row = {"id": "600893b0a5eb2513", "status": "done", "model": "tiny", "prior": "gaussian"}
    for width in (20, 200):
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        print_table([row], columns)
        printed = capsys.readouterr().out
        assert all(word in printed for word in [*columns, *row.values()])


def test_a_full_disk_behind_the_remarks_stops_nothing(monkeypatch):
    class Full:
        def write(self, text):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sys, "stderr", Full())
    output.remark("step 1")


@pytest.mark.parametrize(("given", "expected"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_idle_threads_give_way_unless_the_user_says_otherwise(cli, monkeypatch, given, expected):
    monkeypatch.setenv("OMP_WAIT_POLICY", given or "")
    if given is None:
        monkeypatch.delenv("OMP_WAIT_POLICY")
    cli("list", "priors")
    assert os.environ["OMP_WAIT_POLICY"] == expected
