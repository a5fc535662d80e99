"""Attention over a tree: our blocks, a dense mask, and torch's fused kernel on the same blocks.

    python benchmarks/attention.py [--only row | contexts]

First a row as a SQuAD batch has it (5 contexts of 150 tokens, each with 5 questions of 20),
SmolLM2's 9 heads on 3 key heads of 64, 20 prompt rows: milliseconds forward and backward, medians
of 9 alternations, and the pairs that each computes; then blocks of other sizes.

Then contexts of 100 to 8,000 tokens in a Llama of four blocks, 64 wide, behind 100 vectors: loss
and gradient of four examples as one packed row, against Hugging Face's own calls on one after
another, with logits at the answers alone. Either each example has a context of its own, or two
questions share each. Seconds are medians of alternations, ratios medians of their quotients.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from promptpriors.models.backbone import Backbone, freeze
from promptpriors.models.tiny import byte_tokenizer, draw_weights
from promptpriors.packing import Encoded, Tree, pack, tree_of
from promptpriors.packing import tree as trees
from promptpriors.packing.blockwise import Scores
from promptpriors.packing.kernels import KERNELS
from promptpriors.prompts import Prompt
from promptpriors.prompts.losses import packed_losses, single_losses

HEADS, KV, WIDTH, PROMPT, ROUNDS = 9, 3, 64, 20, 9
LONG_PROMPT = 100
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
    masks = tree.masks(tree.blocks, PROMPT, scores.window, 1, q.dtype, q.device)
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


def long_model() -> Backbone:
    """A random Llama with room for long contexts."""
    tokenizer = byte_tokenizer()
    config = LlamaConfig(
        vocab_size=264,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=16384,
        initializer_range=0.1,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id,
    )
    return freeze("long", "1", draw_weights(LlamaForCausalLM, config), tokenizer)


def long_batch(size: int, questions: int) -> list[Encoded]:
    """Four examples of contexts of so many tokens, so many questions about each."""
    stream = torch.Generator().manual_seed(size)

    def ids(count: int) -> tuple[int, ...]:
        return tuple(torch.randint(0, 256, (count,), generator=stream).tolist())

    contexts = [ids(size) for _ in range(4 // questions)]
    return [
        Encoded(f"{i}.{j}", (context, ids(20)), ids(6))
        for i, context in enumerate(contexts)
        for j in range(questions)
    ]


def contexts() -> None:
    """Packed rows against single calls, by the length of the context."""
    backbone = long_model()
    stream = torch.Generator().manual_seed(0)
    vectors = 0.1 * torch.randn(LONG_PROMPT, backbone.dim, generator=stream)
    prompt = Prompt("soft", {"embed": vectors})
    for size in (100, 300, 1000, 3000, 8000):
        for questions in (1, 2):
            batch = long_batch(size, questions)
            ways = {"packed": packed_losses, "one by one": single_losses}
            seconds: dict[str, list[float]] = {name: [] for name in ways}
            losses: dict[str, float] = {}
            for turn in range((9 if size < 8000 else 3) + 1):
                for name, way in ways.items():
                    began = time.perf_counter()
                    loss = way(backbone, prompt, batch).nats.mean()
                    loss.backward()
                    if turn:
                        seconds[name].append(time.perf_counter() - began)
                    losses[name] = float(loss.detach())
            ratios = [a / b for a, b in zip(*seconds.values(), strict=True)]
            report = {"context": size, "questions a context": questions}
            report |= {name: round(statistics.median(x), 3) for name, x in seconds.items()}
            report["ratio"] = round(statistics.median(ratios), 2)
            report["ratios"] = [round(min(ratios), 2), round(max(ratios), 2)]
            report["losses differ by"] = abs(losses["packed"] - losses["one by one"])
            print(json.dumps(report), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("row", "contexts"))
    only = parser.parse_args().only
    torch.set_num_threads(2)
    if only != "contexts":
        row()
    if only != "row":
        contexts()


def row() -> None:
    """The row of a SQuAD batch, and blocks of other sizes."""
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
