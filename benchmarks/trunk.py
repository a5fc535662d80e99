"""An epoch of deep prompts on the last blocks, from the trunk and without it.

    python benchmarks/trunk.py DATA [--blocks 3] [--examples 160]

SQuAD, deep-cut, 20 vectors a site, batches of whole paragraphs until 16 questions. Epochs with and
without the trunk alternate on the same batches; prints median, spread and ratio as JSON, and what
the first epoch, which fills the trunk, costs.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import torch

import promptpriors as pp
from promptpriors.data import build_task, choose_task
from promptpriors.models import Backbone
from promptpriors.packing import Encoded, encode, epochs
from promptpriors.prompts import Trunk, token_losses, trunk_of

ALTERNATIONS = 5


def epoch(
    backbone: Backbone,
    prompt: pp.Prompt,
    batches: Sequence[Sequence[Encoded]],
    trunk: Trunk | None,
) -> float:
    """Seconds of forward and backward over all batches."""
    began = time.perf_counter()
    for batch in batches:
        token_losses(backbone, prompt, batch, trunk=trunk).nats.mean().backward()
    return time.perf_counter() - began


def main() -> None:
    torch.set_num_threads(2)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--blocks", type=int, default=3)
    parser.add_argument("--examples", type=int, default=160)
    given = parser.parse_args()
    backbone = pp.load_model("smollm2")
    counts = {"train": given.examples, "validation": 10, "test": 2}
    task = build_task(choose_task({"name": "squad", **counts}), given.data)
    count = len(backbone.blocks)
    prompt = pp.draw_prompt(
        pp.fit_prior("gaussian", pp.vocabulary(backbone)),
        mode="deep-cut",
        sites=[f"block.{i}" for i in range(count - given.blocks, count)],
        backbone=backbone,
    )
    encoded = encode(backbone, task.splits["train"], before=prompt.before)
    batches, seen = [], 0
    for batch in epochs(encoded, 16, seed=0):
        batches.append([encoded[i] for i in batch])
        seen += len(batch)
        if seen >= len(encoded):
            break
    with tempfile.TemporaryDirectory() as folder:
        trunk = trunk_of(backbone, prompt, encoded, Path(folder))
        filling = epoch(backbone, prompt, batches, trunk)
        size = sum(path.stat().st_size for path in Path(folder).rglob("*.safetensors"))
        epoch(backbone, prompt, list(islice(batches, 1)), None)
        found: dict[str, list[float]] = {"without": [], "trunk": []}
        for _ in range(ALTERNATIONS):
            found["without"].append(epoch(backbone, prompt, batches, None))
            found["trunk"].append(epoch(backbone, prompt, batches, trunk))
    ratios = [a / b for a, b in zip(found["without"], found["trunk"], strict=True)]
    shown = {
        name: {"median": statistics.median(v), "least": min(v), "most": max(v)}
        for name, v in {**found, "ratio": ratios}.items()
    }
    print(json.dumps({"seconds": shown, "filling": filling, "mib": size / 2**20, "examples": seen}))


if __name__ == "__main__":
    main()
