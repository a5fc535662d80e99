"""Attention over a tree: our blocks, a dense mask, and torch's fused kernel on the same blocks.

    python benchmarks/attention.py

A row as a SQuAD batch has it (5 contexts of 150 tokens, each with 5 questions of 20), SmolLM2's 9
heads on 3 key heads of 64, 20 prompt rows. Prints milliseconds forward and backward, medians of 9
alternations, and the pairs that each computes; then blocks of other sizes.
"""

import json
import statistics
import time
from collections.abc import Callable

import torch

from promptpriors.packing import Encoded, Tree, pack, tree_of
from promptpriors.packing import tree as trees
from promptpriors.packing.blockwise import Scores
from promptpriors.packing.kernels import KERNELS

HEADS, KV, WIDTH, PROMPT, ROUNDS = 9, 3, 64, 20, 9
Ways = dict[str, Callable[..., torch.Tensor]]


def row_tree() -> Tree:
    examples = [
        Encoded(f"{c}.{q}", ((c,) * 150, (100 + q,) * 20), (9, 9, 9, 9))
        for c in range(5)
        for q in range(5)
    ]
    return tree_of(pack(examples), shift=PROMPT)


def fused(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    prefix: tuple[torch.Tensor, torch.Tensor],
    tree: Tree,
    scores: Scores,
) -> torch.Tensor:
    """The same blocks by torch's fused attention, with automatic gradients of the slices."""
    masks = tree.masks(PROMPT, scores.window, 1, q.dtype, q.device)
    parts = []
    for block, (_, mask) in zip(tree.blocks, masks, strict=True):
        keys, values = (
            torch.cat([p, x[:, block.keys]], dim=1).repeat_interleave(HEADS // KV, dim=0)
            for p, x in zip(prefix, (k, v), strict=True)
        )
        mine = q[:, block.start : block.stop]
        parts.append(
            torch.nn.functional.scaled_dot_product_attention(
                mine[None], keys[None], values[None], attn_mask=mask, scale=scores.scale
            )[0]
        )
    return torch.cat(parts, dim=1).transpose(0, 1)


def measure(ways: Ways, tree: Tree) -> dict[str, dict[str, float]]:
    stream = torch.Generator().manual_seed(0)
    rows = len(tree.keys)

    def drawn(heads: int, n: int) -> torch.Tensor:
        values = torch.randn(n, heads, WIDTH, generator=stream).transpose(0, 1)
        return values.detach().requires_grad_()

    q, k, v = drawn(HEADS, rows), drawn(KV, rows), drawn(KV, rows)
    prefix = drawn(KV, PROMPT), drawn(KV, PROMPT)
    grad = torch.randn(rows, HEADS, WIDTH, generator=stream)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for turn in range(ROUNDS + 1):
        for name, way in ways.items():
            began = time.perf_counter()
            out = way(q, k, v, prefix, tree, Scores(WIDTH**-0.5))
            middle = time.perf_counter()
            out.backward(grad)
            if turn:
                times[name].append((middle - began, time.perf_counter() - middle))
    return {
        name: {
            key: round(1e3 * statistics.median(pair[i] for pair in pairs), 2)
            for i, key in enumerate(("forward_ms", "backward_ms"))
        }
        for name, pairs in times.items()
    }


def pairs(tree: Tree) -> int:
    return sum((b.stop - b.start) * (len(b.keys) + PROMPT) for b in tree.blocks)


def main() -> None:
    torch.set_num_threads(2)
    tree = row_tree()
    rows = len(tree.keys)
    print(json.dumps({"rows": rows, "pairs_needed": int(tree.seen.sum()) + PROMPT * rows}))
    ways: Ways = {"blocks": KERNELS["blocks"], "dense": KERNELS["dense"], "fused blocks": fused}
    print(
        json.dumps(measure(ways, tree) | {"pairs": pairs(tree), "square": rows * (rows + PROMPT)})
    )
    for longest, overhead in ((64, 2000), (128, 500), (128, 2000), (128, 8000), (512, 2000)):
        trees.LONGEST, trees.OVERHEAD = longest, overhead
        tree = row_tree()
        found = measure({"blocks": KERNELS["blocks"]}, tree)["blocks"]
        print(json.dumps({"longest": longest, "overhead": overhead, "pairs": pairs(tree), **found}))


if __name__ == "__main__":
    main()
