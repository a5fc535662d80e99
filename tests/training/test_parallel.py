"""Several processes end where one does: the laws in one process, then real launches."""

import json
import os
import socket
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest
import tomli_w
import torch
from accelerate import PartialState
from hypothesis import given
from hypothesis import strategies as st

import promptpriors as pp
from promptpriors.config.run import parse_config
from promptpriors.errors import Note
from promptpriors.files import read_tensors, read_toml
from promptpriors.packing import Encoded, encode, pack
from promptpriors.packing.batches import groups
from promptpriors.running.run import execute
from promptpriors.running.training_run import Job, follow
from promptpriors.running.workspace import Workspace
from promptpriors.training import Progress, quality
from promptpriors.training.evaluation import measure
from promptpriors.training.lora import adapted
from promptpriors.training.parallel import ALONE, Crew, check_device, gathered, launched
from promptpriors.training.regularisers import regularise
from promptpriors.training.shares import share_out
from tests.helpers import EXAMPLES, drawn


class Parts:
    """A team in one process, which does every part and adds them up."""

    main = True
    local = 1

    def __init__(self, size):
        self.size = size

    def divided(self, name, share, parameters=()):
        return lambda parts: sum(share(part) for part in parts)


@pytest.fixture
def task():
    splits = {"train": EXAMPLES, "validation": EXAMPLES, "test": EXAMPLES[:5]}
    score = lambda answer, example: {"length": len(answer) / 100}  # noqa: E731
    return pp.Task("toy", 1, splits, score, max_new_tokens=4)


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(1, 9)), min_size=1, max_size=20),
    st.integers(2, 5),
)
def test_a_batch_is_shared_out_whole_and_balanced(shapes, size):
    encoded = [
        Encoded(str(i), ((100 + group,) * 5, (i,) * length), (1, 2))
        for i, (group, length) in enumerate(shapes)
    ]
    parts = share_out(encoded, size)
    assert len(parts) == size
    assert sorted(chain.from_iterable(parts)) == list(range(len(encoded)))
    fair = -(-len(encoded) // size)
    for group in {group for group, _ in shapes}:
        members = {i for i, (other, _) in enumerate(shapes) if other == group}
        homes = [part for part in parts if members & set(part)]
        assert len(homes) == 1 or len(members) > fair
    costs = {tuple(unit): _cost(encoded, unit) for unit in groups(encoded, largest=fair)}
    homes = [[unit for unit in costs if set(unit) <= set(part)] for part in parts]
    assert sum(map(len, homes)) == len(costs)
    loads = [sum(costs[unit] for unit in home) for home in homes]
    assert max(loads) - min(loads) <= max(costs.values())


def _cost(encoded, unit):
    return len(pack([encoded[i] for i in unit]).tokens)


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 3, 8])
@pytest.mark.parametrize("mode", ["soft", "deep-cut", "kv"])
def test_training_in_shares_ends_where_training_alone_does(tiny, task, mode, size):
    found = []
    for team in (ALONE, Parts(size)):
        prompt = drawn(tiny, mode)
        held = [regularise("start", prompt=prompt, strength=30.0)]
        settings = {"steps": 4, "batch": 5, "lr": {"relative": 0.1}, "clip": 0.5}
        settings |= {"regularisers": held, "grouping": "none"}
        found.append((list(pp.train(tiny, prompt, task, team=team, **settings)), prompt))
    (expected, alone), (records, shared) = found
    for site, value in alone.snapshot().items():
        near = 1e-5 * float(value.abs().max())
        torch.testing.assert_close(shared.snapshot()[site], value, rtol=1e-5, atol=near)
    for a, b in zip(expected, records, strict=True):
        for name in ("train_loss", "val_loss", "penalty"):
            own = getattr(a, name)
            assert getattr(b, name) == (own and pytest.approx(own, rel=1e-5))
    assert records[0].val_loss == expected[0].val_loss
    assert records[-1].penalty > 0


def test_a_padded_model_is_trained_in_shares_as_well(task):
    backbone = pp.load_model("tiny-t5")
    splits = {split: [e for e in part if e.source] for split, part in task.splits.items()}
    whole = pp.Task("toy", 1, splits, task.score)
    values = []
    for team in (ALONE, Parts(2)):
        prompt = drawn(backbone, "soft")
        list(pp.train(backbone, prompt, whole, steps=3, batch=3, lr=0.01, team=team))
        values.append(prompt.snapshot()["embed"])
    torch.testing.assert_close(*values, rtol=1e-5, atol=1e-6)


def test_an_adapter_is_trained_in_shares_as_well(tiny, task):
    found = []
    for team in (ALONE, Parts(3)):
        prompt = drawn(tiny, "none")
        with adapted(tiny, 2, seed=0) as weights:
            state = Progress(prompt, 0.01, adapter=weights)
            list(pp.train(tiny, prompt, task, steps=3, batch=4, progress=state, team=team))
            scores = pp.evaluate(tiny, prompt, task, team=team, trained=state.parameters)
            found.append(([weight.detach().clone() for weight in weights], scores["loss"]))
    torch.testing.assert_close(found[1][0], found[0][0], rtol=1e-4, atol=1e-6)
    assert found[1][1] == pytest.approx(found[0][1], rel=1e-5)


@pytest.mark.parametrize("size", [2, 3, 40])
def test_quality_and_scores_do_not_depend_on_the_number_of_shares(tiny, task, size, monkeypatch):
    monkeypatch.setattr("promptpriors.training.evaluation.BUDGET", 60)
    prompt, encoded = drawn(tiny, "soft"), encode(tiny, EXAMPLES, before=5)
    shared = measure("validation", tiny, prompt, encoded, team=Parts(size))()
    assert shared == quality(tiny, prompt, encoded)
    expected = pp.evaluate(tiny, prompt, task)
    assert pp.evaluate(tiny, prompt, task, team=Parts(size)) == expected
    assert set(expected) == {"loss", "token_accuracy", "length"}


@pytest.mark.slow
def test_one_process_is_alone_and_touches_no_distributed_state(tmp_path):
    with gathered() as team:
        assert team is ALONE
        execute(parse_config(_config()), tmp_path, Workspace(), team=team)
    assert not torch.distributed.is_initialized()
    assert not PartialState._shared_state


def test_who_was_launched_is_read_from_the_environment(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert not launched()
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    assert launched()
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert not launched()


def test_accelerates_launch_on_cpus_is_told_how_to_start_several(monkeypatch):
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    with pytest.warns(Note, match="torchrun --nproc-per-node"), gathered() as team:
        assert team is ALONE


def test_processes_of_a_machine_do_not_share_a_device():
    team = Parts(2)
    check_device(team, "cuda:1", "auto")  # one process on each of two machines
    team.local = 2
    check_device(team, "cuda", None)
    with pytest.raises(pp.InputError, match="write 'cuda', and each takes its own"):
        check_device(team, "cuda:1", None)
    with pytest.raises(pp.InputError, match="spreads the model over all devices"):
        check_device(team, "cuda", "auto")


@pytest.mark.parametrize(("other", "what"), [({"task": "x"}, "task"), ({"model": "x"}, "model")])
def test_a_process_with_other_data_or_another_model_is_refused(other, what):
    workspace, config, crew = Workspace(), parse_config(_config()), object.__new__(Crew)
    job = Job(
        pp.Prompt("soft", {"embed": torch.zeros(3, 64)}), workspace.revision(config.model), ""
    )
    job = job._replace(**{"task": workspace.fingerprint(config.task)} | other)
    known = {}
    crew.divided = lambda name, share, parameters=(): known.update({name: share})
    crew.serve = lambda: known["begin"](job)
    with pytest.raises(pp.InputError, match=rf"the {what} here is .* of the main process x"):
        follow(config, workspace, crew)


@pytest.mark.slow
def test_two_processes_of_torchrun_end_where_one_does(tmp_path):
    words = _words(tmp_path, train={"batch": 7, "regulariser": {"name": "start", "strength": 30}})
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--no-python"]
    done = subprocess.run(
        [sys.executable, *launcher, sys.executable, "-m", "promptpriors", *words],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    folder = Path(done.stdout.strip())
    assert folder.is_dir(), done.stdout
    assert done.stderr.count("scoring the start") == 1
    _same_as_one_process(folder, tmp_path)


@pytest.mark.slow
def test_two_processes_of_mpirun_share_batches_of_one_example(tmp_path):
    words = _words(tmp_path, prompt={"mode": "deep-cut", "length": 3}, train={"batch": 1})
    (main, said, told), (other, silent, noise) = _launch(words, _as_mpirun)
    assert (main, other, silent, noise) == (0, 0, "", "")
    assert "left: " not in told
    folder = Path(said.strip())
    _same_as_one_process(folder, tmp_path)
    before = (folder / "result.json").read_bytes()
    assert [status for status, *_ in _launch(words, _as_torchrun)] == [0, 0]
    assert (folder / "result.json").read_bytes() == before


@pytest.mark.slow
def test_a_diverging_training_ends_every_process(tmp_path):
    words = _words(
        tmp_path, prompt={"mode": "none"}, train={"lora": 2, "lr": 1e20, "weight_decay": 0.9}
    )
    (main, _, said), (other, silent, noise) = _launch(words, _as_torchrun)
    assert (main, other, silent, noise) == (1, 1, "", "")
    assert "training diverged at step 1: the loss is nan" in said
    (error,) = (tmp_path / "runs").glob("*/error.txt")
    assert error.read_text().startswith("Diverged")


@pytest.mark.slow
def test_bad_input_ends_every_process_with_one_message(tmp_path):
    words = _words(tmp_path, train={"stepz": 1})
    (main, _, said), (other, silent, noise) = _launch(words, _as_torchrun)
    assert (main, other, silent, noise) == (2, 2, "", "")
    assert said.count("stepz") == 1


@pytest.mark.slow
def test_what_another_process_lacks_is_said_by_the_main_one(tmp_path):
    rows = [{"q": f"{i} plus {i}?", "a": str(2 * i)} for i in range(30)]
    for rank in (0, 1):
        (tmp_path / str(rank)).mkdir()
    (tmp_path / "0" / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    about = {"name": "jsonl", "path": "rows.jsonl", "source_field": "q", "targets_field": "a"}
    words = _words(tmp_path, task=about)
    data = lambda rank: {"PROMPTPRIORS_DATA": str(tmp_path / str(rank))}  # noqa: E731
    found = _launch(words, lambda rank, port: _as_torchrun(rank, port) | data(rank))
    (main, _, said), (other, silent, noise) = found
    assert (main, other, silent, noise) == (2, 2, "", "")
    assert said.count("error: process 1 on ") == 1
    assert "rows.jsonl" in said
    assert not list((tmp_path / "runs").glob("*/config.toml"))


def _config(**sections):
    """A run of seconds; sections are merged into its own."""
    config = {
        "model": "tiny",
        "task": {"name": "mathematics", "train": 20, "validation": 9, "test": 3},
        "prior": {"name": "vocabulary"},
        "prompt": {"length": 3},
        "train": {"steps": 4, "batch": 4, "evaluate_every": 2},
    }
    for name, section in sections.items():
        own = config[name] if name != "task" else {}
        config[name] = {**own, **section}
    return config


def _words(folder, **sections):
    """The command line of such a run."""
    path = folder / "config.toml"
    path.write_text(tomli_w.dumps(_config(**sections)))
    return ["run", str(path), "--runs", str(folder / "runs")]


def _as_torchrun(rank, port):
    ranks = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
    return {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port} | ranks


def _as_mpirun(rank, port):
    names = ("RANK", "LOCAL_RANK", "SIZE", "LOCAL_SIZE")
    ranks = zip(names, (rank, rank, 2, 2), strict=True)
    own = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "ACCELERATE_USE_CPU": "True"}
    return own | {f"OMPI_COMM_WORLD_{name}": value for name, value in ranks}


CODE = """
import atexit, sys
from pathlib import Path
from promptpriors.cli import main

def look():
    for thread in Path("/proc/self/task").glob("*/comm"):
        name = thread.read_text().strip()
        sys.stderr.write(f"left: {name}" * ("gloo" in name or "store" in name))

atexit.register(look)
main()
"""
"""The command line, and a word of each thread of the process group that is left at its end: one
that wakes up while the interpreter ends would abort the process."""


def _launch(words, environment):
    """Start two processes as a launcher does: status, stdout and stderr of each."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    children = []
    for rank in range(2):
        about = {key: str(value) for key, value in environment(rank, port).items()}
        children.append(
            subprocess.Popen(
                [sys.executable, "-c", CODE, *words],
                env=os.environ | {"OMP_NUM_THREADS": "1"} | about,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    try:
        said = [child.communicate(timeout=300) for child in children]
        return [(c.returncode, *texts) for c, texts in zip(children, said, strict=True)]
    finally:
        for child in children:
            child.kill()


def _same_as_one_process(folder, tmp_path):
    """The run in ``folder`` has the id, the prompt and the losses of a run in this process."""
    config = parse_config(read_toml(tmp_path / "config.toml"))
    alone = execute(config, tmp_path / "alone", Workspace())
    assert folder.name == alone.id
    expected = alone.tensors()
    found = read_tensors(folder / "prompt.safetensors")[0]
    assert set(found) == set(expected)
    for name, value in expected.items():
        near = 1e-5 * float(value.abs().max())
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=near)
    result = json.loads((folder / "result.json").read_text())
    assert result["processes"] == 2
    assert "processes" not in alone.result
    for name in ("val_loss_initial", "val_loss", "val_loss_best", "val_loss_none"):
        assert result[name] == pytest.approx(alone.result[name], rel=1e-6)
    assert result["scores"] == pytest.approx(alone.result["scores"], rel=1e-6)
    rows = (folder / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in rows] == [0, 1, 2, 3, 4]
