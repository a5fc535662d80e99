"""Greedy answers: our packed row with shared keys against Hugging Face's padded batched generate.

    python benchmarks/generation.py [--questions 200] [--rounds 3] [--data ../shared/data]

SmolLM2 behind a drawn prompt of 20 vectors answers SQuAD questions, at most 32 tokens each, up to
the end token or a line feed after its first word. Hugging Face gets the prompt and the text as
embeddings, padded on the left, sorted by length, in batches of each size named, and a criterion
that ends each answer where ours ends. Contenders alternate; printed are seconds, the ratio to the
fastest batch size, and how many answers are the same. Then 200 arithmetic answers on ``tiny``, in
processor time.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import StoppingCriteria, StoppingCriteriaList

import promptpriors as pp
from promptpriors.data import build_task, choose_task
from promptpriors.models.backbone import Backbone
from promptpriors.packing import encode
from promptpriors.types import Example

NEW, STOP, LENGTH = 32, "\n", 20


def padded(backbone: Backbone, prompt: pp.Prompt, examples: list[Example], size: int) -> list[str]:
    """Answers of Hugging Face's generate, left-padded, in batches of similar length."""
    encoded = encode(backbone, examples)
    order = sorted(range(len(encoded)), key=lambda i: sum(map(len, encoded[i].pieces)))
    answers = [""] * len(encoded)
    root = prompt.values["embed"].detach()
    for first in range(0, len(order), size):
        part = order[first : first + size]
        lines = [
            torch.cat([root, backbone.embed(torch.tensor(sum(encoded[i].pieces, ())))])
            for i in part
        ]
        longest = max(map(len, lines))
        hidden = torch.zeros(len(part), longest, backbone.dim)
        mask = torch.zeros(len(part), longest, dtype=torch.long)
        for row, line in enumerate(lines):
            hidden[row, longest - len(line) :] = line
            mask[row, longest - len(line) :] = 1
        found = backbone.model.generate(
            inputs_embeds=hidden,
            attention_mask=mask,
            max_new_tokens=NEW,
            do_sample=False,
            pad_token_id=backbone.end,
            stopping_criteria=StoppingCriteriaList([Ended(backbone)]),
        )
        for i, ids in zip(part, found.tolist(), strict=True):
            text = backbone.decode(ids).lstrip()
            answers[i] = text.split(STOP)[0].strip()
    return answers


class Ended(StoppingCriteria):
    """True for each answer that has a line feed after its first word."""

    def __init__(self, backbone: Backbone) -> None:
        self._backbone = backbone

    def __call__(self, input_ids: torch.Tensor, scores: object, **_: object) -> torch.Tensor:  # noqa: ARG002, D102
        texts = [self._backbone.decode(ids).lstrip() for ids in input_ids.tolist()]
        return torch.tensor([STOP in text for text in texts])


def drawn(backbone: Backbone) -> pp.Prompt:
    prior = pp.fit_prior("gaussian", pp.vocabulary(backbone))
    return pp.draw_prompt(prior, length=LENGTH, seed=0)


def timed(way: Callable[[], list[str]]) -> tuple[float, list[str]]:
    began = time.perf_counter()
    answers = way()
    return time.perf_counter() - began, answers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sizes", type=int, nargs="+", default=[8, 16, 32])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    given = parser.parse_args()
    backbone = pp.load_model("smollm2")
    sizes = {"train": 50, "validation": 20, "test": given.questions}
    task = build_task(choose_task({"name": "squad", **sizes}), given.data)
    examples, prompt = list(task.splits["test"])[: given.questions], drawn(backbone)
    ways: dict[str, Callable[[], list[str]]] = {
        "ours": lambda: pp.generate(backbone, prompt, examples, max_new_tokens=NEW, stop=STOP)
    }
    for size in given.sizes:
        ways[f"padded {size}"] = lambda size=size: padded(backbone, prompt, examples, size)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    answers: dict[str, list[str]] = {}
    for _ in range(given.rounds):
        for name, way in ways.items():
            took, answers[name] = timed(way)
            seconds[name].append(took)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    best = min(given.sizes, key=lambda size: medians[f"padded {size}"])
    ratios = [b / a for a, b in zip(seconds["ours"], seconds[f"padded {best}"], strict=True)]
    same = sum(a == b for a, b in zip(answers["ours"], answers[f"padded {best}"], strict=True))
    report = {
        "questions": len(examples),
        "threads": torch.get_num_threads(),
        "seconds": {name: [round(value, 1) for value in found] for name, found in seconds.items()},
        "fastest batch": best,
        "ratio": round(statistics.median(ratios), 2),
        "ratios": [round(value, 2) for value in ratios],
        "same answers": same,
    }
    print(json.dumps(report))
    tiny = pp.load_model("tiny")
    sums = build_task(
        choose_task({"name": "mathematics", "train": 50, "validation": 20, "test": 200})
    )
    few = list(sums.splits["test"])
    own = drawn(tiny)
    began = time.process_time()
    pp.generate(tiny, own, few, max_new_tokens=sums.max_new_tokens, stop=sums.stop)
    print(json.dumps({"arithmetic": len(few), "processor seconds": time.process_time() - began}))


if __name__ == "__main__":
    main()
