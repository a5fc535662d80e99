"""One call of the frozen model on a packed row, and one on a prompt alone.

Whatever stands before the text reaches it as keys and values, block by block: the *prefix*. A
prompt stands first and sees no text, so its keys and values are computed once, by a call of its own
on its few rows, and the text's call is the same for every way to insert a prompt. Rows at the input
may as well run in front of the text in the same call, which is faster than two.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial, reduce
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from promptpriors.models import Backbone
from promptpriors.models.sites import observed
from promptpriors.packing.attention import AttentionContext, RunOutcome, entered
from promptpriors.packing.decoding import Decoder
from promptpriors.packing.kernels import KERNELS, Kernel, Prefix
from promptpriors.packing.row import Row
from promptpriors.packing.tree import Tree, causal, tree_of
from promptpriors.types import Site

Prefixes = Mapping[int, Prefix]
"""By block: keys and values that stand before the text, at the positions from 0."""
Forward = Callable[..., Any]
Reroute = Callable[..., Any]
"""Called in place of a block's forward, with it as first argument."""


class Entry(NamedTuple):
    """Start of a text's call when the blocks below were computed before.

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
        routes[blocks[-1]].append(_only(read, tree.asked_by(read)))
    if checkpointing:
        for i in blocks:
            routes[i].append(_checkpointed(backbone.model))
    hidden = embedded(backbone, row, root) if entry is None else entry.hidden
    if entry is not None:
        routes[entry.block].append(_replaced(hidden))
        routes |= {i: [_skipped] for i in range(entry.block)}
    reads = read.to(backbone.device)
    given = {"tokens": row.tokens, "routes": routes, "logits_to_keep": reads}
    return call(backbone, hidden, tree, prefixes, **given).logits[0]


def states_of(
    backbone: Backbone,
    row: Row,
    sites: Collection[Site],
    *,
    prefixes: Prefixes,
    shift: int,
    root: Float[Tensor, "before dim"] | None = None,
) -> dict[Site, Float[Tensor, "all dim"]]:
    """Activations at some sites, in one call that stops at the last of them.

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
    hidden = embedded(backbone, row, root)
    found = {"embed": hidden} if "embed" in sites else {}
    if set(sites) == {"embed"}:
        return found
    tree = tree_of(row, shift=shift, before=len(hidden) - len(row.tokens))
    with observed(backbone.model, sites) as passed:
        call(backbone, hidden, tree, prefixes, tokens=row.tokens)
    return found | {site: value[0] for site, value in passed.items()}


def embedded(backbone: Backbone, row: Row, root: Tensor | None) -> Float[Tensor, "all dim"]:
    """Input embeddings of a row, behind what stands before it."""
    rows = backbone.embed(row.tokens)
    return rows if root is None else torch.cat([root.to(backbone.device), rows])


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
    routes = {i: [_skipped] for i in skipped} | {i: [_replaced(v)] for i, v in inputs.items()}
    record: dict[int, Prefix] = {}
    call(backbone, start, causal(len(start)), {}, routes=routes, record=record)
    return record


def call(
    backbone: Backbone,
    hidden: Float[Tensor, "rows dim"],
    tree: Tree | Decoder,
    prefixes: Prefixes,
    *,
    tokens: Int[Tensor, " n"] | None = None,
    routes: Mapping[int, Sequence[Reroute]] | None = None,
    kernel: Kernel | None = None,
    record: dict[int, Prefix] | None = None,
    **more: Any,
) -> Any:
    """Call the model on rows at its input; ``prefixes`` stand before all that the tree shows them.

    The last rows are those of ``tokens``. Some blocks may be called on other ``routes``, and
    another ``kernel`` may compute attention than the backbone's; ``record`` is filled with keys and
    values by block. ``more`` are keywords of the model, besides or in place of ours.
    """
    used = kernel or KERNELS[backbone.kernel]
    ids = torch.zeros(0, dtype=torch.long) if tokens is None else tokens
    beside = backbone.beside(ids[None], before=len(hidden) - len(ids))
    with entered(backbone.model), _rerouted(backbone.blocks, routes or {}):
        return backbone.model(
            inputs_embeds=hidden.to(backbone.device, backbone.dtype)[None],
            position_ids=tree.queries[None].to(backbone.device),
            tree=AttentionContext(tree, prefixes, used, record),
            **{"use_cache": False, "logits_to_keep": 1, **beside, **more},
        )


@contextmanager
def _rerouted(
    blocks: Sequence[nn.Module], routes: Mapping[int, Sequence[Reroute]]
) -> Iterator[None]:
    """Blocks called in other ways, the first of them innermost; afterwards all is as before."""
    before = {i: blocks[i].__dict__.get("forward") for i in routes}
    try:
        for i, ways in routes.items():
            blocks[i].__dict__["forward"] = reduce(
                lambda forward, way: partial(way, forward), ways, blocks[i].forward
            )
        yield
    finally:
        for i, own in before.items():
            blocks[i].__dict__.pop("forward", None)
            if own is not None:  # a hook of accelerate's, which moves inputs between devices
                blocks[i].__dict__["forward"] = own


def _skipped(forward: Forward, hidden: Tensor, *_: Any, **__: Any) -> Tensor:  # noqa: ARG001
    """A block that does nothing."""
    return hidden


def _replaced(value: Float[Tensor, "p dim"]) -> Reroute:
    """A block that reads ``value`` in place of the last rows of what comes from below."""

    def replaced(forward: Forward, hidden: Tensor, *args: Any, **kwargs: Any) -> Any:
        kept = hidden[:, : hidden.shape[1] - len(value)]
        return forward(torch.cat([kept, value.to(hidden)[None]], dim=1), *args, **kwargs)

    return replaced


def _only(read: Int[Tensor, " reads"], asking: Tree) -> Reroute:
    """The last block for the rows that are read; the others give keys and values, and are zero."""

    def pruned(
        forward: Forward, hidden: Tensor, *args: Any, tree: AttentionContext, **kwargs: Any
    ) -> Tensor:
        record: dict[int, Prefix] = {}
        with suppress(RunOutcome):
            forward(hidden, *args, tree=replace(tree, record=record, stop=True), **kwargs)
        (given,) = record.values()
        some, args, kwargs = _rows((hidden, args, kwargs), hidden.shape[1], read)
        out = forward(some, *args, tree=replace(tree, tree=asking, given=given), **kwargs)
        return out.new_zeros(hidden.shape).index_copy(1, read.to(out.device), out)

    return pruned


def _checkpointed(model: Any) -> Reroute:
    """A block that keeps its input alone; computed again after the call, it enters as in it."""

    def kept(forward: Forward, hidden: Tensor, *args: Any, **kwargs: Any) -> Any:
        again = entered(model)(forward)
        return checkpoint(again, hidden, *args, use_reentrant=False, **kwargs)

    return kept


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
