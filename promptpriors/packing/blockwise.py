"""Attention over a tree, block by block: nothing is computed that no query of a block sees.

The backward pass is our own, since a slice's automatic gradient would fill a whole tensor of zeros
for each block. Query heads that share a key head are folded into rows, so that keys are not copied.
Long segments go to torch's fused attention in two parts, what stands before them without a mask and
their own keys causally, which are joined by the logarithms of their sums; given those of the whole,
the fused backward pass of each part yields its share of the gradients (as in Ring Attention, Liu,
Zaharia & Abbeel 2023, arXiv 2310.01889).
"""

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from promptpriors.packing.tree import Block, Run, Tree

Queries = Float[Tensor, "heads q width"]
Keys = Float[Tensor, "kv k width"]
Prefix = tuple[Float[Tensor, "_ _ _"], Float[Tensor, "_ _ _"]]
"""Keys and values, ``[kv, p, width]``, that every query sees, at the positions from 0."""

_FUSED = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_FUSED_BACKWARD = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward

KEPT = 512
"""Keys per query, on average, up to which weights are kept for the backward pass. Then they add at
most about half of what a block keeps anyway; beyond, they are computed again."""


class Scores(NamedTuple):
    """Rule that makes scores from products.

    Attributes:
        scale: of the products.
        window: how far back a query sees, in positions; None for everything.
        softcap: c in c·tanh(score/c); None for none.
    """

    scale: float
    window: int | None = None
    softcap: float | None = None


def blocks(
    q: Queries, k: Keys, v: Keys, prefix: Prefix | None, tree: Tree, scores: Scores
) -> Float[Tensor, "q heads width"]:
    """Softmax attention of each query over the keys it sees.

    Args:
        q: queries.
        k: keys; ``heads`` is a multiple of ``kv``, neighbouring query heads share a key head.
        v: values.
        prefix: keys and values that all queries see as well.
        tree: who sees whom.
        scores: scale, window and soft cap.
    """
    pk, pv = prefix or (k[:, :0], v[:, :0])
    return _Blocks.apply(q, k, v, pk, pv, tree, scores)  # pyright: ignore[reportReturnType]


class _Call:
    """The parts of one call, with the keys and values that they see.

    Attributes:
        parts: blocks, and long segments for which the fused kernel will do.
    """

    def __init__(self, tensors: tuple[Tensor, ...], tree: Tree, scores: Scores) -> None:
        self.q, self.k, self.v, self.pk, self.pv = tensors
        self.tree, self.scores = tree, scores
        self.kv = len(self.k)
        self.copies = len(self.q) // self.kv
        self.p = self.pk.shape[1]
        plain = scores.softcap is None and tree.within(scores.window)
        alike = self.k.shape[2] == self.v.shape[2] and self.q.device.type == "cpu"
        self.parts = tree.parts(fused=plain and alike)

    def blocks(self) -> Iterator[tuple[Block, Tensor, Tensor, Tensor, Tensor, Tensor]]:
        """Each block with its key indices, folded and scaled queries, keys, values and mask."""
        q, device, found = self.q, self.k.device, self.parts[0]
        masks = self.tree.masks(found, self.p, self.scores.window, self.copies, q.dtype, device)
        for block, (index, mask) in zip(found, masks, strict=True):
            mine = q[:, block.start : block.stop].unflatten(0, (self.kv, self.copies)).flatten(1, 2)
            keys, values = self.before(index)
            yield block, index, mine * self.scores.scale, keys, values, mask

    def before(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of the prefix and of some rows."""
        keys = torch.cat([self.pk, self.k.index_select(1, index)], dim=1)
        return keys, torch.cat([self.pv, self.v.index_select(1, index)], dim=1)

    def weigh(self, mine: Tensor, keys: Tensor, mask: Tensor) -> tuple[Tensor, Tensor | None]:
        """Softmax over the masked scores, in float32 at least, and the slope of the soft cap."""
        exact = torch.promote_types(mine.dtype, torch.float32)
        if self.scores.softcap is None:
            product = torch.baddbmm(mask, mine, keys.transpose(1, 2))
            return torch.softmax(product, dim=-1, dtype=exact).to(mine.dtype), None
        cap = self.scores.softcap
        bent = torch.tanh(torch.bmm(mine, keys.transpose(1, 2)) / cap)
        weights = torch.softmax(bent * cap + mask, dim=-1, dtype=exact).to(mine.dtype)
        return weights, 1 - bent.square()

    def fused(self, run: Run) -> tuple[Tensor, Tensor]:
        """Result of a long segment, ``[heads, n, width]``, and the logarithms of its sums."""
        q, k, v = (x[:, run.start : run.stop] for x in (self.q, self.k, self.v))
        out, log = _FUSED(q[None], k[None], v[None], 0.0, True, scale=self.scores.scale)
        if self.p + len(run.before):
            keys, values = self.before(run.before)
            more, other = _FUSED(q[None], keys[None], values[None], scale=self.scores.scale)
            both = torch.logaddexp(log, other)
            shares = ((x - both).exp()[..., None] for x in (log, other))
            out = (out * next(shares) + more * next(shares)).to(out.dtype)
            log = both
        return out[0], log


class _Blocks(torch.autograd.Function):
    """Forward and backward over the parts of a tree."""

    @staticmethod
    def forward(ctx: Any, *given: Any) -> Tensor:
        """From queries, keys, values, prefix keys, prefix values, tree and scores."""
        call = _Call(given[:5], *given[5:])
        heads, rows, _ = call.q.shape
        out = call.q.new_empty(rows, heads, call.v.shape[2])
        found = []
        for block, _, mine, keys, values, mask in call.blocks():
            found.append(call.weigh(mine, keys, mask))
            product = torch.bmm(found[-1][0], values).unflatten(1, (call.copies, -1))
            place = out[block.start : block.stop].unflatten(1, (call.kv, call.copies))
            place.copy_(product.permute(2, 0, 1, 3))
        logs = []
        for run in call.parts[1]:
            result, log = call.fused(run)
            out[run.start : run.stop] = result.transpose(0, 1)
            logs.append(log)
        pairs = sum(weights.shape[1:].numel() for weights, _ in found)
        ctx.weights = found if pairs <= KEPT * rows * call.copies else None
        ctx.save_for_backward(*given[:5], *([out] if logs else []))
        ctx.tree, ctx.scores = given[5:]
        ctx.logs = logs
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, ...]:
        """Gradients of queries, keys, values and prefix.

        The text's are left out where it needs none: below the first prompt it is a constant.
        """
        saved = ctx.saved_tensors  # once: a checkpointed block gives them only once
        call = _Call(saved[:5], ctx.tree, ctx.scores)
        p, text = call.p, any(ctx.needs_input_grad[:3])
        into = [torch.zeros_like(x) if text else x[:0] for x in (call.q, call.k, call.v)]
        of_keys, of_values = torch.zeros_like(call.pk), torch.zeros_like(call.pv)
        seen = slice(None) if text else slice(p)
        for number, (block, index, mine, keys, values, mask) in enumerate(call.blocks()):
            known = ctx.weights[number] if ctx.weights else call.weigh(mine, keys, mask)
            weights, slope = known
            part = grads[0][block.start : block.stop].unflatten(1, (call.kv, call.copies))
            part = part.permute(1, 2, 0, 3).flatten(1, 2)
            to_values = torch.bmm(weights[:, :, seen].transpose(1, 2), part)
            to_scores = torch.ops.aten._softmax_backward_data(
                torch.bmm(part, values.transpose(1, 2)), weights, -1, weights.dtype
            )
            if slope is not None:
                to_scores *= slope
            to_keys = torch.bmm(to_scores[:, :, seen].transpose(1, 2), mine)
            of_keys += to_keys[:, :p]
            of_values += to_values[:, :p]
            if text:
                to_queries = torch.bmm(to_scores, keys).mul_(call.scores.scale)
                to_queries = to_queries.view(len(call.q), -1, mine.shape[2])
                into[0][:, block.start : block.stop] = to_queries
                into[1].index_add_(1, index, to_keys[:, p:])
                into[2].index_add_(1, index, to_values[:, p:])
        for run, log in zip(call.parts[1], ctx.logs, strict=True):
            rows = slice(run.start, run.stop)
            # the fused kernel reads both row by row
            part, out = (x[rows].transpose(0, 1) for x in (grads[0], saved[5]))
            slopes = partial(_slopes, call.q[:, rows], part, out, log, call.scores.scale)
            if text:
                keys, values = call.k[:, rows], call.v[:, rows]
                own = slopes(keys, values, causal=True)
                for total, found in zip(into, own, strict=True):
                    total[:, rows] += found
            if not (p or (text and len(run.before))):
                continue
            given = call.before(run.before) if text else (call.pk, call.pv)
            to_queries, to_keys, to_values = slopes(*given, causal=False)
            of_keys += to_keys[:, :p]
            of_values += to_values[:, :p]
            if text:
                into[0][:, rows] += to_queries
                into[1].index_add_(1, run.before, to_keys[:, p:])
                into[2].index_add_(1, run.before, to_values[:, p:])
        return (*(into if text else [None] * 3), of_keys, of_values, None, None)


def _slopes(
    q: Tensor,
    grad: Tensor,
    out: Tensor,
    log: Tensor,
    scale: float,
    keys: Tensor,
    values: Tensor,
    *,
    causal: bool,
) -> list[Tensor]:
    """Gradients of a long segment's queries, and of some of the keys and values that it sees."""
    given = (x[None] for x in (grad, q, keys, values, out))
    return [x[0] for x in _FUSED_BACKWARD(*given, log, 0.0, causal, scale=scale)]
