"""Metrics as columns: whatever rows hold comes back, to the last bit."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import promptpriors as pp
from promptpriors.runs.columns import decode_rows, encode_rows, shared_shapes

from .packing import METRICS


def through_json(value):
    return json.loads(json.dumps(value, ensure_ascii=False))


@pytest.mark.slow
@given(METRICS, METRICS)
def test_rows_come_back_to_the_last_bit(rows, others):
    shapes = shared_shapes([rows, others])
    for each in (rows, others):
        found = decode_rows(through_json(encode_rows(each, shapes)), through_json(shapes))
        assert repr(found) == repr(each)  # tells 1 from 1.0 and True, 0.0 from -0.0; NaN is NaN


@given(st.lists(st.floats(1e-6, 1e3), min_size=2, max_size=5))
def test_rates_of_one_schedule_are_multiples_of_one_column(peaks):
    factors = [(1 + math.cos(math.pi * i / 30)) / 2 for i in range(30)]
    runs = [[{"lr": {"embed": peak * factor}} for factor in factors] for peak in peaks]
    shapes = shared_shapes(runs)
    assert len(shapes) == 1
    for rows in runs:
        encoded = encode_rows(rows, shapes)
        assert encoded["columns"][0][2]["shape"] == 0
        assert repr(decode_rows(through_json(encoded), shapes)) == repr(rows)


def test_losses_in_float32_and_steps_become_small_integers():
    losses = [2.5736160278320312, 2.052532911300659, None] * 3
    rows = [{"step": i, "loss": loss} for i, loss in enumerate(losses)]
    (_, steps), (_, found) = encode_rows(rows)["columns"]
    assert steps == {"differences": [0] + [1] * 8}
    assert set(found) == {"bits", "differences"}
    assert all(d is None or abs(d) < 2**24 * 10 for d in found["differences"])


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"columns": 3},
        {"columns": [["a", {"shape": 7, "times": 1.0}]]},
        {"columns": [["a", [1]], ["b", [1, 2]]]},
        {"columns": [["a", {"differences": ["x"]}]]},
        {"rows": [3]},
    ],
)
def test_what_is_no_encoding_of_metrics_is_refused(content):
    with pytest.raises(pp.InputError, match="the metrics are damaged"):
        decode_rows(content)
