"""Where the time of one training step goes, by kind of operation.

    python benchmarks/profile_step.py squad|arithmetic [DATA]

SmolLM2, soft, 20 vectors, one batch of 16, forward and backward. Prints shares of the step's time
by operation as JSON; mm is the linear layers, bmm and baddbmm are attention.
"""

import json
import sys
from itertools import islice
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

import promptpriors as pp
from promptpriors.bench.benchmark import TASKS
from promptpriors.data import build_task, choose_task
from promptpriors.packing import encode, epochs
from promptpriors.prompts import token_losses

SHOWN = 12


def main() -> None:
    torch.set_num_threads(2)
    name, *rest = sys.argv[1:] or ["arithmetic"]
    backbone = pp.load_model("smollm2")
    task = build_task(choose_task(TASKS[name]), Path(rest[0]) if rest else None)
    prompt = pp.draw_prompt(pp.fit_prior("vocabulary", pp.vocabulary(backbone)))
    encoded = encode(backbone, task.splits["train"], before=prompt.before)
    warm, batch = ([encoded[i] for i in b] for b in islice(epochs(encoded, 16, seed=0), 2))
    for part in (warm, batch):
        token_losses(backbone, prompt, part).nats.mean().backward()
    with profile(activities=[ProfilerActivity.CPU]) as found:
        losses = token_losses(backbone, prompt, batch)
        losses.nats.mean().backward()
    rows = {row.key: row.self_cpu_time_total for row in found.key_averages()}
    total = sum(rows.values())
    shares = {
        key.removeprefix("aten::"): round(spent / total, 4)
        for key, spent in sorted(rows.items(), key=lambda pair: -pair[1])
    }
    print(json.dumps({"tokens": losses.computed, "seconds": round(total / 1e6, 3)}))
    print(json.dumps(dict(islice(shares.items(), SHOWN))))


if __name__ == "__main__":
    main()
