"""What capture costs beside the bare forward pass, and whether its memory grows with the documents.

    python benchmarks/capture.py ../shared/data [documents]

SmolLM2 reads C4 documents of up to 256 tokens. Both contenders take the same packed rows of the
same documents to the input of the last block, by turns, a hundred documents at a time: one keeps
nothing, the other captures four sites into a store of float16. Peak memory is that of the process,
after the first hundred documents and after all.
"""

import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

import promptpriors as pp
from promptpriors.activations import Plan, capture
from promptpriors.activations.reading import Reader
from promptpriors.activations.texts import documents, read_texts
from promptpriors.data import build_task, choose_task
from promptpriors.models import Backbone

SITES = ("embed", "block.10", "block.20", "block.29")
TOKENS, TURN = 256, 100


def main(data: str, count: int) -> None:
    torch.set_num_threads(2)
    backbone = pp.load_model("smollm2")
    task = build_task(choose_task({"name": "c4", "validation": 1, "test": 0}), Path(data))
    examples = [*task.splits["train"], *task.splits["validation"]][:count]
    rates: dict[str, list[float]] = {"bare": [], "capture": []}
    totals = {"bare": 0.0, "capture": 0.0}
    peaks, tokens, size = [], 0, 0
    with tempfile.TemporaryDirectory() as place:
        warm_up(backbone, examples[:8], place)
        for start in range(0, len(examples), TURN):
            part = examples[start : start + TURN]
            order = ("bare", "capture") if (start // TURN) % 2 else ("capture", "bare")
            for name in order:
                began = time.perf_counter()
                if name == "bare":
                    rows = bare(backbone, part)
                else:
                    folder = Path(place) / str(start)
                    capture(backbone, part, plan(backbone), folder)
                seconds = time.perf_counter() - began
                totals[name] += seconds
                rates[name].append(seconds)
            tokens += rows
            size += sum(path.stat().st_size for path in folder.glob("shard-*"))
            peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
            print(f"{start + len(part)} documents, peak {peaks[-1]:.0f} MiB", file=sys.stderr)
    ratios = [b / c for b, c in zip(rates["bare"], rates["capture"], strict=True)]
    print(f"{len(examples)} documents, {tokens} tokens, {size / 2**20:.0f} MiB written")
    print("| | tokens/s, pooled |\n|---|---|")
    for name, seconds in totals.items():
        print(f"| {name} | {tokens / seconds:.0f} |")
    print(
        f"capture runs at {totals['bare'] / totals['capture']:.1%} of the bare pass, pooled; by "
        f"turn median {statistics.median(ratios):.1%} ({min(ratios):.1%}–{max(ratios):.1%})"
    )
    print(f"peak memory after {TURN} documents {peaks[0]:.0f} MiB, after all {peaks[-1]:.0f} MiB")


def bare(backbone: Backbone, examples: list[pp.Example]) -> int:
    """The forward pass to the deepest site; what it makes is dropped."""
    reader = Reader(backbone, SITES[-1:], prompt=None, longest=TOKENS)
    texts = (read_texts(backbone, document, TOKENS) for document in documents(examples))
    return sum(len(reading.tokens) for reading in reader.read(texts))


def plan(backbone: Backbone) -> Plan:
    return Plan(
        model=backbone.name,
        revision=backbone.revision,
        precision="float32",
        task={"name": "c4"},
        split="train",
        content="",
        sites=SITES,
        tokens=TOKENS,
        documents=TURN,
        dtype="float16",
        what="tokens",
    )


def warm_up(backbone: Backbone, examples: list[pp.Example], place: str) -> None:
    bare(backbone, examples)
    capture(backbone, examples, plan(backbone), Path(place) / "warm")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1000)
