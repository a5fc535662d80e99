"""Folders of small runs, as tests pack them."""

import json

import torch
from hypothesis import strategies as st

from promptpriors.files import write_json, write_tensors, write_toml
from promptpriors.runs.studies import Comparison, StudyRecord, StudyRun, write_study_record

LOSSES = {"val_loss_initial": 2.5, "val_loss": 1.25, "val_loss_best": 1.0, "val_loss_none": 3.0}
NEAREST = {
    "embed": {
        "initial": [[{"token": "a", "cosine": 0.5}]],
        "final": [[{"token": " naïve “日本”", "cosine": 0.7897}]],
    }
}


def config(mode="soft", **train):
    return {
        "model": "tiny",
        "seed": 3,
        "task": {"name": "mathematics", "path": "Ä/日本.json"},
        "prior": {"name": "gaussian"},
        "prompt": {"mode": mode, "length": 2, "sites": ["embed"] if mode != "none" else []},
        "train": {"lr": 0.1, **train},
    }


def row(step, loss, seconds=0.1, **more):
    return {"step": step, "train_loss": loss, "lr": {"embed": 0.05 * (step + 1)},
            "seconds": seconds, **more}  # fmt: skip


ROWS = [row(0, None, 1 / 3), row(1, 2.5736160278320312, 0.7), row(2, 1e-300, 5e9)]


def write_run(runs, name, *, result=None, error=None, rows=ROWS, vectors=True, **about):
    """A run folder; ``about`` changes its config."""
    folder = runs / name
    folder.mkdir(parents=True)
    write_toml(folder / "config.toml", config(**about))
    (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(r)}\n" for r in rows))
    if vectors:
        start = torch.randn(2, 3, generator=torch.Generator().manual_seed(len(name)))
        tensors = {
            "initial/embed": start,
            "final/embed": start * 1.5,
            "trajectory/embed": torch.stack([start, start * 1.5]),
            "trajectory/steps": torch.tensor([0, 2]),
        }
        write_tensors(folder / "prompt.safetensors", tensors, {"format": 1, "model": "tiny 1"})
    if error is not None:
        (folder / "error.txt").write_text(error + "\n", encoding="utf-8")
    if result is not None:
        write_json(folder / "result.json", result)
    return folder


def write_runs(runs):
    """One run of each sort, and a study of them; the ids say what they are."""
    folder = write_run(runs, "a0", result=LOSSES | {"nearest_tokens": NEAREST, "note": "“ü” 日本"})
    write_json(folder / "position.json", {"version": 1, "p": 0.1 + 0.2, "none": None})
    write_json(folder / "use.json", {"by_head": [[1 / 3, 2 / 3]]})
    write_run(runs, "b1", error="Diverged: loss is nan at step 2 – “…”", vectors=False,
              rows=[row(0, 1.0), row(1, float("nan"))])  # fmt: skip
    write_run(runs, "c2", result=LOSSES, vectors=False, mode="none", lora=4)
    diverged = dict.fromkeys(LOSSES, None)
    write_run(runs, "d3", result=diverged, rows=[row(0, None), row(1, None, penalty=None)])
    write_run(runs, "e4", result=LOSSES, rows=[])
    plans = [StudyRun(id=name, kind="arm", arm=name, seed=0) for name in ("a0", "d3", "e4")]
    compare = Comparison(margin=0.05, controls=False)
    write_study_record(runs, StudyRecord(name="small", compare=compare, runs=plans))
    return runs


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
"""Whatever a JSON file can hold; NaN and infinities too, as Python writes them."""
METRICS = st.one_of(
    st.lists(st.fixed_dictionaries({
        "step": st.integers(), "loss": st.none() | st.floats(), "narrow": st.floats(width=32),
        "lr": st.fixed_dictionaries({"embed": st.floats(), "block.1": st.floats()}),
    }), max_size=6),
    st.lists(st.dictionaries(st.text(), SCALARS | st.dictionaries(st.text(), SCALARS)),
             max_size=4),
)  # fmt: skip
"""Rows like those of a run, and rows that are like nothing."""
