"""Is the exclusion prior drawn from its law, does it leave a hole, and is it away from the data?

    python benchmarks/exclusion.py [--draws 10000] [--model smollm2]

Four tables in Markdown. Radii of exact draws against those of rejection, by Kolmogorov and Smirnov.
Acceptance and median radius for the three readings of the paper's k, c = 5. The share of the data
that is farther out than the nearest of 1,000 draws, plain and with ``outside``. And distances of
draws to their nearest point of the half that the prior was fitted to, beside those of the other
half. The last two on Student's t with 3 degrees of freedom in 32 dimensions, and with ``--model``
on a model's vocabulary.
"""

import argparse
import math
from typing import Any

import numpy as np
import torch
from scipy.stats import chi2, ks_2samp

import promptpriors as pp
from promptpriors.geometry import neighbour_distance
from promptpriors.priors import gaussian
from promptpriors.priors.exclusion import Exclusion
from promptpriors.priors.gaussian import Gaussian
from promptpriors.priors.shell import crossing
from promptpriors.rng import generator
from promptpriors.types import Space

C = 5.0
FITTED: dict[str, tuple[str, dict[str, Any]]] = {
    "gaussian": ("gaussian", {}),
    "exclusion": ("exclusion", {}),
    "exclusion, k = 5": ("exclusion", {"k": 5.0}),
    "exclusion, outside 0.9": ("exclusion", {"outside": 0.9}),
    "exclusion, outside 0.999": ("exclusion", {"outside": 0.999}),
}
NEAREST = 1000
"""Draws of which the nearest is taken."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--draws", type=int, default=10_000)
    parser.add_argument("--model")
    given = parser.parse_args()
    torch.set_num_threads(2)
    radii(given.draws)
    readings(given.draws)
    spaces = {"Student t, 3": student()}
    if given.model:
        spaces[f"{given.model}, vocabulary"] = pp.vocabulary(pp.load_model(given.model))
    print("\n| space | prior | least radius / √rank | data farther out than the nearest draw |")
    print("|---|---|---|---|")
    for name, space in spaces.items():
        farther_out(name, space)
    print("\n| space | vectors | distance to the nearest fitted point: 10 % | median | 90 % |")
    print("|---|---|---|---|---|")
    for name, space in spaces.items():
        nearest(name, space)


def radii(draws: int) -> None:
    print(f"| dim | k | acceptance | p, {draws} radii each |\n|---|---|---|---|")
    for dim in (2, 16, 64):
        for k in sorted({C ** (2 / dim), 1.5, 5.0}):
            prior = standard(dim, k)
            exact = prior.sample(draws, generator=generator(0)).double().norm(dim=1).numpy()
            test: Any = ks_2samp(exact, rejected(dim, k, draws)[0])
            print(f"| {dim} | {k:.4g} | {prior.report()['acceptance']:.3f} | {test.pvalue:.3f} |")


def readings(draws: int) -> None:
    print("\n| dim | k | | acceptance | by rejection | median radius / the Gaussian's |")
    print("|---|---|---|---|---|---|")
    for dim in (576, 2048):
        ordinary = math.sqrt(chi2(dim).median())
        for label, k in {
            "c^(2/d)": C ** (2 / dim),
            "exp(2/d)·ln c": math.exp(2 / dim) * math.log(C),
            "c": C,
        }.items():
            found = standard(dim, k).report()
            accepted = rejected(dim, k, min(draws, 1000))[1]
            ratio = found["radius_median"] / ordinary
            print(
                f"| {dim} | {label} | {k:.4f} | {found['acceptance']:.4f} | {accepted:.4f} |"
                f" {ratio:.3f} |"
            )


def farther_out(name: str, space: Space) -> None:
    core = gaussian.fit(space, generator=generator(0))
    own = torch.cat([core.radius(part.double()) for part in space.points.split(4096)])
    for label, (row, params) in FITTED.items():
        prior = pp.fit_prior(row, space, **params)
        least = core.radius(prior.sample(NEAREST, generator=generator(1)).double()).min()
        share = float((own > least).double().mean())
        print(f"| {name} | {label} | {float(least) / core.rank**0.5:.3f} | {share:.4%} |")


def nearest(name: str, space: Space) -> None:
    order = torch.randperm(len(space.points), generator=generator(0, "halves"))
    learn, held = (space.points[part].float() for part in order.chunk(2))
    show(name, "held-out points", held[:NEAREST], learn)
    for label, (row, params) in FITTED.items():
        prior = pp.fit_prior(row, Space(space.site, learn), **params)
        show(name, label, prior.sample(NEAREST, generator=generator(2)), learn)


def show(name: str, label: str, vectors: torch.Tensor, points: torch.Tensor) -> None:
    shares = torch.tensor([0.1, 0.5, 0.9])
    found = neighbour_distance(vectors, points).quantile(shares).tolist()
    print(f"| {name} | {label} | {' | '.join(f'{value:.3g}' for value in found)} |", flush=True)


def standard(dim: int, k: float) -> Exclusion:
    """About N(0, I), fitted to nothing."""
    core = Gaussian(torch.zeros(dim).double(), torch.eye(dim).double())
    return Exclusion(core, k, crossing(dim, k), 0.0)


def rejected(dim: int, k: float, n: int) -> tuple[np.ndarray, float]:
    """Radii of N(0, kI) accepted with max(0, 1 − pdf/pdf_wide), and the share accepted.

    A squared radius of N(0, I) is χ² with ``dim`` degrees of freedom; densities depend on it alone.
    """
    stream, kept, tried = np.random.default_rng(7), [], 0
    while sum(map(len, kept)) < n:
        squares = stream.chisquare(dim, 20_000) * k
        ratio = np.exp(dim / 2 * math.log(k) - squares * (1 - 1 / k) / 2)
        kept.append(np.sqrt(squares[stream.random(len(squares)) < 1 - ratio]))
        tried += len(squares)
    radii = np.concatenate(kept)
    return radii[:n], len(radii) / tried


def student(n: int = 20_000, dim: int = 32) -> Space:
    stream = generator(0, "student")
    chi = torch.randn(n, 3, generator=stream).square().mean(dim=1, keepdim=True).sqrt()
    return Space("embed", torch.randn(n, dim, generator=stream) / chi)


if __name__ == "__main__":
    main()
