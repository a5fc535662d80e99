"""Points, examples, prompts and priors that tests of several rooms use."""

import torch

import promptpriors as pp
from promptpriors.priors import PRIORS, fit_prior
from promptpriors.prompts import MODES, draw_prompt
from promptpriors.rng import generator
from promptpriors.types import Space

TWO = {"first": "gaussian", "second": {"name": "gaussian", "covariance": "diag"}}
REQUIRED = {
    "text": {"text": "abc"},
    "matched": {"prior": "gaussian"},
    "interpolation": TWO,
    "mixture": TWO,
    "barycentre": TWO,
}
VARIANTS = [
    *((name, REQUIRED.get(name, {})) for name in PRIORS),
    ("gaussian", {"covariance": "diag"}),
    ("gaussian", {"shrinkage": "ledoit-wolf"}),
    ("gaussian", {"shrinkage": "oas"}),
    ("isotropic", {"sigma": "match"}),
    ("matched", {"prior": {"name": "xavier"}, "match": "moments"}),
    ("vocabulary", {"most_frequent": 10}),
    ("xavier", {"distribution": "normal"}),
    ("points", {"contiguous": True}),
    ("exclusion", {"k": 2.0}),
    ("exclusion", {"outside": 0.9, "covariance": "diag"}),
    ("interpolation", {"first": "gaussian", "second": "xavier"}),
    ("mixture", {"first": "gaussian", "second": "vocabulary"}),
    ("low_density", {"candidates": "gaussian", "low": 0.5, "high": 4.0}),
    ("cluster", {"draw": "gaussian", "chosen": [0, 2]}),
    ("posterior", {"draw": "points"}),
    ("posterior", {"draw": "prompt"}),
]
EXAMPLES = [
    pp.Example("0", ("A shared context.\n", "Question: who?\nAnswer:"), ("me",)),
    pp.Example("1", ("A shared context.\n", "Question: when?\nAnswer:"), ("in 2016", "2016")),
    pp.Example("2", ("A shared context.\n", "Question: when?\nAnswer:"), ("never",)),
    pp.Example("3", ("Another.\n", "Question: what is it?\nAnswer:"), ("this",)),
    pp.Example("4", ("Question: 2 + 2?\nAnswer:",), ("4",)),
    pp.Example("5", (), ("a text",), continuation="a text", ends=False),
]


def drawn(backbone, mode, **more):
    """A prompt of each mode, from a prior fitted to the backbone's vocabulary."""
    prior = fit_prior("gaussian", pp.vocabulary(backbone))
    length = 5 if MODES[mode].least else 0
    return draw_prompt(prior, length=length, mode=mode, seed=1, backbone=backbone, **more)


def cloud(dim=3, n=400):
    """Correlated points away from the origin, with weights and an encoder."""
    stream = generator(0, "cloud")
    mix = torch.randn(dim, dim, generator=stream) + 2 * torch.eye(dim)
    points = torch.randn(n, dim, generator=stream) @ mix + torch.arange(dim)
    weights = torch.arange(n).float()
    rows = torch.arange(n)
    return Space(
        "embed",
        points,
        weights=weights,
        groups=rows // 20,
        encode=lambda text: [ord(c) % n for c in text],
        positions=rows % 20,
    )


def fitted(name, params):
    """A variant fitted to the cloud; only a vocabulary has an encoder."""
    space = cloud() if name in {"text", "vocabulary", "mixture"} else cloud()._replace(encode=None)
    return fit_prior(name, space, **params)
