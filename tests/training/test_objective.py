"""Training by another objective: what is recorded, and what counts as diverged."""

import math

import pytest

import promptpriors as pp
from promptpriors.packing import encode
from promptpriors.prompts.objectives import mean_objective
from promptpriors.training import Progress
from tests.helpers import EXAMPLES, drawn

ASKED = EXAMPLES[:5]
SETTINGS = {"steps": 12, "batch": 5, "lr": 0.05, "evaluate_every": 5, "grouping": "none"}


@pytest.fixture
def task():
    splits = {"train": ASKED, "validation": ASKED, "test": ASKED}
    return pp.Task("toy", 1, splits, lambda *_: {}, max_new_tokens=4)


def test_the_misaligned_objective_falls_and_validation_stays_the_answers_loss(tiny, task):
    prompt, encoded = drawn(tiny, "soft"), encode(tiny, ASKED)
    start = mean_objective("misaligned", tiny, prompt, encoded)
    records = list(pp.train(tiny, prompt, task, objective="misaligned", **SETTINGS))
    end = mean_objective("misaligned", tiny, prompt, encoded)
    measured = {r.step: r.val_objective for r in records if r.val_objective is not None}
    assert measured == {0: start, 12: end}
    assert end < 0.8 * start
    assert records[1].train_loss == pytest.approx(start, rel=1e-5)  # the batch is the whole split
    assert records[-1].val_loss == pytest.approx(
        float(pp.loss(tiny, prompt, ASKED).detach()), rel=1e-5
    )


def test_of_the_answers_loss_both_are_the_same(tiny, task):
    records = list(pp.train(tiny, drawn(tiny, "soft"), task, **SETTINGS))
    ends = [(r.step, r.val_objective) for r in records if r.val_objective is not None]
    assert ends == [(0, records[0].val_loss), (12, records[-1].val_loss)]


def test_an_answers_loss_above_the_ceiling_is_no_divergence_of_another_objective(tiny, task):
    prompt = drawn(tiny, "soft")
    state = Progress(prompt, 0.05)
    records = pp.train(tiny, prompt, task, objective="misaligned", progress=state, **SETTINGS)
    first = next(records)
    assert state.ceiling == pytest.approx(2 * max(first.val_objective, math.log(264)))
    second = next(records)
    state.ceiling = second.train_loss * 0.95  # what follows is below, and answers are far above
    losses = [r.val_loss for r in records if r.val_loss is not None]
    assert len(losses) == 3
    assert min(losses) > state.ceiling


def test_an_objective_above_the_ceiling_is_a_divergence(tiny, task):
    prompt = drawn(tiny, "soft")
    state = Progress(prompt, 0.05)
    records = pp.train(tiny, prompt, task, objective="misaligned", progress=state, **SETTINGS)
    state.ceiling = 0.5 * next(records).val_objective
    with pytest.raises(pp.WorkError, match="diverged at step"):
        list(records)


def test_what_it_can_not_be_computed_of_is_refused(tiny, task):
    with pytest.raises(pp.InputError, match="Available: answer, misaligned"):
        next(pp.train(tiny, drawn(tiny, "soft"), task, objective="aligned"))
    with pytest.raises(pp.InputError, match="where mode 'kv' has none"):
        next(pp.train(tiny, drawn(tiny, "kv"), task, objective="misaligned"))
