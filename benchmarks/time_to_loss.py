"""Seconds of training until a validation loss is reached, ours against PEFT's padded batches.

    python benchmarks/time_to_loss.py DATA OUT.jsonl [--steps 24] [--ours 60]

SQuAD, soft, 20 vectors from the same draw, the same rate, batches of 16 in each contender's own
order. Both are evaluated by the same function; evaluation is not counted. Each step is a line of
OUT.jsonl, so an interrupted benchmark goes on where it was: the state of prompt and optimiser lies
beside it. Without --steps, what is there is summed up.
"""

import argparse
import json
import sys
from pathlib import Path

import torch

import promptpriors as pp
from promptpriors.bench.engines import our_engine, peft_engine
from promptpriors.data import build_task, choose_task
from promptpriors.packing import encode, epochs
from promptpriors.training import quality

CHECKED, BATCH, EVERY, RATE = 100, 16, 2, 0.1


def load(data: Path) -> tuple[object, pp.Prompt, list, list, float]:
    backbone = pp.load_model("smollm2")
    task = build_task(choose_task({"name": "squad", "train": 4000, "validation": CHECKED}), data)
    prior = pp.fit_prior("vocabulary", pp.vocabulary(backbone))
    prompt = pp.draw_prompt(prior, seed=0)
    learn, check = (encode(backbone, task.splits[s], before=20) for s in ("train", "validation"))
    rate = RATE * float(prompt.values["embed"].detach().square().mean().sqrt())
    return backbone, prompt, learn, check, rate


def run(name: str, steps: int, data: Path, out: Path) -> None:
    """Train one contender for so many steps, or go on."""
    backbone, prompt, learn, check, rate = load(data)
    build = our_engine if name == "promptpriors" else peft_engine
    runner = build(backbone, prompt, rate)
    (weight,) = runner.weights
    state = out.with_suffix(f".{name}.safetensors")
    rows = [row for row in read(out) if row["contender"] == name]
    if rows and state.exists():
        from safetensors.torch import load_file

        kept = load_file(state)
        rows = [row for row in rows if row["step"] <= int(kept["at"])]
        weight.data.copy_(kept["weight"])
        if int(kept["at"]):
            runner.optimiser.state[weight] = {k: kept[k] for k in ("step", "exp_avg", "exp_avg_sq")}
    else:
        rows = []
    done = rows[-1]["step"] if rows else 0
    grouping = "shared" if name == "promptpriors" else "none"
    order = epochs(learn, BATCH, seed=0, grouping=grouping, skip=done)
    seconds = rows[-1]["seconds"] if rows else 0.0
    probe = pp.draw_prompt(pp.fit_prior("isotropic", pp.vocabulary(backbone)))
    with out.open("a", encoding="utf-8") as file:
        for step in range(done, steps + 1):
            val_loss = None
            if step % EVERY == 0 and not (rows and step == done):
                probe.values["embed"].data.copy_(weight.data)
                val_loss = quality(backbone, probe, check).loss
            if not (rows and step == done):
                row = {"contender": name, "step": step, "seconds": seconds, "val_loss": val_loss}
                file.write(json.dumps(row) + "\n")
                file.flush()
                keep(state, runner, weight, step)
                print(row, file=sys.stderr, flush=True)
            if step < steps:
                seconds += runner.step([learn[i] for i in next(order)]).seconds


def keep(path: Path, runner: object, weight: torch.Tensor, step: int) -> None:
    from safetensors.torch import save_file

    moments = dict(runner.optimiser.state.get(weight, {}))
    tensors = {"weight": weight.detach().clone(), "at": torch.tensor(step), **moments}
    save_file(tensors, path)


def read(out: Path) -> list[dict]:
    if not out.exists():
        return []
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


def summary(out: Path) -> dict:
    """For each loss that PEFT reached: seconds of both, and their ratio."""
    curves: dict[str, dict[int, dict]] = {}
    for row in read(out):
        if row["val_loss"] is not None:
            curves.setdefault(row["contender"], {})[row["step"]] = row
    ours, peft = (
        [rows[step] for step in sorted(rows)] for rows in (curves["promptpriors"], curves["peft"])
    )
    found = []
    for row in peft[1:]:
        first = next((o for o in ours if o["val_loss"] <= row["val_loss"]), None)
        earlier = [p for p in peft if p["val_loss"] <= row["val_loss"]]
        if first and first["seconds"] and earlier[0] is row:
            found.append(
                {
                    "val_loss": row["val_loss"],
                    "peft": (row["step"], row["seconds"]),
                    "promptpriors": (first["step"], first["seconds"]),
                    "ratio": row["seconds"] / first["seconds"],
                }
            )
    return {"start": peft[0]["val_loss"], "reached": found}


def main() -> None:
    torch.set_num_threads(2)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=0, help="of PEFT")
    parser.add_argument("--ours", type=int, default=0, help="steps of ours")
    given = parser.parse_args()
    given.out.parent.mkdir(parents=True, exist_ok=True)
    if given.ours:
        run("promptpriors", given.ours, given.data, given.out)
    if given.steps:
        run("peft", given.steps, given.data, given.out)
    print(json.dumps(summary(given.out), indent=1))


if __name__ == "__main__":
    main()
