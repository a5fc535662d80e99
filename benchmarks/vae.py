"""Does the autoencoder's prior lie nearer to held-out activations than the fitted Gaussian's?

    python benchmarks/vae.py STORES [squad] [articles] [c4] [union]

STORES holds the stores that docs/results/priors.md says how to capture; the site is the input of
SmolLM2's last block. Documents are halved: ``squad`` by paragraph, ``articles`` SQuAD's train part
against articles of its dev part, ``c4`` by document, ``union`` C4 with arithmetic questions. Each
prior is fitted to one half and judged by the other: energy distance, the area under the curve of a
classifier (median of five splits by document, least and most), effective rank over that of the held
points, and the median distance to the nearest fitted point over that of held points. For
autoencoders the rank is that of decoder means. The first row is the held half against itself, two
halves of its documents.

The naive autoencoder is the paper's as far as it can be known: neither whitened nor scaled by
coordinate, first tokens kept, KL and a fixed variance, sampled from N(0, I).
"""

import sys
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

import promptpriors as pp
from promptpriors.activations import join, load_space
from promptpriors.analysis.spread import effective_rank, scale_of
from promptpriors.analysis.two_sample import classifier_auc, energy_distance
from promptpriors.geometry import neighbour_distance, rms
from promptpriors.priors.vae import Vae
from promptpriors.rng import generator
from promptpriors.types import Space

SITE = "block.29"
DRAWS, POINTS, REFERENCE = 4000, 5000, 20_000
NAIVE = {"latent": 64, "hidden": 256, "steps": 4000, "batch": 256}


class Cloud(NamedTuple):
    """Points and the document of each; None where each is its own."""

    points: Tensor
    groups: Tensor | None


def main(stores: Path, wanted: list[str]) -> None:
    torch.set_num_threads(2)
    for name in wanted or ["squad", "articles", "c4", "union"]:
        learn, held = domain(stores, name, first=False)
        kept, _ = domain(stores, name, first=True)
        judge(name, learn, held, kept)


def domain(stores: Path, name: str, *, first: bool) -> tuple[Space, Space]:
    """What a domain's priors are fitted to, and what they are judged by."""

    def load(folder: str) -> Space:
        return load_space(stores / folder, SITE, first=first)

    if name == "articles":
        return load("squad"), load("squad-held")
    if name == "squad":
        return halves(join([load("squad"), load("squad-held")]))
    if name == "c4":
        return halves(load("c4"))
    pairs = [halves(load("c4")), halves(load("mathematics"))]
    return join([one for one, _ in pairs]), join([other for _, other in pairs])


def halves(space: Space, seed: int = 0) -> tuple[Space, Space]:
    groups = space.groups if space.groups is not None else torch.arange(len(space.points))
    names = groups.unique()
    order = torch.randperm(len(names), generator=generator(seed, "halves"))
    first = torch.isin(groups, names[order[: len(names) // 2]])
    parts = [Space(space.site, space.points[rows], groups=groups[rows]) for rows in (first, ~first)]
    return parts[0], parts[1]


def judge(name: str, learn: Space, held: Space, kept: Space) -> None:
    documents = [len(space.groups.unique()) for space in (learn, held) if space.groups is not None]
    print(f"\n### {name}: {documents[0]} and {documents[1]} documents, ", end="")
    print(f"{len(learn.points)} and {len(held.points)} points\n")
    print("| draws | energy distance | AUC (least–most) | rank | nearest |\n|---|---|---|---|---|")
    one, other = halves(held, 1)
    row("held-out against held-out", some(one, 1), some(other, 2), learn)
    row("resampled points", some(learn, 3), some(held, 0), learn)
    for label, prior in (
        ("gaussian", pp.fit_prior("gaussian", learn)),
        ("vae", pp.fit_prior("vae", learn, seed=0)),
    ):
        draws = prior.sample(POINTS, generator=generator(0, "draws"))
        means = draws
        if isinstance(prior, Vae):
            means = prior.means(POINTS, generator=generator(0, "means"))
        row(label, Cloud(draws, None), some(held, 0), learn, means)
    draws = naive(kept.points.float())
    row("naive vae", Cloud(draws, None), some(held, 0), learn)


def row(label: str, x: Cloud, y: Cloud, learn: Space, means: Tensor | None = None) -> None:
    auc = classifier_auc(
        x.points, y.points, x.groups, y.groups, generator=generator(0, "auc"), points=POINTS
    )
    scale = scale_of(learn.points.float())
    wide = effective_rank(x.points if means is None else means, scale=scale)
    order = torch.randperm(len(learn.points), generator=generator(0, "reference"))[:REFERENCE]
    reference = learn.points[order].float()
    near = [neighbour_distance(part[:1000], reference) for part in (x.points, y.points)]
    if label == "resampled points":  # a point that is its own reference is as near as can be
        near[0] = near[0][near[0] > 0]
    print(
        f"| {label} | {energy_distance(x.points[:DRAWS], y.points[:DRAWS]):.3f} | {auc.median:.3f} "
        f"({min(auc.values):.3f}–{max(auc.values):.3f}) | "
        f"{wide / effective_rank(y.points, scale=scale):.2f} | "
        f"{float(near[0].median() / near[1].median()):.2f} |",
        flush=True,
    )


def some(space: Space, seed: int) -> Cloud:
    """Points at random, with their documents."""
    rows = torch.randperm(len(space.points), generator=generator(seed, "some"))[:POINTS]
    groups = None if space.groups is None else space.groups[rows]
    return Cloud(space.points[rows].float(), groups)


def naive(points: Tensor) -> Tensor:
    """Draws of the naive autoencoder, in the points' own units."""
    size, dim = rms(points), points.shape[1]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = nn.Sequential(
            nn.Linear(dim, NAIVE["hidden"]),
            nn.ReLU(),
            nn.Linear(NAIVE["hidden"], 2 * NAIVE["latent"]),
        )
        decoder = nn.Sequential(
            nn.Linear(NAIVE["latent"], NAIVE["hidden"]), nn.ReLU(), nn.Linear(NAIVE["hidden"], dim)
        )
        optimiser = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-3)
        for _ in range(NAIVE["steps"]):
            x = points[torch.randint(len(points), (NAIVE["batch"],))] / size
            mean, spread = encoder(x).chunk(2, dim=1)
            out = decoder(mean + torch.randn_like(mean) * (spread / 2).exp())
            kl = (mean.square() + spread.exp() - spread - 1).sum(dim=1).mean() / 2
            optimiser.zero_grad()
            ((x - out).square().sum(dim=1).mean() / 2 + kl).backward()
            optimiser.step()
        with torch.no_grad():
            return decoder(torch.randn(POINTS, NAIVE["latent"])) * size


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
