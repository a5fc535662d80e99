"""The command line as a user meets it: what it prints, and how it refuses."""

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from promptpriors import __version__
from promptpriors.files import read_tensors, write_tensors
from promptpriors.runs import list_runs


@pytest.mark.slow
def test_run_prints_the_folder_and_nothing_else_on_stdout(place, cli):
    status, out, err = cli("run", "run.toml")
    assert status == 0
    (run,) = list_runs(place / "runs")
    assert out.strip() == f"runs/{run.id}"
    assert "validation loss" in err


def test_json_is_one_document_on_stdout(ran, place, cli):
    assert ran["folder"] == f"runs/{ran['id']}"
    assert ran["val_loss"] < ran["val_loss_initial"]
    for words in (
        ["list", "runs"],
        ["list", "priors"],
        ["list", "tasks"],
        ["list", "regularisers"],
    ):
        status, out, _ = cli(*words, "--json")
        assert status == 0
        assert json.loads(out)


def test_list_reads_the_tables_and_the_runs(ran, cli):
    _, out, _ = cli("list", "priors")
    assert "covariance='full'" in out
    _, out, _ = cli("list", "models")
    assert "smollm2" in out
    _, out, _ = cli("list", "runs")
    assert ran["id"] in out
    assert "done" in out


@pytest.mark.slow
def test_ask_answers_with_and_without_the_prompt(ran, cli):
    status, out, _ = cli("ask", ran["id"][:4], "What is 2 + 2?", "--json", "--max-new-tokens", 5)
    assert status == 0
    found = json.loads(out)
    assert set(found) == {"text", "with_prompt", "without_prompt"}
    status, out, _ = cli("ask", ran["folder"], "What is 2 + 2?")
    assert out.startswith("with the prompt:")


def test_ask_reads_questions_from_a_pipe(ran, cli, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("What is 1 + 1?\n\nWhat is 2 + 2?\n"))
    status, out, _ = cli("ask", ran["id"], "--json", "--max-new-tokens", 2)
    assert status == 0
    assert [found["text"] for found in json.loads(out)] == ["What is 1 + 1?", "What is 2 + 2?"]


@pytest.fixture
def own(place, cli):
    """A run on own data whose answers have two lines."""
    rows = [{"source": f"Ticket {i}.", "targets": "two\nlines"} for i in range(9)]
    (place / "own.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (place / "own.toml").write_text(
        'model = "tiny"\nprior = "gaussian"\n[train]\nfrozen = true\n'
        '[task]\nname = "jsonl"\npath = "own.jsonl"\nmax_new_tokens = 7\n'
    )
    status, out, err = cli("run", "own.toml", "--json")
    assert status == 0, err
    return json.loads(out)


def test_ask_gives_own_data_as_it_stands_and_whole_answers(own, place, cli, monkeypatch):
    (place / "own.jsonl").unlink()
    calls = []
    monkeypatch.setattr(
        "promptpriors.running.ask.generate",
        lambda _, __, examples, **limits: calls.append((examples[0].source, limits)) or ["said"],
    )
    monkeypatch.setattr("sys.stdin", io.StringIO("  one \n \ntwo"))
    assert cli("ask", own["id"], "--json")[0] == 0
    limits = {"max_new_tokens": 7, "stop": None}
    assert calls[::2] == [(("  one ",), limits), (("two",), limits)]


def test_a_context_is_a_text_or_a_file(own, place, cli, monkeypatch):
    sources = []
    monkeypatch.setattr(
        "promptpriors.running.ask.generate",
        lambda _, __, examples, **___: sources.append(examples[0].source) or ["said"],
    )
    (place / "page.txt").write_text("All of it.\n")
    (place / "bad.txt").write_bytes(b"\xff")
    for context in ("page.txt", "a text", "x" * 5000):
        assert cli("ask", own["id"], "q", "--context", context)[0] == 0
    assert [c for c, _ in sources[::2]] == ["All of it.\n", "a text", "x" * 5000]
    status, _, err = cli("ask", own["id"], "q", "--context", "bad.txt")
    assert status == 2
    assert "bad.txt is not UTF-8 text" in err


def test_ask_says_when_the_model_is_another_one(ran, cli, place):
    path = place / ran["folder"] / "prompt.safetensors"
    tensors, metadata = read_tensors(path)
    write_tensors(path, tensors, metadata | {"model": "another"})
    _, _, err = cli("ask", ran["id"], "x", "--max-new-tokens", 1)
    assert "note: model 'tiny' is at tiny 1, the prompt was trained at another" in err


def test_a_damaged_run_is_left_out_and_said(ran, cli, place):
    (place / "runs" / "broken").mkdir()
    (place / "runs" / "broken" / "config.toml").write_text("x = 1")
    status, out, err = cli("list", "runs", "--json")
    assert status == 0
    assert [row["id"] for row in json.loads(out)] == [ran["id"]]
    assert "note: left out: runs/broken/config.toml is not the resolved config of a run" in err


def test_report_writes_one_page(ran, place, cli):
    status, out, _ = cli("report", "runs", "--out", "page.html")
    assert (status, out.strip()) == (0, "page.html")
    assert ran["id"] in (place / "page.html").read_text()


def test_a_page_is_written_through_links_and_over_pages_alone(ran, place, cli):
    (place / "link.html").symlink_to("page.html")
    for _ in range(2):
        assert cli("report", "runs", "--out", "link.html")[0] == 0
    assert (place / "link.html").is_symlink()
    (place / "page.html").write_text("<p>mine")
    assert cli("report", "runs", "--out", "link.html")[0] == 2
    assert (place / "page.html").read_text() == "<p>mine"
    assert cli("report", "runs", "--out", "/dev/null")[0] == 0
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize(
    ("lost", "word"), [("scores", "scores"), ("scores_initial", "scores_initial"), ("f", "'f'")]
)
def test_a_finished_run_whose_result_lacks_something_is_named(ran, place, cli, lost, word):
    path = place / "runs" / ran["id"] / "result.json"
    result = json.loads(path.read_text())
    result["scores"]["f"] = 1.0
    result.pop(lost, None)
    path.write_text(json.dumps(result))
    status, _, err = cli("run", "run.toml")
    assert status == 2
    assert f"{ran['id']} is damaged: its result lacks" in err
    assert word in err
    path.unlink()
    assert cli("run", "run.toml")[0] == 0


@pytest.mark.parametrize(
    "change",
    [
        {"lr": {"embed": "x"}},
        {"scores": {"exact_match": {}}},
        {"scores_initial": []},
        {"steps": "many"},
        {"val_loss": []},
    ],
)
def test_a_result_with_a_wrong_value_is_left_out_by_every_command(ran, place, cli, change):
    path = place / "runs" / ran["id"] / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    for words in (("list", "runs"), ("compare", "runs"), ("report", "runs"), ("run", "run.toml")):
        _, _, err = cli(*words)
        assert f"{ran['id']}/result.json is not the result of a run: {next(iter(change))}" in err
        assert "defect" not in err


@pytest.mark.slow
def test_doctor_ends_with_one_when_a_check_fails(place, cli):
    status, out, _ = cli("doctor", "run.toml", "train.lr=1e-9", "--json")
    findings = {row["check"]: row["passed"] for row in json.loads(out)}
    assert findings["plain model"] is True
    assert findings["overfits one batch"] is False
    assert status == 1
    status, out, _ = cli("doctor", "run.toml", "prompt.mode=none")
    assert "plain model" in out
    assert status == 0


@pytest.mark.slow
def test_doctor_advises_the_rate_that_learns_fastest(place, cli):
    _, out, _ = cli("doctor", "run.toml", "--advise", "--json")
    advice = json.loads(out)[-1]
    assert advice["check"] == "advice"
    found = dict(re.findall(r"([\d.]+): ([\d.]+)", advice["found"]))
    best = min(found, key=lambda rate: float(found[rate]))
    assert advice["found"].startswith(f"train.lr.relative={best} ")


def test_version_and_help_with_an_example_for_each_command(cli):
    assert cli("--version")[1].strip() == f"promptpriors {__version__}"
    for command in ("demo", "run", "ask", "report", "list", "doctor"):
        status, out, _ = cli(command, "--help")
        assert status == 0
        assert f"Example: promptpriors {command}" in out


SQUAD_WITHOUT_QAS = '{"data": [{"title": "t", "paragraphs": [{"context": "c"}]}]}'

BAD = [
    ("run nowhere.toml", "nowhere.toml: no such file"),
    ("run run.toml model=tinny", "Did you mean 'tiny'?"),
    ("run run.toml model=./nowhere", "model folder ./nowhere does not exist"),
    ("run run.toml task.name=squat", "Did you mean 'squad'?"),
    ("run run.toml prior.name=gausian", "Did you mean 'gaussian'?"),
    ("run run.toml prior.covarince=diag", "Did you mean 'covariance'?"),
    ("run run.toml prompt.mode=sotf", "Did you mean 'soft'?"),
    ("run run.toml prompt.length=0", "mode 'none'"),
    ("run run.toml prompt.length=2100", "Shorten"),
    ("run run.toml train.steps=0", "frozen = true"),
    ("run run.toml train.lr=-1", "train.lr"),
    ("run run.toml train.lr=nan", "train.lr"),
    ("run run.toml train.batch=many", "train.batch"),
    ("run run.toml task.test=-1", "test"),
    ("run run.toml task.modules=['ad']", "modules"),
    ("run run.toml device.name=gpu7", "device 'gpu7' can't be used"),
    ("run run.toml train", "expected key=value"),
    ("run squad.toml task.path=nowhere.json", "nowhere.json"),
    ("run squad.toml task.path=broken.json", "broken.json"),
    ("run squad.toml task.path=noqas.json", "data[0].paragraphs[0]"),
    ("run squad.toml --data nowhere", "data folder nowhere does not exist"),
    ("run run.toml --runs run.toml/x", "can't be written"),
    ("run jsonl.toml", "the train split is empty"),
    ("ask /nowhere/abc question", "no run is called '/nowhere/abc'"),
    ("run run.toml prompt.bos=true", "has no first token"),
    ("run run.toml seed=" + "9" * 5000, "Exceeds the limit"),
    ("run run.toml model=" + "a" * 300 + "/b", "File name too long"),
    ("run run.toml task=3", "task = 3: expected a section [task] or a table such as"),
    ("run run.toml device.threads=100000000", "device.threads"),
    ("run run.toml device.name=meta", "holds no numbers"),
    ("ask abc question", "no run is called 'abc'"),
    ("report nowhere", "nowhere"),
    ("report .", "."),
    ("list prior", "Did you mean 'priors'?"),
    ("list runs", "no such folder"),
    ("doctor run.toml prior.name=gausian", "Did you mean 'gaussian'?"),
    ("run nothing.toml", "config needs the parameters 'model', 'task' and 'prior'"),
    ("run run.toml train.lr=fast", "expected a number or a section [train.lr] or a table such as"),
    ("run run.toml train.lr={a=1}", "[train] [lr] has no parameter 'a'. It takes: relative."),
    ("run run.toml train=5", "train = 5: expected a section [train]"),
    ("run run.toml prior.name=isotropic prior.sigma=1e300", "sigma = 1e+300: expected at most"),
    ("run run.toml train.weight_decay=1e300", "train.weight_decay = 1e+300: expected at most"),
    ("run run.toml train.steps=" + "9" * 30, "train.steps = " + "9" * 30),
    ("run run.toml model=", "model = '': expected some text"),
    ("run run.toml model=~no-such-user/x", "model = '~no-such-user/x' begins with a home folder"),
    (
        "run run.toml prior.space=store:~no-such-user/x",
        "prior.space = store: '~no-such-user/x' begins with",
    ),
    (
        "run jsonl.toml task.path=~no-such-user/x",
        "path = '~no-such-user/x' begins with a home folder",
    ),
    ("run jsonl.toml task.path=", "path = '' is empty"),
    ('run jsonl.toml task.path="a\\u0000b"', "path = 'a\\x00b': expected text without a null"),
    ("run run.toml --runs loop", "can't be written (loop is no folder)"),
    ("run loop", "loop: no such file"),
    ("report . --out loop", "loop is a link that leads to itself"),
    ("report . --out broken.json", "broken.json exists and is no report of ours"),
    ("report . --out .", "is a folder"),
    ("demo --out broken.json", "broken.json is no folder"),
    ("figures 1 --out broken.json", "broken.json is no folder"),
    ("capture run.toml --out loop", "store loop can't be written"),
    ("study arms.toml", "arms.a = 5: expected a section [arms.a]"),
    ("study nothing.toml", "study nothing.toml needs the parameter 'base'"),
]


@pytest.mark.parametrize(("line", "message"), BAD, ids=[line for line, _ in BAD])
def test_bad_input_gets_a_few_lines_status_two_and_leaves_nothing(place, cli, line, message):
    (place / "squad.toml").write_text('model = "tiny"\nprior = "gaussian"\ntask = "squad"\n')
    (place / "broken.json").write_text('{"data": [')
    (place / "noqas.json").write_text(SQUAD_WITHOUT_QAS)
    (place / "empty.jsonl").touch()
    (place / "nothing.toml").touch()
    (place / "arms.toml").write_text('base = "run.toml"\narms = {a = 5}\n')
    (place / "loop").symlink_to("loop")
    (place / "jsonl.toml").write_text(
        'model = "tiny"\nprior = "gaussian"\ntask = {name = "jsonl", path = "empty.jsonl"}\n'
    )
    before = sorted(place.rglob("*"))
    status, out, err = cli(*line.split())
    assert status == 2, err
    assert out == ""
    assert message in err
    lines = [row for row in err.splitlines() if row != "loading"]
    assert lines[0].startswith("error: ")
    assert len(lines) <= 3
    assert "Traceback" not in err
    assert sorted(place.rglob("*")) == before


def test_a_diverging_run_ends_with_one_and_names_prior_rate_and_step(place, cli):
    words = ("train.lr=0.05", "train.weight_decay=1e29", "prior.name=isotropic")
    status, out, err = cli("run", "run.toml", *words)
    assert status == 1
    assert out == ""
    message = next(row for row in err.splitlines() if row.startswith("failed: "))
    assert "prior 'isotropic'" in message
    assert "step" in message
    assert "rate 0.05" in message


@pytest.mark.slow
def test_importing_the_package_loads_none_of_the_large_libraries():
    large = {"transformers", "peft", "ray", "sklearn"}
    code = f"import sys, promptpriors; print({large} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


@pytest.mark.slow
def test_bench_prints_a_table_and_what_it_means(place, cli):
    words = ("bench", "--model", "tiny", "--alternations", "1", "--batch", "4", "--no-memory")
    status, out, _ = cli(*words)
    assert status == 0
    assert "times PEFT's examples per second" in out
    assert "peft, sorted by length" in out
    status, out, _ = cli(*words, "--json")
    assert status == 0
    assert json.loads(out)["ratios"]["speed"] > 0


BAD = [
    (("prompt.mode=deep", 'prompt.sites=["block.9"]'), "site 'block.9' does not exist"),
    (("prompt.mode=deep-cut", 'prompt.sites=["embed", "block.0"]'), "choose one of them"),
    (("prompt.mode=soft", 'prompt.sites=["block.1"]'), "mode 'soft' takes the sites embed"),
    (("prompt.mode=prefix",), "unknown mode 'prefix'"),
    (("device.device_map=auto",), "model 'tiny' fits on one device"),
    (("train.batch_tokens=-3",), "train.batch_tokens = -3"),
]


@pytest.mark.parametrize(("words", "message"), BAD)
def test_what_modes_and_devices_can_not_do_ends_with_two_and_leaves_no_folder(
    place, cli, words, message
):
    status, out, err = cli("run", "run.toml", *words)
    assert (status, out) == (2, "")
    assert message in err
    assert "Traceback" not in err
    errors = [line for line in err.splitlines() if line != "loading"]
    assert len(errors) <= 3
    assert not list(place.glob("runs/*/config.toml"))


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["deep", "deep-cut", "kv"])
def test_every_mode_goes_from_config_to_answer(place, cli, mode):
    status, out, _ = cli("run", "run.toml", f"prompt.mode={mode}", "--json")
    assert status == 0
    status, out, _ = cli("ask", json.loads(out)["id"], "2 + 2?", "--json")
    assert status == 0
    assert set(json.loads(out)) == {"text", "with_prompt", "without_prompt"}
    assert cli("report", "runs")[0] == 0
