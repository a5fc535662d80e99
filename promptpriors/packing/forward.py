"""One call of the frozen model on a packed row, and one on a prompt alone.

Whatever stands before the text reaches it as keys and values, block by block: the *prefix*. A
prompt stands first and sees no text, so its keys and values are computed once, by a call of its own
on its few rows, and the text's call is the same for every way to insert a prompt. Rows at the input
may as well run in front of the text in the same call, which is faster than two.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from promptpriors.models import Backbone
from promptpriors.models.blocks import Forward, Reroute, replace_input, rerouted, skip
from promptpriors.models.sites import observed
from promptpriors.packing.attention import AttentionContext, RunOutcome, entered
from promptpriors.packing.kernels import Prefix
from promptpriors.packing.row import Row
from promptpriors.packing.tree import Tree, tree_of
from promptpriors.types import Site

Prefixes = Mapping[int, Prefix]
"""By block: keys and values that stand before the text, at the positions from 0."""


class Entry(NamedTuple):
    """Where a text's call begins when the blocks below were computed before.

    Attributes:
        block: the first block that is computed.
        hidden: what enters it, a row a token.
    """

    block: int
    hidden: Float[Tensor, "row dim"]


def logits_of(
    backbone: Backbone,
    row: Row,
    prefixes: Prefixes,
    *,
    shift: int,
    root: Float[Tensor, "before dim"] | None = None,
    entry: Entry | None = None,
    checkpointing: bool = False,
) -> Float[Tensor, "reads vocab"]:
    """Logits at the row's read positions.

    Args:
        backbone: the frozen model.
        row: the packed row.
        prefixes: what stands before the text.
        shift: the position of a text's first token.
        root: rows at the input that stand before every text and run through all blocks with it.
        entry: to begin above the first blocks.
        checkpointing: keep only what enters each block and compute it again in the backward pass.
    """
    before = 0 if root is None else len(root)
    read = before + row.read
    tree = tree_of(row, shift=shift, before=before)
    blocks = range(entry.block if entry else 0, len(backbone.blocks))
    routes: dict[int, list[Reroute]] = {i: [] for i in blocks}
    if blocks and 0 < len(read) < len(tree.keys):
        asking = tree_of(row, shift=shift, before=before, queries=read)
        routes[blocks[-1]].append(_only(read, asking))
    if checkpointing:
        for i in blocks:
            routes[i].append(_checkpointed(backbone.model))
    if entry is None:
        embedded = backbone.embed(row.tokens)
        rows = embedded if root is None else torch.cat([root.to(backbone.device), embedded])
        hidden = rows.to(backbone.dtype)[None]
    else:
        hidden = entry.hidden.to(backbone.device, backbone.dtype)[None]
        routes[entry.block].append(replace_input(hidden))
        routes |= {i: [skip] for i in range(entry.block)}
    with _called(backbone, routes):
        return backbone.model(
            inputs_embeds=hidden,
            position_ids=tree.queries[None].to(backbone.device),
            use_cache=False,
            logits_to_keep=read.to(backbone.device),
            tree=AttentionContext(tree, prefixes, backbone.kernel),
        ).logits[0]


def states_of(
    backbone: Backbone,
    row: Row,
    sites: Collection[Site],
    *,
    prefixes: Prefixes,
    shift: int,
    root: Float[Tensor, "before dim"] | None = None,
) -> dict[Site, Float[Tensor, "all dim"]]:
    """What passes some sites, in one call that stops at the last of them.

    Args:
        backbone: the frozen model.
        row: the packed row.
        sites: of ``backbone.sites``.
        prefixes: what stands before the text.
        shift: the position of a text's first token.
        root: rows at the input that stand before every text.

    Returns:
        By site a row for each row of ``root`` and then for each token.
    """
    embedded = backbone.embed(row.tokens)
    before = 0 if root is None else len(root)
    hidden = embedded if root is None else torch.cat([root.to(backbone.device), embedded])
    found = {"embed": hidden} if "embed" in sites else {}
    if set(sites) == {"embed"}:
        return found
    tree = tree_of(row, shift=shift, before=before)
    with entered(backbone.model), observed(backbone.model, sites) as passed:
        backbone.model(
            inputs_embeds=hidden.to(backbone.dtype)[None],
            position_ids=tree.queries[None].to(backbone.device),
            use_cache=False,
            logits_to_keep=1,
            tree=AttentionContext(tree, prefixes, backbone.kernel),
        )
    return found | {site: value[0] for site, value in passed.items()}


def prefixes_of(
    backbone: Backbone,
    start: Float[Tensor, "rows dim"],
    inputs: Mapping[int, Float[Tensor, "p dim"]],
    *,
    skipped: Collection[int] = (),
) -> dict[int, Prefix]:
    """Keys and values of a prompt's rows, in every block that is not skipped.

    Args:
        backbone: the frozen model.
        start: rows at the input of the model.
        inputs: by block, what replaces the last rows of what comes from below.
        skipped: blocks that are not computed.
    """
    length = len(start)
    positions = torch.arange(length)
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    record: dict[int, Prefix] = {}
    tree = Tree(causal, positions, positions, torch.zeros_like(positions))
    routes: dict[int, list[Reroute]] = {i: [skip] for i in skipped}
    routes |= {i: [_replaced(value)] for i, value in inputs.items()}
    with _called(backbone, routes):
        backbone.model(
            inputs_embeds=start.to(backbone.device, backbone.dtype)[None],
            position_ids=positions[None].to(backbone.device),
            use_cache=False,
            logits_to_keep=1,
            tree=AttentionContext(tree, kernel=backbone.kernel, record=record),
        )
    return record


def _replaced(value: Float[Tensor, "p dim"]) -> Reroute:
    """A block that reads ``value`` in place of the last rows of what comes from below."""

    def route(forward: Forward) -> Forward:
        def replaced(hidden: Tensor, *args: Any, **kwargs: Any) -> Any:
            kept = hidden[:, : hidden.shape[1] - len(value)]
            return forward(torch.cat([kept, value.to(hidden)[None]], dim=1), *args, **kwargs)

        return replaced

    return route


@contextmanager
def _called(backbone: Backbone, routes: Mapping[int, list[Reroute]]) -> Iterator[None]:
    """The model with our attention and with some blocks called in other ways, innermost first."""
    with ExitStack() as stack:
        stack.enter_context(entered(backbone.model))
        for depth in range(max(map(len, routes.values()), default=0)):
            layer = {i: ways[depth] for i, ways in routes.items() if depth < len(ways)}
            stack.enter_context(rerouted(backbone.blocks, layer))
        yield


def _only(read: Int[Tensor, " reads"], tree: Tree) -> Reroute:
    """The last block for the rows that are read alone; of the others it needs keys and values.

    What it returns has all rows, zero where nobody reads, so that what follows stays as it is.
    """

    def route(forward: Forward) -> Forward:
        few = tree

        def pruned(hidden: Tensor, *args: Any, tree: AttentionContext, **kwargs: Any) -> Any:
            quick, record = tree.recording()
            with suppress(RunOutcome):
                forward(hidden, *args, tree=quick, **kwargs)
            (given,) = record.values()
            some, args, kwargs = _rows((hidden, args, kwargs), hidden.shape[1], read)
            asking = AttentionContext(few, tree.prefix, tree.kernel, given=given)
            out = forward(some, *args, tree=asking, **kwargs)
            return out.new_zeros(hidden.shape).index_copy(1, read.to(out.device), out)

        return pruned

    return route


def _rows(value: Any, length: int, rows: Tensor) -> Any:
    """``value`` with the chosen rows of every tensor in it that has one a token."""
    if isinstance(value, Tensor):
        chosen = value.ndim > 1 and value.shape[:2] == (1, length)
        return value[:, rows.to(value.device)] if chosen else value
    if isinstance(value, dict):
        return {key: _rows(inner, length, rows) for key, inner in value.items()}
    if isinstance(value, tuple):
        return tuple(_rows(inner, length, rows) for inner in value)
    return value


def _checkpointed(model: Any) -> Reroute:
    """A block that keeps its input alone; computed again after the call, it enters as in it."""

    def route(forward: Forward) -> Forward:
        def computed(*args: Any, **kwargs: Any) -> Any:
            with entered(model):
                return forward(*args, **kwargs)

        def kept(hidden: Tensor, *args: Any, **kwargs: Any) -> Any:
            return checkpoint(computed, hidden, *args, use_reentrant=False, **kwargs)

        return kept

    return route
