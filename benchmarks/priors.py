"""Every fitted prior on every domain: energy distance of its draws to held-out points of each.

    python benchmarks/priors.py STORES [prior …]

STORES holds the stores c4, squad, squad-held, mathematics, mathematics-held, as docs/results/
priors.md says how to capture them. Two tables: at ``embed`` the vocabulary and the tokens of three
domains as they occur, at ``block.29`` the activations of the three. C4 is halved by document, the
vocabulary by row. Distances are divided by the mean distance between two held-out points of the
column's domain, so that 0 is the domain itself; the first row is real points against real ones.
"""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch

import promptpriors as pp
from promptpriors.activations import load_space
from promptpriors.analysis.two_sample import energy_distance
from promptpriors.rng import generator
from promptpriors.types import Prior, Space

DRAWS = 2048
FITTED: dict[str, tuple[str, dict[str, object]]] = {
    "points": ("points", {}),
    "gaussian": ("gaussian", {}),
    "gaussian, diagonal": ("gaussian", {"covariance": "diag"}),
    "isotropic, match": ("isotropic", {"sigma": "match"}),
    "matched xavier": ("matched", {"prior": "xavier", "match": "moments"}),
    "exclusion": ("exclusion", {}),
    "exclusion, outside 0.999": ("exclusion", {"outside": 0.999}),
    "low_density": ("low_density", {}),
    "cluster, largest of 8": ("cluster", {}),
    "cluster, gaussian, all 8": ("cluster", {"draw": "gaussian", "chosen": list(range(8))}),
    "vae": ("vae", {}),
}
PAIRS = ("interpolation", "mixture", "barycentre")
"""Between the Gaussians of C4 and arithmetic."""


def main(stores: Path, wanted: list[str]) -> None:
    torch.set_num_threads(2)
    vocabulary = pp.vocabulary(pp.load_model("smollm2"))
    rows = torch.arange(len(vocabulary.points))
    halved = halves(Space("embed", vocabulary.points, groups=rows))
    for site, more in (("embed", {"vocabulary": halved}), ("block.29", {})):
        domains = more | {
            "C4": halves(load_space(stores / "c4", site)),
            "SQuAD": pair(stores, "squad", site),
            "arithmetic": pair(stores, "mathematics", site),
        }
        table(site, domains, wanted)


def table(site: str, domains: dict[str, tuple[Space, Space]], wanted: list[str]) -> None:
    held = {name: some(pair[1].points, 0) for name, pair in domains.items()}
    scale = {name: spread(points) for name, points in held.items()}
    print(f"\n### {site}\n\n| prior | fitted to | {' | '.join(domains)} | seconds |")
    print("|---|---|" + "---|" * (len(domains) + 1))
    for name, (learn, _) in domains.items():
        report("held-in points", name, some(learn.points, 1), held, scale, None)
    for label, domain, prior, seconds in fitted(domains, wanted):
        draws = prior.sample(DRAWS, generator=generator(0, "draws"))
        report(label, domain, draws, held, scale, seconds)


def fitted(
    domains: dict[str, tuple[Space, Space]], wanted: list[str]
) -> Iterator[tuple[str, str, Prior, float | None]]:
    gaussians: dict[str, Prior] = {}
    for label, (name, params) in FITTED.items():
        if wanted and name not in wanted:
            continue
        for domain, (learn, _) in domains.items():
            began = time.perf_counter()
            try:
                prior = pp.fit_prior(name, learn, seed=0, **params)
            except pp.InputError as error:
                print(f"| {label} | {domain} | refused: {str(error).splitlines()[0]} |")
                continue
            if label == "gaussian":
                gaussians[domain] = prior
            yield label, domain, prior, time.perf_counter() - began
    for name in PAIRS if {"C4", "arithmetic"} <= set(gaussians) else ():
        inner = {"first": gaussians["C4"], "second": gaussians["arithmetic"]}
        began = time.perf_counter()
        try:
            prior = pp.fit_prior(name, domains["C4"][0], **inner)
        except pp.InputError as error:
            print(f"| {name} | C4, arithmetic | refused: {str(error).splitlines()[0]} |")
            continue
        yield name, "C4, arithmetic", prior, time.perf_counter() - began


def report(
    label: str,
    domain: str,
    draws: torch.Tensor,
    held: dict[str, torch.Tensor],
    scale: dict[str, float],
    seconds: float | None,
) -> None:
    cells = [f"{energy_distance(draws, held[name]) / scale[name]:.3f}" for name in held]
    took = "" if seconds is None else f"{seconds:.1f}"
    print(f"| {label} | {domain} | {' | '.join(cells)} | {took} |", flush=True)


def halves(space: Space) -> tuple[Space, Space]:
    """A space split in two by its groups."""
    groups = torch.arange(len(space.points)) if space.groups is None else space.groups
    names = groups.unique()
    order = torch.randperm(len(names), generator=generator(0, "halves"))
    first = torch.isin(groups, names[order[: len(names) // 2]])
    return part(space, first), part(space, ~first)


def part(space: Space, rows: torch.Tensor) -> Space:
    kept = {
        name: value[rows]
        for name, value in space._asdict().items()
        if isinstance(value, torch.Tensor)
    }
    return space._replace(**kept)


def pair(stores: Path, name: str, site: str) -> tuple[Space, Space]:
    learn, held = (load_space(stores / folder, site) for folder in (name, f"{name}-held"))
    return learn, held


def some(points: torch.Tensor, seed: int) -> torch.Tensor:
    return points[torch.randperm(len(points), generator=generator(seed, "some"))[:DRAWS]].float()


def spread(points: torch.Tensor) -> float:
    """Mean distance between two different points."""
    return float(torch.pdist(points).mean())


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
