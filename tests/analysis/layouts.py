"""Made-up outcomes of arms, rates and seeds with planted effects."""

import torch

from promptpriors.analysis.pooled import Outcome
from promptpriors.rng import generator


def outcomes(
    effects, *, seed=0, rates=("low", "high"), seeds=6, block=1.0, draw=0.0, rest=1.0, shift=0.5
):
    """One outcome an arm, rate and seed: arm + rate + seed's order + arm's draw + the rest."""
    count = seeds * (1 + len(effects) * (1 + len(rates)))
    stream = torch.randn(count, generator=generator(seed, "layout"), dtype=torch.float64)
    normal = iter(stream.tolist()).__next__
    orders = [block * normal() for _ in range(seeds)]
    found = []
    for arm, effect in effects.items():
        draws = [draw * normal() for _ in range(seeds)]
        for place, rate in enumerate(rates):
            for s in range(seeds):
                value = effect + shift * place + orders[s] + draws[s] + rest * normal()
                found.append(Outcome(arm, rate, str(s), value))
    return found


def without(found, **fixed):
    """All but the outcomes that have these values."""
    return [o for o in found if any(getattr(o, name) != value for name, value in fixed.items())]
