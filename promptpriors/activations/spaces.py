"""Stores as spaces: the points of a site, chosen tokens or means, one domain or several alike."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from promptpriors.activations.chains import chain_sums
from promptpriors.activations.store import Store
from promptpriors.activations.texts import ROLES, SPECIAL
from promptpriors.errors import InputError, unknown
from promptpriors.geometry import Moments, merge, moments
from promptpriors.rng import generator
from promptpriors.types import Site, Space

Pool = Literal["token", "mean"]


def load_space(
    store: str | Path | Store,
    site: Site,
    *,
    pool: Pool = "token",
    first: bool = False,
    roles: Collection[str] | None = None,
    points: int | None = None,
    seed: int = 0,
) -> Space:
    """The activations of a site as a space.

    Args:
        store: a folder of ``promptpriors capture``, or a Store.
        site: one that was captured.
        pool: a point a token, or the mean of each example.
        first: whether first tokens count, which are attention sinks and far from all others. (A
            store of means was told when it was written that they do not.)
        roles: which tokens count, of ``text context question answer special``; None: all but the
            special ones.
        points: at most so many, drawn at random; None: all, in the order of the texts.
        seed: of that draw.

    Returns:
        A space whose groups are documents; float32. One point a token: what a document's texts
        share counts once. One point an example: its mean over the tokens that count.

    Raises:
        InputError: for a folder that is no store, a site or tokens that it does not have.
    """
    store = store if isinstance(store, Store) else Store(store)
    counts = _counting(first, roles)
    stored = store.manifest["what"] == "mean"
    if stored and (pool != "mean" or roles is not None or first):
        raise InputError(
            f"store {store.folder} holds the mean of each example; take pool = 'mean' without "
            "roles or first tokens, or capture what = 'tokens'"
        )
    if pool == "mean":
        return _means(store, site, None if stored else counts)
    kept = [counts(part) for part in store.parts("position", "role")]
    chosen = _choose(kept, points, seed)
    names = (f"site/{site}", "document", "position", "token")
    found = [
        [part[name][rows] for name in names]
        for part, rows in zip(store.parts(*names), chosen, strict=True)
    ]
    states, groups, positions, tokens = map(torch.cat, zip(*found, strict=True))
    if not len(states):
        raise InputError(f"store {store.folder} has no tokens of the roles {_listed(roles)}")
    return Space(
        site, states.float(), groups=groups.long(), positions=positions.long(), tokens=tokens.long()
    )


def moments_of(
    store: str | Path | Store,
    site: Site,
    *,
    first: bool = False,
    roles: Collection[str] | None = None,
) -> Moments:
    """Mean and covariance of a site's tokens in float64, a shard at a time and merged.

    Args:
        store: as for ``load_space``.
        site: one that was captured.
        first: as for ``load_space``.
        roles: as for ``load_space``.

    Raises:
        InputError: as ``load_space``; for a store of means.
    """
    store = store if isinstance(store, Store) else Store(store)
    counts, total = _counting(first, roles), None
    if store.manifest["what"] == "mean":
        raise InputError(f"store {store.folder} holds means; moments are those of tokens")
    for part in store.parts(f"site/{site}", "position", "role"):
        rows = part[f"site/{site}"][counts(part)]
        if len(rows):
            found = moments(rows.float())
            total = found if total is None else merge(total, found)
    if total is None:
        raise InputError(f"store {store.folder} has no tokens of the roles {_listed(roles)}")
    return total


def join(spaces: Sequence[Space]) -> Space:
    """The union of several clouds; their groups stay apart.

    Raises:
        InputError: if they have different widths.
    """
    widths = {space.site: space.points.shape[1] for space in spaces}
    if len(set(widths.values())) > 1:
        said = ", ".join(f"{width} at {site}" for site, width in widths.items())
        raise InputError(f"spaces of different widths can't be joined: {said}")
    if len(spaces) == 1:
        return spaces[0]
    groups, offset = [], 0
    for space in spaces:
        own = torch.arange(len(space.points)) if space.groups is None else space.groups
        groups.append(own + offset)
        offset += int(own.max()) + 1
    return Space(
        " + ".join(dict.fromkeys(space.site for space in spaces)),
        torch.cat([space.points for space in spaces]),
        groups=torch.cat(groups),
        positions=_together([space.positions for space in spaces]),
        tokens=_together([space.tokens for space in spaces]),
    )


def _together(parts: Sequence[Tensor | None]) -> Tensor | None:
    known = [part for part in parts if part is not None]
    return torch.cat(known) if len(known) == len(parts) else None


def _listed(roles: Collection[str] | None) -> str:
    return "any" if roles is None else ", ".join(roles)


def _counting(
    first: bool, roles: Collection[str] | None
) -> Callable[[dict[str, Tensor]], Bool[Tensor, " row"]]:
    """Which rows of a shard count."""
    for role in roles or ():
        if role not in ROLES:
            raise unknown("role", role, ROLES)
    wanted = [ROLES.index(role) for role in (roles or ROLES) if roles or role != ROLES[SPECIAL]]

    def counts(part: dict[str, Tensor]) -> Tensor:
        return torch.isin(part["role"], torch.tensor(wanted)) & ((part["position"] > 0) | first)

    return counts


def _choose(kept: Sequence[Tensor], points: int | None, seed: int) -> list[Int[Tensor, " rows"]]:
    """Rows by shard: all that count, or so many of them at random."""
    rows = [mask.nonzero()[:, 0] for mask in kept]
    total = sum(map(len, rows))
    if points is None or points >= total:
        return rows
    drawn = torch.randperm(total, generator=generator(seed, "points"))[:points]
    chosen = torch.zeros(total, dtype=torch.bool)
    chosen[drawn] = True
    masks = chosen.split([len(part) for part in rows])
    return [part[mask] for part, mask in zip(rows, masks, strict=True)]


def _means(store: Store, site: Site, counts: Callable[[dict[str, Tensor]], Tensor] | None) -> Space:
    """A point an example; without ``counts`` as the store holds them."""
    means, groups = [], []
    names = ("count",) if counts is None else ("position", "role", "before", "last")
    for part in store.parts(f"site/{site}", "document", *names):
        points, documents = part[f"site/{site}"].float(), part["document"]
        if counts is None:
            sizes = part["count"]
        else:
            kept, last = counts(part)[:, None].float(), part["last"].long()
            both = torch.cat([points * kept, kept], dim=1)
            sums = chain_sums(both, part["before"], part["position"])[last]
            points, sizes, documents = sums[:, :-1] / sums[:, -1:], sums[:, -1], documents[last]
        means.append(points[sizes > 0])
        groups.append(documents[sizes > 0])
    points = torch.cat(means)
    if not len(points):
        raise InputError(f"store {store.folder} has no example with tokens that count")
    return Space(site, points, groups=torch.cat(groups).long())
