"""Variance components: planted ones come back, on average and in the limit."""

from itertools import product

import pytest
import torch

from promptpriors.analysis.components import components
from promptpriors.errors import InputError
from promptpriors.rng import generator

NAMES = ("arm", "rate", "order", "draw")


def crossed(levels, effects, *, seed=0, drop=0.0):
    """Values over all combinations of levels, with normal effects of the given deviations."""
    stream = generator(seed, "components")

    def normal(n):
        return torch.randn(n, generator=stream, dtype=torch.float64)

    rows = list(product(*(range(levels.get(name, 1)) for name in NAMES)))
    if drop:
        kept = torch.rand(len(rows), generator=stream) > drop
        rows = [row for row, keep in zip(rows, kept.tolist(), strict=True) if keep]
    factors = {name: [row[i] for row in rows] for i, name in enumerate(NAMES)}
    values = effects.get("residual", 0.0) * normal(len(rows))
    for term, deviation in effects.items():
        if term != "residual":
            keys = list(zip(*(factors[name] for name in term.split(":")), strict=True))
            known = {key: i for i, key in enumerate(dict.fromkeys(keys))}
            values = values + deviation * normal(len(known))[[known[key] for key in keys]]
    return values, factors


def variances(found):
    return {c.source: c.variance for c in found}


def test_a_large_crossed_layout_gives_back_what_was_planted():
    planted = {"order": 1.0, "draw": 2.0, "residual": 0.5}
    values, factors = crossed({"order": 80, "draw": 80}, planted)
    found = variances(components(values, factors, ["order", "draw"]))
    assert found == pytest.approx({"order": 1.0, "draw": 4.0, "residual": 0.25}, rel=0.4)


@pytest.mark.slow
def test_estimates_are_unbiased_with_arms_rates_and_draws_within_arms():
    planted = {"arm": 1.0, "rate": 0.7, "order": 0.5, "arm:draw": 0.8, "residual": 0.6}
    terms = [*planted][:-1]
    levels = {"arm": 6, "rate": 4, "order": 5, "draw": 4}
    sums = dict.fromkeys(planted, 0.0)
    for seed in range(400):
        values, factors = crossed(levels, planted, seed=seed, drop=0.1)
        effects = {c.source: c for c in components(values, factors, terms)}
        for source in planted:  # what is set to 0 is counted as it was estimated
            note = effects[source].note
            raw = float(note.removeprefix("estimated as ")) if note else effects[source].variance
            sums[source] += raw / 400
    expected = {source: deviation**2 for source, deviation in planted.items()}
    assert sums == pytest.approx(expected, rel=0.15)


def test_balanced_data_have_the_estimates_of_reml():
    import pandas
    from statsmodels.regression.mixed_linear_model import MixedLM

    planted = {"order": 1.0, "draw": 1.5, "residual": 0.5}
    values, factors = crossed({"order": 6, "draw": 8}, planted, seed=1)
    frame = pandas.DataFrame({"y": values.numpy(), "all": 0} | factors)
    formulas = {"order": "0 + C(order)", "draw": "0 + C(draw)"}
    fit = MixedLM.from_formula("y ~ 1", frame, groups="all", vc_formula=formulas).fit()
    found = variances(components(values, factors, ["order", "draw"]))
    assert found["residual"] == pytest.approx(float(fit.scale), rel=1e-3)
    expected = dict(zip(fit.model.exog_vc.names, fit.vcomp.tolist(), strict=True))
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-3)


def test_a_balanced_one_way_layout_has_the_mean_squares_of_the_analysis_of_variance():
    from scipy.stats import f_oneway

    values, factors = crossed({"draw": 5, "order": 7}, {"draw": 1.0, "residual": 1.0})
    draw, rest = components(values, factors, ["draw"])
    groups = [values[[d == i for d in factors["draw"]]] for i in range(5)]
    ratio = f_oneway(*(group.numpy() for group in groups)).statistic
    assert 1 + 7 * draw.variance / rest.variance == pytest.approx(ratio)
    assert (draw.df, rest.df) == (4, 30)


def test_shares_sum_to_one_and_a_negative_estimate_is_none_at_all_and_said():
    seen = 0
    for seed in range(10):
        values, factors = crossed({"order": 3, "draw": 4}, {"residual": 1.0}, seed=seed)
        found = components(values, factors, ["order", "draw"])
        assert sum(c.share for c in found) == pytest.approx(1)
        for c in found:
            assert (c.variance == 0) == c.note.startswith("estimated as -")
            seen += bool(c.note)
    assert seen


def test_values_that_do_not_vary_have_no_components():
    factors = {"order": [0, 0, 1, 1, 2, 2], "draw": [0, 1] * 3}
    found = components(torch.ones(6), factors, ["order", "draw"])
    assert all(abs(c.variance) < 1e-20 for c in found)


def test_terms_that_are_the_same_are_refused():
    factors = {"order": [0, 0, 1, 1], "draw": [5, 5, 6, 6]}
    with pytest.raises(InputError, match="'draw' can't be told from what stands before it"):
        components(torch.arange(4.0), factors, ["order", "draw"])


def test_a_layout_without_a_residual_is_refused():
    values, factors = crossed({"order": 3, "draw": 3}, {"residual": 1.0})
    with pytest.raises(InputError, match="9 runs leave nothing for the residual"):
        components(values, factors, ["order", "draw", "order:draw"])


def test_without_runs_there_is_nothing_to_take_apart():
    with pytest.raises(InputError, match="there are no runs"):
        components(torch.zeros(0), {"arm": []}, ["arm"])
