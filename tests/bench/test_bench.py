"""The benchmark compares what it says it compares."""

import pytest
import torch

import promptpriors as pp
from promptpriors.bench.benchmark import OURS, RANDOM, SORTED, bench, bench_config
from promptpriors.bench.engines import our_engine, peft_engine
from promptpriors.bench.roofline import needed_work
from promptpriors.packing import Encoded, encode
from promptpriors.progress import silent
from promptpriors.running.workspace import Workspace
from tests.helpers import EXAMPLES, drawn


@pytest.mark.parametrize("mode", ["soft", "kv"])
def test_both_contenders_have_the_same_loss_gradient_and_updates(mode):
    backbone = pp.load_model("tiny")
    prompt = drawn(backbone, mode)
    ours, peft = our_engine(backbone, prompt), peft_engine(backbone, prompt)
    batch = encode(backbone, EXAMPLES[:5])
    (loss, gradient), (expected, wanted) = ours.gradient(batch), peft.gradient(batch)
    assert loss == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(gradient, wanted, rtol=1e-4, atol=1e-6)
    for _ in range(3):
        steps = ours.step(batch), peft.step(batch)
        assert steps[0].loss == pytest.approx(steps[1].loss, rel=1e-5)
        assert steps[0].examples == steps[1].examples == 5
    rows = 5 if mode == "soft" else 0
    assert steps[1].tokens == 5 * (rows + max(e.read for e in batch) + 1)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["soft", "kv"])
def test_the_benchmark_measures_everything_it_names(mode):
    config = bench_config("arithmetic", mode, "tiny", 4)
    found = bench(config, Workspace(), alternations=2, memory=True, on_progress=silent)
    names = {OURS, RANDOM, SORTED}
    assert set(found["examples_per_second"]) == names
    for rate in found["examples_per_second"].values():
        assert 0 < rate["least"] <= rate["median"] <= rate["most"]
    pooled = found["pooled"]
    speed = pooled[OURS]["examples_per_second"] / pooled[RANDOM]["examples_per_second"]
    assert found["ratios"]["speed"] == pytest.approx(speed)
    assert found["ratios"]["of_limit"] == pytest.approx(speed / found["ratios"]["limit"])
    assert found["ratios"]["tokens"] > 1
    assert found["agreement"]["loss_off"] < 1e-5
    assert found["agreement"]["gradient_off"] < 1e-4
    assert found["machine"]["share"] > 0
    assert set(found["peak_memory_mib"]) == {OURS, RANDOM}


def test_needed_work_is_counted_by_hand(tiny):
    batch = [Encoded("a", ((1, 2, 3),), (4, 5))]
    block = 2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 64
    enters, rows, reads = 2 * 32 * 16, 4 + 2, 2
    linear = 4 * block * rows + 4 * (enters * rows + (block - enters) * reads) - 2 * enters * 4
    head = 4 * 264 * 32 * reads
    pairs = (1 + 2 + 3 + 4) + 2 * 4
    assert needed_work(tiny, batch, 2, rows=2) == linear + head + pairs * 32 * 12


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"task": "sqad"}, "the benchmark has arithmetic, squad"),
        ({"mode": "deep"}, "PEFT has soft"),
    ],
)
def test_what_has_no_contender_is_refused(params, message):
    with pytest.raises(pp.InputError, match=message):
        bench_config(
            **{"task": "arithmetic", "mode": "soft", "model": "tiny", "batch": 4, **params}
        )
