"""How often does each test reject what is true, and how often does it find what is there?

    python benchmarks/calibration.py STORES [test …] [--repetitions 1000] [--processes 2]

Each test is repeated with new data under two nulls. Synthetic: Gaussian documents with a mean of
their own and dependent tokens, and Gaussian prompts. Real: C4's documents at the input of SmolLM2's
last block (STORES/c4) divided at random, and prompts drawn by different seeds from the Gaussian
fitted to SmolLM2's vocabulary. For unimodality the real null is the Gaussian fitted to C4's points:
whether C4 has one hump is not known. For trajectories it is random tokens of C4's documents.

Printed is the share of p ≤ 0.05 with its binomial standard error, and the share with the stated
difference put in. An interval rejects where it misses the truth.

Wanted: at most 7 % everywhere, and 3 % at least where a test is exact.
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Generator, Tensor

import promptpriors as pp
from promptpriors.activations import load_space
from promptpriors.analysis.collapse import Collapse, collapse, collapse_over_runs
from promptpriors.analysis.memory import memory
from promptpriors.analysis.separation import excess, separations
from promptpriors.analysis.significance import (
    Interval,
    jackknife_interval,
    label_test,
    monte_carlo_p,
    sign_flip_test,
    t_interval,
)
from promptpriors.analysis.trajectories import localisation
from promptpriors.analysis.two_sample import permutation_test
from promptpriors.analysis.unimodality import unimodality_test
from promptpriors.geometry import rms
from promptpriors.rng import generator
from promptpriors.types import Prior, Space

SITE, TIME, LENGTH, DRAWS = "block.29", 24, 4, 199
LEVEL, MOST, LEAST = 0.05, 0.07, 0.03
DOCUMENTS, CLOUD = 40, 300
"""Documents a side, and rows of the cloud that prompts may be near to."""


class World(NamedTuple):
    """Where documents and prompts come from."""

    documents: Callable[[int, Generator], Tensor]  # n of them, [n, TIME, dim]
    normal: Callable[[int, Generator], Tensor]  # Gaussian points of the same moments
    prior: Prior
    cloud: Tensor
    unit: float  # root mean square per coordinate of many points

    def points(self, n: int, stream: Generator) -> Tensor:
        """One random token of each of ``n`` documents."""
        tokens = torch.randint(TIME, (n,), generator=stream)
        return self.documents(n, stream)[torch.arange(n), tokens]

    def scalars(self, n: int, stream: Generator) -> Tensor:
        """One number a document."""
        return self.documents(n, stream).mean(dim=(1, 2)).double()

    def prompts(self, n: int, stream: Generator) -> Tensor:
        """Draws of the prior, LENGTH vectors each."""
        return self.prior.sample(n * LENGTH, generator=stream).unflatten(0, (n, LENGTH))


def synthetic() -> World:
    dim = 32

    def documents(n: int, stream: Generator) -> Tensor:
        means = torch.randn(n, 1, dim, generator=stream)
        noise = torch.randn(n, TIME + 1, dim, generator=stream)
        return means + (noise[:, 1:] + noise[:, :-1]) / 2**0.5

    cloud = torch.randn(CLOUD, dim, generator=generator(0, "cloud"))
    prior = pp.fit_prior("isotropic", Space("embed", cloud), sigma=1.0)

    def normal(n: int, stream: Generator) -> Tensor:
        return torch.randn(n, dim, generator=stream)

    return World(documents, normal, prior, cloud, unit=2**0.5)


def real(stores: Path) -> World:
    space = load_space(stores / "c4", SITE)
    sizes = torch.unique_consecutive(space.groups, return_counts=True)[1].tolist()
    kept = torch.stack([part[:TIME] for part in space.points.split(sizes) if len(part) >= TIME])

    def documents(n: int, stream: Generator) -> Tensor:
        return kept[torch.randperm(len(kept), generator=stream)[:n]]

    vocabulary = pp.vocabulary(pp.load_model("smollm2"))
    rows = torch.randperm(len(vocabulary.points), generator=generator(0, "cloud"))[:CLOUD]
    fitted = pp.fit_prior("gaussian", Space(SITE, kept.flatten(0, 1)))
    prior = pp.fit_prior("gaussian", vocabulary)

    def normal(n: int, stream: Generator) -> Tensor:
        return fitted.sample(n, generator=stream)

    return World(documents, normal, prior, vocabulary.points[rows], rms(kept.flatten(0, 1)))


def energy(world: World, stream: Generator, apart: bool) -> list[float]:
    x, y = world.points(2 * DOCUMENTS, stream).split(DOCUMENTS)
    found = permutation_test(x, y + 0.3 * apart * world.unit, generator=stream, permutations=DRAWS)
    return [found.p]


def flips(world: World, stream: Generator, apart: bool) -> list[float]:
    values = differences(world, 20, stream, apart)
    return [sign_flip_test(values, generator=stream, flips=DRAWS).p, misses(t_interval(values))]


def labels(world: World, stream: Generator, apart: bool) -> list[float]:
    values = world.scalars(2 * DOCUMENTS, stream)
    values = values / values.std()
    values[DOCUMENTS:] += 0.8 * apart
    x, y = values.split(DOCUMENTS)

    def difference(rows: Tensor) -> float:
        first = rows < DOCUMENTS
        return float(values[rows[first]].mean() - values[rows[~first]].mean())

    interval = jackknife_interval(difference, torch.arange(len(values)), generator=stream)
    found = label_test(x, y, generator=stream, permutations=DRAWS)
    return [found.p, misses(interval)]


def ranks(world: World, stream: Generator, apart: bool) -> list[float]:
    values = world.scalars(1 + DRAWS, stream)
    values[0] += 3 * values.std() * apart
    observed, nulls = float(values[0]), values[1:]
    return [monte_carlo_p(observed, nulls), monte_carlo_p(observed, nulls, side="both")]


def paths(world: World, stream: Generator, apart: bool) -> list[float]:
    documents = world.documents(10 + DOCUMENTS, stream)
    pool = documents[10:].flatten(0, 1)
    if not apart:
        rows = torch.randint(len(pool), (10, TIME), generator=stream)
        documents = pool[rows]
    found = localisation(list(documents[:10]), {"pool": pool}, generator=stream, draws=11)
    tests = (found.step["shuffled"], found.step["pool"], found.spread["pool"])
    return [against.test.p for against in tests]


def humps(world: World, stream: Generator, apart: bool) -> list[float]:
    points = world.normal(2 * DOCUMENTS, stream)
    _, sizes, directions = torch.linalg.svd(points - points.mean(dim=0), full_matrices=False)
    deviation = sizes[0] / len(points) ** 0.5
    points[:DOCUMENTS] += 5 * apart * deviation * directions[0]
    return [unimodality_test(points, generator=stream, nulls=DRAWS).joint]


def domains(world: World, stream: Generator, apart: bool) -> list[float]:
    a, b = world.documents(2 * DOCUMENTS, stream).split(DOCUMENTS)
    spaces = {"a": as_space(a), "b": as_space(b + 0.3 * apart * world.unit)}
    found = separations(spaces, reference=("a", "a"), generator=stream, permutations=DRAWS)
    return [found["a", "b"].p]


def beyond(world: World, stream: Generator, apart: bool) -> list[float]:
    """At both sites b lies 0.6 from a; other tokens of the same documents stand for the other."""
    both = world.documents(2 * DOCUMENTS, stream)
    order = torch.rand(both.shape[:2], generator=stream).argsort(dim=1)
    both = both[torch.arange(len(both))[:, None], order]
    sites = []
    for tokens, shift in zip(both.split(TIME // 2, dim=1), (0.6 + 0.4 * apart, 0.6), strict=True):
        a, b = tokens.split(DOCUMENTS)
        sites.append({"a": as_space(a), "b": as_space(b + shift * world.unit)})
    found = excess(*sites, reference=("a", "a"), generator=stream)
    return [misses(found["a", "b"])]


def displaced(world: World, stream: Generator, apart: bool) -> list[float]:
    return [trained(world, stream, apart, DRAWS, 19).moved.p]


def redrawn(world: World, stream: Generator, apart: bool) -> list[float]:
    """The final vectors are another seed's draw."""
    found = trained(world, stream, apart, 19, DRAWS, fresh=True)
    return [found.redrawn.p, found.normed.p]


def over_runs(world: World, stream: Generator, apart: bool) -> list[float]:
    runs = [trained(world, stream, apart, 19, 19) for _ in range(8)]
    effects = torch.tensor([run.moved.effect for run in runs])
    return [collapse_over_runs(effects, generator=stream).test.p]


def remembered(world: World, stream: Generator, apart: bool) -> list[float]:
    starts, finals = world.prompts(12, stream).split(6)
    finals = finals + 0.1 * apart * starts
    return [memory(starts, finals, generator=stream, permutations=DRAWS).p]


def trained(
    world: World,
    stream: Generator,
    apart: bool,
    displacements: int,
    draws: int,
    *,
    fresh: bool = False,
) -> Collapse:
    """A prompt that moved at random by half its size, or to another draw, and then to the cloud."""
    initial, final = world.prompts(2, stream)
    if not fresh:
        final = initial + 0.5 * rms(initial) * torch.randn(initial.shape, generator=stream)
    nearest = torch.cdist(final, world.cloud).argmin(dim=1)
    others = world.prompts(2 * draws, stream).split(draws)
    return collapse(
        initial,
        final.lerp(world.cloud[nearest], 0.05 * apart),
        world.cloud,
        redrawn=others[0],
        gaussian=others[1],
        generator=stream,
        draws=displacements,
    )


def differences(world: World, pairs: int, stream: Generator, apart: bool) -> Tensor:
    """Of two documents, in standard deviations, with a mean of 0.8 where they differ."""
    x, y = world.scalars(2 * pairs, stream).split(pairs)
    return (x - y) / (x - y).std() + 0.8 * apart


def as_space(documents: Tensor) -> Space:
    groups = torch.arange(len(documents)).repeat_interleave(documents.shape[1])
    return Space(SITE, documents.flatten(0, 1), groups=groups)


def misses(interval: Interval) -> float:
    """0, as a p-value that rejects, for an interval without 0; else 1."""
    return float(interval.low <= 0 <= interval.high)


class Case(NamedTuple):
    """A function that gives p of each of its tests, the difference put in, and what is exact."""

    run: Callable[[World, Generator, bool], list[float]]
    alternative: str
    tests: dict[str, bool]


CASES = {
    "energy": Case(energy, "shift of 0.3 rms", {"permutation_test": True}),
    "flips": Case(
        flips, "mean of 0.8 deviations, n = 20", {"sign_flip_test": True, "t_interval": False}
    ),
    "labels": Case(
        labels, "shift of 0.8 deviations", {"label_test": True, "jackknife_interval": False}
    ),
    "ranks": Case(
        ranks,
        "shift of 3 deviations",
        {"monte_carlo_p, greater": True, "monte_carlo_p, both": True},
    ),
    "paths": Case(
        paths,
        "10 documents as they are",
        {
            "localisation, step, shuffled": True,
            "localisation, step, pool": True,
            "localisation, spread, pool": True,
        },
    ),
    "humps": Case(humps, "halves 5 deviations apart", {"unimodality_test": True}),
    "domains": Case(domains, "shift of 0.3 rms", {"separations": True}),
    "beyond": Case(beyond, "shift of 1 rms against 0.6", {"excess, interval": False}),
    "displaced": Case(displaced, "5 % of the way to the nearest", {"collapse, moved": True}),
    "redrawn": Case(
        redrawn,
        "5 % of the way to the nearest",
        {"collapse, redrawn": True, "collapse, normed": False},
    ),
    "runs": Case(over_runs, "5 % of the way, 8 runs", {"collapse_over_runs": False}),
    "memory": Case(remembered, "slope of 0.1, 6 runs", {"memory": True}),
}
"""By the name to ask for."""

WORLDS: dict[str, World] = {}


def prepare(stores: Path) -> None:
    """Once in each process."""
    torch.set_num_threads(1)
    WORLDS.update(synthetic=synthetic(), real=real(stores))


def measure(task: tuple[str, str, bool], repetitions: int) -> Tensor:
    """Share of p ≤ LEVEL of each test of a case."""
    name, world, apart = task
    streams = (generator(number, *map(str, task)) for number in range(repetitions))
    p = [CASES[name].run(WORLDS[world], stream, apart) for stream in streams]
    return (torch.tensor(p) <= LEVEL).double().mean(dim=0)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("stores", type=Path)
    parser.add_argument("tests", nargs="*", metavar="test", help=", ".join(CASES))
    parser.add_argument("--repetitions", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    names = given.tests or list(CASES)
    if set(names) - set(CASES):
        parser.error(f"tests are {', '.join(CASES)}")
    print("| test | null | false positives | power | at | exact? |\n|---|---|---|---|---|---|")
    tasks = [
        (name, world, bool(a)) for name in names for world in ("synthetic", "real") for a in (0, 1)
    ]
    work, outside = partial(measure, repetitions=given.repetitions), 0
    with get_context("spawn").Pool(given.processes, prepare, (given.stores,)) as pool:
        found = pool.imap(work, tasks)
        for name, world, _ in tasks[::2]:
            null, power = next(found).tolist(), next(found).tolist()
            case = CASES[name]
            for i, (test, exact) in enumerate(case.tests.items()):
                error = (null[i] * (1 - null[i]) / given.repetitions) ** 0.5
                outside += not (LEAST if exact else 0) <= null[i] <= MOST
                print(
                    f"| {test} | {world} | {null[i]:.1%} ± {error:.1%} | {power[i]:.0%} "
                    f"| {case.alternative} | {'yes' if exact else 'no'} |",
                    flush=True,
                )
        pool.close()
        pool.join()
    print(f"{outside} outside what is wanted", file=sys.stderr)


if __name__ == "__main__":
    main()
