"""Training: rates, records, resuming, and how it ends badly."""

import json
import math
from itertools import pairwise

import pytest
import torch

import promptpriors as pp
from promptpriors.geometry import rms
from promptpriors.packing import encode
from promptpriors.training import Progress, factor, quality, rates
from tests.helpers import EXAMPLES, drawn


@pytest.fixture
def task():
    splits = {"train": EXAMPLES, "validation": EXAMPLES, "test": EXAMPLES[:5]}
    score = lambda answer, example: {"exact_match": float(answer in example.targets)}  # noqa: E731
    return pp.Task("toy", 1, splits, score, max_new_tokens=4)


def test_a_relative_rate_is_a_share_of_the_starts_size(tiny):
    prompt = drawn(tiny, "soft")
    size = rms(prompt.values["embed"].detach())
    assert rates(prompt, {"relative": 0.1}) == {"embed": pytest.approx(0.1 * size)}
    assert rates(prompt, 0.01) == {"embed": 0.01}


@pytest.mark.parametrize("lr", [-1, 0, math.nan, math.inf, {"relative": -0.1}, {"rel": 1.0}])
def test_a_bad_rate_is_refused(tiny, lr):
    with pytest.raises(pp.InputError, match="learning rate"):
        rates(drawn(tiny, "soft"), lr)


def test_a_relative_rate_of_a_zero_start_is_refused():
    with pytest.raises(pp.InputError, match="is zero"):
        rates(pp.Prompt("soft", {"embed": torch.zeros(2, 3)}), {"relative": 0.1})


def test_a_schedule_warms_up_and_a_cosine_ends_near_zero():
    curve = [factor(s, 10, schedule="cosine", warmup=3) for s in range(1, 11)]
    assert curve[:4] == [pytest.approx(1 / 3), pytest.approx(2 / 3), 1.0, 1.0]
    assert all(a > b for a, b in pairwise(curve[3:]))
    assert 0 < curve[-1] < 0.1


def test_records_come_a_step_with_a_validation_loss_at_evaluations(tiny, task):
    prompt = drawn(tiny, "soft")
    records = list(pp.train(tiny, prompt, task, steps=5, batch=3, lr=0.05, evaluate_every=2))
    assert [r.step for r in records] == list(range(6))
    assert [r.val_loss is not None for r in records] == [True, False, True, False, True, True]
    assert records[0].train_loss is None
    assert records[-1].val_loss < records[0].val_loss
    assert records[-1].val_loss == pytest.approx(
        float(pp.loss(tiny, prompt, EXAMPLES).detach()), rel=1e-5
    )
    tokens = [r.tokens for r in records]
    assert tokens == sorted(tokens)
    assert tokens[0] == 0


def test_the_same_seed_trains_the_same_prompt_and_another_another(tiny, task):
    def final(seed):
        prompt = drawn(tiny, "soft")
        list(pp.train(tiny, prompt, task, steps=3, batch=2, lr=0.05, seed=seed))
        return prompt.snapshot()["embed"]

    assert torch.equal(final(0), final(0))
    assert not torch.equal(final(0), final(1))


def test_a_restored_checkpoint_ends_where_the_whole_training_does(tiny, task):
    settings = {"steps": 6, "batch": 2, "lr": 0.05, "schedule": "cosine", "evaluate_every": 3}
    whole = drawn(tiny, "soft")
    expected = list(pp.train(tiny, whole, task, **settings))
    half = drawn(tiny, "soft")
    state = Progress(half, 0.05)
    for record in pp.train(tiny, half, task, progress=state, **settings):
        if record.step == 3:
            break
    tensors, counters = state.tensors(), state.counters()
    resumed = drawn(tiny, "soft")
    again = Progress(resumed, 0.05)
    again.restore(tensors, counters)
    rest = list(pp.train(tiny, resumed, task, progress=again, **settings))
    assert [r.train_loss for r in rest] == [r.train_loss for r in expected[4:]]
    assert torch.equal(whole.values["embed"], resumed.values["embed"])


def test_clipping_changes_the_training_and_is_off_by_default(tiny, task):
    free, clipped = drawn(tiny, "soft"), drawn(tiny, "soft")
    list(pp.train(tiny, free, task, steps=3, batch=6, lr=0.05))
    list(pp.train(tiny, clipped, task, steps=3, batch=6, lr=0.05, clip=1e-4))
    assert not torch.equal(free.values["embed"], clipped.values["embed"])


def test_weight_decay_shrinks_a_prompt_and_is_off_by_default(tiny, task):
    sizes = []
    for decay in (0.0, 0.5):
        prompt = drawn(tiny, "soft")
        list(pp.train(tiny, prompt, task, steps=5, batch=6, lr=0.05, weight_decay=decay))
        sizes.append(rms(prompt.values["embed"].detach()))
    assert sizes[1] < sizes[0]
    assert Progress(drawn(tiny, "soft"), 0.1).optimiser.param_groups[0]["weight_decay"] == 0


def test_a_diverging_training_stops_with_step_and_rate(tiny, task):
    prompt = drawn(tiny, "soft")
    prompt.values["embed"].data[0, 0] = math.nan
    with pytest.raises(pp.WorkError, match=r"diverged at step 0: the loss is nan.*rate 0.05"):
        list(pp.train(tiny, prompt, task, steps=3, lr=0.05))


def test_a_loss_far_above_the_start_and_a_uniform_guess_counts_as_diverged(tiny, task):
    prompt = drawn(tiny, "soft")
    state = Progress(prompt, 0.05)
    records = pp.train(tiny, prompt, task, steps=3, lr=0.05, progress=state)
    first = next(records)
    assert state.ceiling == pytest.approx(2 * max(first.val_loss, math.log(264)))
    state.ceiling = 0.5 * first.val_loss
    with pytest.raises(pp.WorkError, match="try a smaller rate"):
        list(records)


def test_a_start_may_be_worse_than_any_guess(tiny, task):
    prompt = drawn(tiny, "soft")
    before = tiny.model.lm_head.weight.data.clone()
    tiny.model.lm_head.weight.data *= 20
    try:
        records = list(pp.train(tiny, prompt, task, steps=1, lr=1e-6))
    finally:
        tiny.model.lm_head.weight.data.copy_(before)
    assert records[0].val_loss > 2 * math.log(264)


def test_each_site_keeps_its_rate_when_a_checkpoint_is_restored():
    def state():
        values = {"embed": torch.ones(1, 2), "block.1": torch.full((1, 2), 10.0)}
        return Progress(pp.Prompt("deep", values), {"relative": 0.1})

    first, second = state(), state()
    counters = json.loads(json.dumps(first.counters(), sort_keys=True))
    second.restore(first.tensors(), counters)
    assert second.peak == {"embed": pytest.approx(0.1), "block.1": pytest.approx(1.0)}
    for group, site in zip(second.optimiser.param_groups, second.prompt.sites, strict=True):
        assert group["lr"] == second.peak[site]


def test_progress_of_another_prompt_is_refused(tiny, task):
    other = Progress(drawn(tiny, "soft"), 0.1)
    with pytest.raises(pp.InputError, match="belongs to another prompt"):
        list(pp.train(tiny, drawn(tiny, "soft"), task, steps=1, progress=other))


def test_an_empty_prompt_has_nothing_to_train(tiny, task):
    with pytest.raises(pp.InputError, match="nothing to train"):
        list(pp.train(tiny, drawn(tiny, "none"), task, steps=3))


def test_evaluation_gives_the_loss_and_the_means_of_the_tasks_scores(tiny, task):
    prompt = drawn(tiny, "soft")
    found = pp.evaluate(tiny, prompt, task)
    assert set(found) == {"loss", "token_accuracy", "exact_match"}
    assert found["loss"] == pytest.approx(
        float(pp.loss(tiny, prompt, EXAMPLES[:5]).detach()), rel=1e-5
    )
    answers = pp.generate(tiny, prompt, EXAMPLES[:5], max_new_tokens=4, stop="\n")
    hits = [a in e.targets for a, e in zip(answers, EXAMPLES[:5], strict=True)]
    assert found["exact_match"] == sum(hits) / 5


def test_a_text_has_a_loss_and_no_scores(tiny, task):
    texts = pp.Task("texts", 1, {"test": EXAMPLES[5:]}, lambda *_: {})
    assert set(pp.evaluate(tiny, None, texts)) == {"loss", "token_accuracy"}


def test_an_unknown_split_is_refused(tiny, task):
    with pytest.raises(pp.InputError, match=r"unknown split of task 'toy' 'tset'\. Did you mean"):
        pp.evaluate(tiny, None, task, split="tset")


def test_quality_over_chunks_is_the_mean_over_all_target_tokens(tiny, monkeypatch):
    encoded = encode(tiny, EXAMPLES * 10)
    whole = quality(tiny, None, encoded)
    monkeypatch.setattr("promptpriors.training.evaluation.BUDGET", 60)
    parts = quality(tiny, None, encoded)
    assert parts.loss == pytest.approx(whole.loss, rel=1e-5)
    assert parts.token_accuracy == whole.token_accuracy
