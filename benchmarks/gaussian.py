"""What fitting a full Gaussian costs beside the one matrix product that it cannot do without.

    python benchmarks/gaussian.py [points] [dim] [rounds]

As many random float32 points as a vocabulary of 128,256 rows and 2,048 coordinates has. Both
contenders take turns in one process: the fit (two passes in float64 and a Cholesky factor), and the
float64 product XᵀX alone, in the fit's own chunks, whose conversion from float32 is not counted.
Peak memory is that of the process in the first fit, beyond what it held before, points included.
"""

import resource
import statistics
import sys
import time
from collections.abc import Callable

import psutil
import torch

import promptpriors as pp
from promptpriors.rng import generator
from promptpriors.types import Density, Space

LENGTH = 20
"""Draws, and points whose density is asked for: a prompt."""


def main(points: int = 128_256, dim: int = 2048, rounds: int = 5) -> None:
    torch.set_num_threads(2)
    torch.linalg.cholesky(torch.eye(2, dtype=torch.float64))  # loads the library
    space = Space("embed", torch.randn(points, dim, generator=generator(0, "points")))
    held = psutil.Process().memory_info().rss
    prior = pp.fit_prior("gaussian", space)
    beyond = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - held
    fits, products = [], []
    for turn in range(rounds):
        for name in ("fit", "product") if turn % 2 else ("product", "fit"):
            if name == "fit":
                fits.append(seconds(lambda: pp.fit_prior("gaussian", space)))
            else:
                products.append(product(space.points))
    ratios = [f / p for f, p in zip(fits, products, strict=True)]
    print(f"{points} points of {dim} coordinates, {rounds} rounds: median (least–most)\n")
    print("| | |\n|---|---|")
    print(f"| fit, s | {spread(fits)} |")
    print(f"| one float64 product, s | {spread(products)} |")
    print(f"| fit / product, by round | {spread(ratios)} |")
    print(f"| peak beyond the points, MiB | {beyond / 2**20:.0f} |")
    print(f"| the points, MiB | {space.points.nbytes / 2**20:.0f} |")
    print(f"| one float64 covariance, MiB | {8 * dim**2 / 2**20:.0f} |")
    if isinstance(prior, Density):
        use(prior)


def use(prior: Density) -> None:
    """What a prompt costs, drawn and weighed."""
    x, stream = prior.sample(LENGTH, generator=generator(0)), generator(1)
    draws = [seconds(lambda: prior.sample(LENGTH, generator=stream)) for _ in range(21)]
    logs = [seconds(lambda: prior.log_prob(x)) for _ in range(21)]
    print(f"| {LENGTH} draws, ms | {spread([1e3 * s for s in draws[1:]])} |")
    print(f"| {LENGTH} log-densities, ms | {spread([1e3 * s for s in logs[1:]])} |")


def product(points: torch.Tensor) -> float:
    """Seconds of XᵀX in float64, the conversion of each chunk left out."""
    total = 0.0
    square = torch.zeros(points.shape[1], points.shape[1], dtype=torch.float64)
    for part in points.split(max(points.shape[1], 1024)):
        exact = part.to(torch.float64)
        began = time.perf_counter()
        square.addmm_(exact.T, exact)
        total += time.perf_counter() - began
    return total


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.3g} ({min(values):.3g}–{max(values):.3g})"


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
