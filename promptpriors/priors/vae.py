"""Draws of a variational autoencoder of the space's points, one that does not collapse.

The paper's (section 4.6) collapses. Here the points are whitened first, each latent unit has nats
that cost nothing (free bits, Kingma et al. 2016), the decoder's variance is learned, and draws come
from the aggregate posterior of the training points instead of N(0, I).
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Generator, Tensor
from torch.nn.functional import silu

from promptpriors.errors import InputError
from promptpriors.geometry import axes_of, moments
from promptpriors.registry import Field
from promptpriors.types import Space

MIN_POINTS = 20
RATE, BATCH = 1e-3, 256
LARGEST = 1.0  # norm of a step's gradient, per root of the dimensions: some points lie far out
BOUND = 8.0  # log-variances of the encoder stay within ± this
ACTIVE = 0.02  # nats from which on a latent unit counts as used


@dataclass(frozen=True)
class Network:
    """A linear map beside a hidden layer: x·straight + silu(x·into + shift)·out + bias."""

    straight: Float[Tensor, "i o"]
    into: Float[Tensor, "i hidden"]
    shift: Float[Tensor, " hidden"]
    out: Float[Tensor, "hidden o"]
    bias: Float[Tensor, " o"]

    def __call__(self, x: Float[Tensor, "n i"]) -> Float[Tensor, "n o"]:
        """The outputs."""
        return x @ self.straight + silu(x @ self.into + self.shift) @ self.out + self.bias

    def parameters(self) -> list[Tensor]:
        """Parameters that are trained."""
        return [self.straight, self.into, self.shift, self.out, self.bias]


@dataclass(frozen=True)
class Vae:
    """x = μ + D·(decoder(z) + σ ε) with z ~ q(z|y) of a random training point y.

    Attributes:
        encoder: from whitened points to the mean and log-variance of each latent unit.
        decoder: from latent units to whitened points.
        log_variance: of the decoder, per whitened coordinate.
        mean: μ, of the training points.
        colour: D, from whitened coordinates back.
        codes: training points, whitened, whose posteriors are drawn from.
        active: latent units that are used.
    """

    encoder: Network
    decoder: Network
    log_variance: Float[Tensor, " rank"]
    mean: Float[Tensor, " dim"]
    colour: Float[Tensor, "rank dim"]
    codes: Float[Tensor, "m rank"]
    active: int

    def sample(self, n: int, *, generator: Generator) -> Float[Tensor, "n dim"]:
        """Draw ``n`` vectors."""
        centres = self.means(n, generator=generator)
        noise = torch.randn(n, len(self.colour), generator=generator)
        return centres + noise * (self.log_variance / 2).exp() @ self.colour

    @torch.no_grad()
    def means(self, n: int, *, generator: Generator) -> Float[Tensor, "n dim"]:
        """The decoder's means of ``n`` draws, without its noise."""
        rows = torch.randint(len(self.codes), (n,), generator=generator)
        centre, spread = _posterior(self.encoder, self.codes[rows])
        noise = torch.randn(centre.shape, generator=generator)
        return self.mean + self.decoder(centre + noise * (spread / 2).exp()) @ self.colour

    def report(self) -> dict[str, float]:
        """``active``: latent units used; ``noise``: mean variance of the decoder, of 1."""
        return {"active": float(self.active), "noise": float(self.log_variance.exp().mean())}


def fit(
    space: Space,
    *,
    generator: Generator,
    hidden: Annotated[int, Field(ge=1)] = 256,
    free_bits: Annotated[float, Field(ge=0)] = 1.0,
    epochs: Annotated[int, Field(ge=1)] = 15,
    points: Annotated[int, Field(ge=1)] = 100_000,
) -> Vae:
    """Train the autoencoder with Adam on whitened points.

    Args:
        space: the points.
        generator: of the start, the order and the noise.
        hidden: width of the hidden layers; there are as many latent units as the points have
            dimensions.
        free_bits: nats a latent unit that cost nothing; more follow the data more closely, up to
            repeating them, and none collapse.
        epochs: passes over the points.
        points: at most so many, drawn at random.

    Raises:
        InputError: for fewer than 20 points.
    """
    if len(space.points) < MIN_POINTS:
        raise InputError(
            f"prior 'vae' needs at least {MIN_POINTS} points, found {len(space.points)}; capture "
            "more examples, or take gaussian with shrinkage = 'oas'"
        )
    order = torch.randperm(len(space.points), generator=generator)[:points]
    some = space.points[order].float()
    found = moments(some)
    deviations, axes = axes_of(found.covariance, eps=torch.finfo(torch.float32).eps)
    white = ((some.double() - found.mean) @ (axes / deviations)).float()
    rank = white.shape[1]
    encoder = _network(rank, 2 * rank, hidden, generator)
    decoder = _network(rank, rank, hidden, generator)
    encoder.bias[rank:] = -1.0
    noise = torch.full((rank,), -1.0)
    kl = _train(white, encoder, decoder, noise, free_bits, epochs, generator)
    trained = [*encoder.parameters(), *decoder.parameters(), noise]
    if not all(bool(torch.isfinite(tensor).all()) for tensor in trained):
        raise InputError(
            f"prior 'vae' diverged on the points at {space.site!r}, some of which lie too far out; "
            "take fewer epochs, or leave first tokens out"
        )
    colour = (axes * deviations).T.float().contiguous()
    active = int((kl > ACTIVE).sum())
    return Vae(encoder, decoder, noise, found.mean.float(), colour, white, active)


def _network(inner: int, outer: int, hidden: int, generator: Generator) -> Network:
    """Near to a scaled identity; the hidden layer begins with little to say."""
    return Network(
        0.7 * torch.eye(inner, outer),
        torch.randn(inner, hidden, generator=generator) / inner**0.5,
        torch.zeros(hidden),
        0.01 * torch.randn(hidden, outer, generator=generator),
        torch.zeros(outer),
    )


def _posterior(encoder: Network, x: Float[Tensor, "n rank"]) -> tuple[Tensor, Tensor]:
    """Mean and log-variance of each latent unit."""
    centre, spread = encoder(x).chunk(2, dim=1)
    return centre, spread.clamp(-BOUND, BOUND)


def _train(
    white: Tensor,
    encoder: Network,
    decoder: Network,
    noise: Tensor,
    free: float,
    epochs: int,
    generator: Generator,
) -> Float[Tensor, " rank"]:
    """Minimise −ELBO with free bits; the last batch's KL of each unit."""
    parameters = [*encoder.parameters(), *decoder.parameters(), noise]
    for tensor in parameters:
        tensor.requires_grad_()
    optimiser = torch.optim.Adam(parameters, lr=RATE)
    total = epochs * -(-len(white) // BATCH)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=RATE, total_steps=total + 1)
    kl = torch.zeros(white.shape[1])
    for _ in range(epochs):
        for rows in torch.randperm(len(white), generator=generator).split(BATCH):
            x = white[rows]
            centre, spread = _posterior(encoder, x)
            draw = torch.randn(centre.shape, generator=generator)
            out = decoder(centre + draw * (spread / 2).exp())
            error = ((x - out).square() * (-noise).exp() + noise).sum(dim=1).mean() / 2
            kl = (centre.square() + spread.exp() - spread - 1).mean(dim=0) / 2
            optimiser.zero_grad()
            (error + kl.clamp_min(free).sum()).backward()
            torch.nn.utils.clip_grad_norm_(parameters, LARGEST * white.shape[1] ** 0.5)
            optimiser.step()
            rates.step()
    for tensor in parameters:
        tensor.requires_grad_(False)
    return kl.detach()
