"""Attention over a tree, three ways that give the same numbers.

``blocks``: block by block, for CPUs. ``dense``: one masked call of torch's fused attention, for
GPUs. ``flex``: FlexAttention with a block mask.
"""

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from promptpriors.packing.blockwise import Keys, Prefix, Queries, Scores, blocks
from promptpriors.packing.tree import Tree


def dense(
    q: Queries, k: Keys, v: Keys, prefix: Prefix | None, tree: Tree, scores: Scores
) -> Float[Tensor, "q heads width"]:
    """One fused call under a dense mask."""
    if scores.softcap is not None:
        return blocks(q, k, v, prefix, tree, scores)
    k, v, mask = _joined(k, v, prefix, tree, scores)
    copies = len(q) // len(k)
    out = torch.nn.functional.scaled_dot_product_attention(
        q[None],
        k.repeat_interleave(copies, dim=0)[None],
        v.repeat_interleave(copies, dim=0)[None],
        attn_mask=mask,
        scale=scores.scale,
    )
    return out[0].transpose(0, 1)


def flex(
    q: Queries, k: Keys, v: Keys, prefix: Prefix | None, tree: Tree, scores: Scores
) -> Float[Tensor, "q heads width"]:
    """FlexAttention. Experimental until it has run on a GPU; without one it has no backward."""
    from torch.nn.attention.flex_attention import create_block_mask

    k, v, mask = _joined(k, v, prefix, tree, scores)
    seen = lambda b, h, i, j: mask[i, j]  # noqa: ARG005, E731
    block_mask = tree.once(
        ("flex", mask.shape, scores.window, mask.device),
        lambda: create_block_mask(seen, None, None, *mask.shape, device=mask.device.type),
    )
    cap, capped = scores.softcap, None
    if cap is not None:
        capped = lambda score, b, h, i, j: cap * torch.tanh(score / cap)  # noqa: ARG005, E731
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "flex_attention called without torch.compile")
        out = _flex(compiled=q.is_cuda)(
            q[None],
            k[None],
            v[None],
            score_mod=capped,
            block_mask=block_mask,
            scale=scores.scale,
            enable_gqa=len(q) != len(k),
        )
    return out[0].transpose(0, 1)


@cache
def _flex(*, compiled: bool) -> Callable[..., Any]:
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention) if compiled else flex_attention


Kernel = Callable[..., Tensor]
"""From queries, keys, values, prefix, tree and scores to ``[q, heads, width]``."""
KERNELS: dict[str, Kernel] = {"blocks": blocks, "dense": dense, "flex": flex}
"""By the name that ``device.attention`` takes."""


def _joined(
    k: Tensor, v: Tensor, prefix: Prefix | None, tree: Tree, scores: Scores
) -> tuple[Tensor, Tensor, Tensor]:
    """Keys, values and mask with the prefix in front."""
    mask = tree.dense(0 if prefix is None else prefix[0].shape[1], scores.window, k.device)
    if prefix is None:
        return k, v, mask
    return torch.cat([prefix[0], k], dim=1), torch.cat([prefix[1], v], dim=1), mask
