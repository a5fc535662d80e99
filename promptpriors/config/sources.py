"""Sources of points for priors and regularisers, parsed from ``space``."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from promptpriors.data import TASKS, choose_task
from promptpriors.errors import InputError, unknown
from promptpriors.paths import expand
from promptpriors.registry import Choice
from promptpriors.types import Site

SITE = re.compile(r"embed|final|normed|(encoder\.)?block\.\d+|encoder\.(final|normed)")
GRAMMAR = (
    "'vocabulary', 'tokens:TASK', 'SITE:TASK' (such as block.13:c4), 'site:TASK' (at each site its "
    "own), 'SITE:TASK:PATH' (data of one's own), 'store:DIR', 'runs:DIR', or a list of them"
)


class Source(NamedTuple):
    """Origin of points: vocabulary, a task's activations, a store, or earlier runs.

    Without a site it is the one at which the prior is drawn. ``name`` is that of a task (with its
    path, such as ``jsonl:my.jsonl``) or folder, ``text`` the source as a config writes it.
    """

    kind: Literal["vocabulary", "task", "store", "runs"]
    site: Site | None
    name: str
    text: str

    def at(self, site: Site) -> Site:
        """The site of the points for a prior that is drawn at ``site``."""
        return site if self.site is None else self.site


@dataclass(frozen=True)
class Sources:
    """Parsed ``space``: the sources whose points together are it, perhaps from a list of one."""

    parts: tuple[Source, ...]
    listed: bool = False

    def plain(self) -> str | list[str]:
        """The space as a config writes it."""
        return [source.text for source in self.parts] if self.listed else self.parts[0].text

    @property
    def is_vocabulary(self) -> bool:
        """True for the vocabulary alone."""
        return not self.listed and self.parts[0].kind == "vocabulary"

    @property
    def by_site(self) -> bool:
        """True if a source has other points at each site."""
        return any(source.site is None for source in self.parts)


def parse_space(space: str | list[str], of: str = "prior.space") -> Sources:
    """Parse the ``space`` of a config; messages name it by ``of``.

    Raises:
        InputError: for anything that is not in the grammar, and for an unknown task.
    """
    if isinstance(space, str):
        return Sources((_source(space, of),))
    if not space or len(set(space)) < len(space):
        raise InputError(f"{of} = {space!r}: expected spaces, each once")
    return Sources(tuple(_source(part, of) for part in space), listed=True)


def with_sources(choice: Choice, of: str = "prior.space") -> Choice:
    """Parse the space of a checked prior or regulariser and of the priors inside it.

    Raises:
        InputError: as ``parse_space``; for ``length_matched`` where it can't be done.
    """
    params: dict[str, Any] = {
        key: with_sources(value) if isinstance(value, Choice) else value
        for key, value in choice.params.items()
    }
    if "space" in params:
        params["space"] = parse_space(params["space"], of)
    if params.get("length_matched"):
        _check_matched(choice.name, params["space"], params["pool"])
    return replace(choice, params=params)


def nested_choices(choice: Choice) -> Iterator[Choice]:
    """Iterate over a prior's choice and those of the priors inside it."""
    yield choice
    for value in choice.params.values():
        if isinstance(value, Choice):
            yield from nested_choices(value)


def identified(choice: Choice, identity: Callable[[Source], str]) -> dict[str, Any]:
    """Write a choice with the identity of each source in place of its text."""
    found = choice.plain()
    for key, value in choice.params.items():
        if isinstance(value, Choice):
            found[key] = identified(value, identity)
        elif isinstance(value, Sources):
            found[key] = [identity(source) for source in value.parts]
    return found


def _source(text: str, of: str) -> Source:
    if text == "vocabulary":
        return Source("vocabulary", "embed", "", text)
    where, colon, name = text.partition(":")
    if where in ("store", "runs") and name:
        return Source(where, None, str(expand(name, f"{of} = {where}:")), text)
    site = {"tokens": "embed", "site": None}.get(where, where)
    if not colon or not (site is None or SITE.fullmatch(site)):
        raise InputError(f"{of} = {text!r}: expected {GRAMMAR}")
    task, _, path = name.partition(":")
    if task not in TASKS:
        raise unknown("task", task, TASKS)
    if path:
        task_at(name)
    return Source("task", site, name, text)


def task_at(name: str) -> Choice:
    """The task of a source, with its defaults, and its data at a path where one is given.

    >>> task_at("jsonl:my.jsonl").params["path"]
    'my.jsonl'

    Raises:
        InputError: for a task without a parameter ``path`` that is given one, or that needs one.
    """
    task, _, path = name.partition(":")
    try:
        return choose_task({"name": task, "path": path} if path else task)
    except InputError as error:
        hint = "" if path else f"; in a space such as 'block.13:{task}:PATH'"
        raise InputError(f"{error}{hint}") from None


def _check_matched(name: str, space: Sources, pool: str) -> None:
    kinds = [source.kind for source in space.parts]
    if len(kinds) < 2 or not {*kinds} <= {"task", "store"}:
        raise InputError(
            f"prior {name!r}: length_matched needs a list of at least two captured spaces,"
            f" such as ['block.13:c4', 'block.13:squad']; found {space.plain()!r}"
        )
    if pool == "mean":
        raise InputError(f"prior {name!r}: length_matched goes with pool = 'token'")
