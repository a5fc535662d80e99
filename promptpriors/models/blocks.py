"""Blocks of a model, called in another way for the length of a ``with``."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import nn

Forward = Callable[..., Any]
Reroute = Callable[[Forward], Forward]
"""From a block's forward to what is called in its place."""


@contextmanager
def rerouted(
    blocks: nn.ModuleList | list[nn.Module], routes: Mapping[int, Reroute]
) -> Iterator[None]:
    """Call ``routes[i](forward)`` in place of block i's forward; afterwards all is as before."""
    before = {i: blocks[i].__dict__.get("forward") for i in routes}
    try:
        for i, route in routes.items():
            blocks[i].__dict__["forward"] = route(blocks[i].forward)
        yield
    finally:
        for i, own in before.items():
            blocks[i].__dict__.pop("forward", None)
            if own is not None:  # a hook of accelerate's, which moves inputs between devices
                blocks[i].__dict__["forward"] = own


def skip(forward: Forward) -> Forward:  # noqa: ARG001 what is skipped
    """A block that does nothing."""

    def identity(hidden: Any, *_: Any, **__: Any) -> Any:
        return hidden

    return identity


def replace_input(value: Any) -> Reroute:
    """A block that reads ``value`` in place of what comes from below."""

    def route(forward: Forward) -> Forward:
        return lambda _, *args, **kwargs: forward(value, *args, **kwargs)

    return route
