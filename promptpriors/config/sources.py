"""What the ``space`` of a prior or regulariser may say, and which sites of which tasks it needs."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from promptpriors.data import TASKS
from promptpriors.errors import InputError, unknown
from promptpriors.registry import Choice
from promptpriors.types import Site

SITE = re.compile(r"embed|final|normed|(encoder\.)?block\.\d+|encoder\.(final|normed)")
GRAMMAR = (
    "'vocabulary', 'tokens:TASK', 'SITE:TASK' (such as block.13:c4), 'site:TASK' (at each site its "
    "own), 'store:DIR', 'runs:DIR', or a list of them"
)


class Source(NamedTuple):
    """One cloud of points that a prior is fitted to.

    Attributes:
        kind: where the points come from.
        site: where in the network; None for the site at which the prior is drawn.
        name: of the task or folder.
    """

    kind: Literal["vocabulary", "task", "store", "runs"]
    site: Site | None
    name: str

    def at(self, site: Site) -> Site:
        """The site whose points are meant when a prior is drawn at ``site``."""
        return site if self.site is None else self.site


def sources(space: str | list[str], of: str = "prior.space") -> list[Source]:
    """The clouds whose union a ``space`` is.

    Args:
        space: as a config says it.
        of: whose it is, for messages.

    Raises:
        InputError: for anything that is not in the grammar, and for an unknown task.
    """
    if not isinstance(space, str):
        if not space or len(set(space)) < len(space):
            raise InputError(f"{of} = {space!r}: expected spaces, each once")
        return [source for part in space for source in sources(part, of)]
    if space == "vocabulary":
        return [Source("vocabulary", "embed", "")]
    where, colon, name = space.partition(":")
    if where in {"store", "runs"} and name:
        return [Source("store" if where == "store" else "runs", None, name)]
    site = {"tokens": "embed", "site": None}.get(where, where)
    if not colon or not (site is None or SITE.fullmatch(site)):
        raise InputError(f"{of} = {space!r}: expected {GRAMMAR}")
    if name not in TASKS:
        raise unknown("task", name, TASKS)
    return [Source("task", site, name)]


def inside(choice: Choice) -> Iterator[Choice]:
    """A prior's choice and those of the priors inside it."""
    yield choice
    for value in choice.params.values():
        if isinstance(value, Choice):
            yield from inside(value)


def check_spaces(choice: Choice) -> None:
    """Refuse a space that can't be, before any model is loaded.

    Raises:
        InputError: as ``sources``; for ``length_matched`` where it can't be done.
    """
    for part in inside(choice):
        found = sources(part.params["space"])
        captured = all(source.kind in {"task", "store"} for source in found)
        if part.params["length_matched"] and not (captured and len(found) > 1):
            raise InputError(
                f"prior {part.name!r}: length_matched needs a list of at least two captured spaces,"
                f" such as ['block.13:c4', 'block.13:squad']; found {part.params['space']!r}"
            )
        if part.params["length_matched"] and part.params["pool"] == "mean":
            raise InputError(f"prior {part.name!r}: length_matched goes with pool = 'token'")


def differs_by_site(choice: Choice) -> bool:
    """Whether the prior that is fitted depends on the site at which it is drawn."""
    return any(
        part.name == "text" or any(source.site is None for source in sources(part.params["space"]))
        for part in inside(choice)
    )


def identified(prior: Mapping[str, Any], identity: Any) -> dict[str, Any]:
    """A prior's plain config with ``identity(space)`` in place of each space."""
    found: dict[str, Any] = {}
    for key, value in prior.items():
        if key == "space":
            parts = [value] if isinstance(value, str) else value
            found[key] = [identity(part) for part in parts]
        else:
            found[key] = identified(value, identity) if isinstance(value, Mapping) else value
    return found
