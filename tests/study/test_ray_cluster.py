"""What a cluster is asked for, and what is said if none of its nodes has that."""

import os
import signal
import warnings
from types import SimpleNamespace

import pytest
import ray

from promptpriors.config.study import Resources
from promptpriors.errors import Interrupted, Note
from promptpriors.study import ray_cluster as on_ray
from promptpriors.study.plan import Entry

SMALL = {"Alive": True, "Resources": {"CPU": 4.0}}
LARGE = {"Alive": True, "Resources": {"CPU": 8.0, "GPU": 1.0}}


@pytest.mark.parametrize(
    ("nodes", "resources"),
    [
        ([SMALL], Resources(cpus=8)),
        ([SMALL], Resources(gpus=0.5)),
        ([SMALL, LARGE | {"Alive": False}], Resources(cpus=8)),
        (
            [SMALL, {"Alive": True, "Resources": {"CPU": 1.0, "GPU": 4.0}}],
            Resources(cpus=2, gpus=1),
        ),
    ],
)
def test_it_is_said_if_no_node_has_what_a_run_asks_for(nodes, resources):
    with pytest.warns(Note, match="runs wait until one joins"):
        on_ray.check_nodes(nodes, resources)


def test_nothing_is_said_if_one_has():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        on_ray.check_nodes([SMALL, LARGE], Resources(cpus=8, gpus=0.5))


@pytest.mark.parametrize(("workers", "gpus"), [(1, 1), (2, 1), (3, 2)])
def test_a_ray_here_has_whole_gpus(monkeypatch, workers, gpus):
    asked = {}
    monkeypatch.setattr(ray, "init", lambda **about: asked.update(about))
    monkeypatch.setattr(ray, "nodes", lambda: [LARGE])
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    with on_ray.cluster(None, workers, Resources(gpus=0.5)):
        assert (asked["num_cpus"], asked["num_gpus"]) == (workers, gpus)


def test_sigterm_ends_the_wait_for_runs_with_a_word(monkeypatch, tmp_path):
    class Task:
        def remote(self, *_):
            return "reference"

    monkeypatch.setattr(ray, "init", lambda **_: signal.signal(signal.SIGTERM, signal.SIG_IGN))
    monkeypatch.setattr(ray, "nodes", lambda: [LARGE])
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    monkeypatch.setattr(ray, "remote", lambda **_: lambda _: Task())
    monkeypatch.setattr(ray, "wait", lambda *_, **__: os.kill(os.getpid(), 15) or ([], []))
    entry = Entry("run", SimpleNamespace(plain={}))
    before = signal.getsignal(signal.SIGTERM)
    try:
        with (
            pytest.raises(Interrupted, match="the same command goes on") as end,
            on_ray.cluster(None, 2, Resources()) as asked,
        ):
            list(on_ray.run_on_ray([entry], tmp_path, None, Resources(), asked))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert end.value.status == 143
