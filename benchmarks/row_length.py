"""How fast is one packed row of a given length, forward and backward, against the machine's limit?

    python benchmarks/row_length.py [TOKENS ...]

Lengths alternate; prints median and spread (smallest to largest) of tokens per second as JSON,
beside the rate of the model's own matrix product in the same process.
"""

import json
import statistics
import sys
import time

import torch

import promptpriors as pp
from promptpriors.packing import Encoded
from promptpriors.prompts import token_losses

ROUNDS = 5
PIECE, ANSWER = 16, 4


def row_of(tokens: int) -> list[Encoded]:
    """Unrelated questions of 16 tokens with answers of 4, about ``tokens`` in all."""
    stream = torch.Generator().manual_seed(tokens)
    draw = torch.randint(
        100, 40_000, (tokens // (PIECE + ANSWER - 1), PIECE + ANSWER), generator=stream
    )
    return [
        Encoded(str(i), (tuple(ids[:PIECE]),), tuple(ids[PIECE:]))
        for i, ids in enumerate(draw.tolist())
    ]


def tokens_per_second(backbone: object, prompt: pp.Prompt, row: list[Encoded]) -> float:
    """One forward and backward pass."""
    began = time.perf_counter()
    losses = token_losses(backbone, prompt, row)
    losses.nats.mean().backward()
    return losses.computed / (time.perf_counter() - began)


def product_rate(rounds: int = 100) -> float:
    """GFLOP/s of a product of the model's own shape, 420 × 576 × 1,536."""
    left, right = torch.randn(420, 576), torch.randn(576, 1536)
    began = time.perf_counter()
    for _ in range(rounds):
        left @ right
    return 2 * 420 * 576 * 1536 * rounds / (time.perf_counter() - began) / 1e9


def main() -> None:
    torch.set_num_threads(2)
    lengths = [int(word) for word in sys.argv[1:]] or [200, 400, 800, 1600]
    backbone = pp.load_model("smollm2")
    prompt = pp.draw_prompt(pp.fit_prior("vocabulary", pp.vocabulary(backbone)))
    rows = {length: row_of(length) for length in lengths}
    found: dict[int, list[float]] = {length: [] for length in lengths}
    products = []
    for turn in range(ROUNDS + 1):
        products.append(product_rate())
        for length, row in rows.items():
            rate = tokens_per_second(backbone, prompt, row)
            if turn:  # the first turn warms up
                found[length].append(rate)
    shown = {
        length: {"median": statistics.median(r), "least": min(r), "most": max(r)}
        for length, r in found.items()
    }
    print(json.dumps({"tokens_per_second": shown, "product_gflops": statistics.median(products)}))


if __name__ == "__main__":
    main()
