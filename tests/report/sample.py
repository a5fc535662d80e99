"""A small runs folder, written with the project's own writers: every case a report must bear."""

import json
from pathlib import Path
from typing import Any

import torch

from promptpriors.analysis.projection import fit_plane, project
from promptpriors.files import write_json, write_tensors, write_toml
from promptpriors.runs import Map, write_map

SCRIPT = "</script><script>window.attacked = 1</script><b>&amp;"
STEPS = 40
NO_PROMPT = 2.3456


def build_runs(folder: Path, *, vocabulary: int = 300, dim: int = 12, length: int = 4) -> Path:
    """Three priors on one task, a second seed, a baseline; another task; failed; unfinished."""
    plane = cloud(vocabulary, dim)
    write_map(folder / "maps" / "smollm2.safetensors", plane)
    kinds = [("gaussian", 0, 0.5), ("gaussian", 1, 0.5), ("isotropic", 0, 3.0), ("text", 0, 0.9)]
    for i, (prior, seed, spread) in enumerate(kinds):
        finished(folder, f"{i:016x}", config(prior, seed=seed), plane, spread, length)
    finished(folder, f"{10:016x}", config("gaussian", mode="none"), plane, None, length)
    other = config("text", task={"name": SCRIPT, "train": 8}, model="tiny")
    finished(folder, f"{11:016x}", other, None, 1.0, length)
    failed = start(folder, f"{12:016x}", config("xavier"))
    (failed / "error.txt").write_text(
        f"Traceback (most recent call last):\n  here\nValueError: {SCRIPT}\n"
    )
    start(folder, f"{13:016x}", config("xavier", seed=1))
    return folder


def cloud(vocabulary: int, dim: int) -> Map:
    """A vocabulary's map; some of its tokens are unkind."""
    points = torch.randn(vocabulary, dim, generator=torch.Generator().manual_seed(0))
    points *= torch.linspace(0.35, 0.05, dim)
    plane = fit_plane(points)
    labels = [f" token{i}" for i in range(vocabulary)]
    labels[:4] = [SCRIPT, "\n\n", "", "%{x} $y$ \u202e\u2028"]
    return Map(
        model="smollm2",
        site="embed",
        coordinates=project(points, plane.mean, plane.components),
        mean=plane.mean,
        components=plane.components,
        explained=plane.explained,
        labels=labels,
        nulls={"real_rows": 0.78, "gaussian": 0.64},
    )


def config(named: str, *, seed: int = 0, mode: str = "soft", **parts: Any) -> dict[str, Any]:
    """A resolved config."""
    base: dict[str, Any] = {
        "model": "smollm2",
        "seed": seed,
        "task": {"name": "mathematics", "modules": ["add_or_sub"], "train": 64},
        "prior": {"name": named, "space": "vocabulary"},
        "prompt": {"mode": mode, "length": 4, "sites": [] if mode == "none" else ["embed"]},
        "train": {"steps": STEPS, "batch": 16, "lr": {"relative": 0.1}},
    }
    return base | parts


def start(folder: Path, name: str, settings: dict[str, Any]) -> Path:
    """A run that has begun."""
    run = folder / name
    run.mkdir(parents=True)
    write_toml(run / "config.toml", settings)
    return run


def finished(
    folder: Path, name: str, settings: dict[str, Any], plane: Map | None, spread: Any, length: int
) -> Path:
    """A run with a result; ``spread`` None means without prompt vectors."""
    settings["prompt"]["length"] = length
    run = start(folder, name, settings)
    generator = torch.Generator().manual_seed(int(name, 16))
    tensors: dict[str, torch.Tensor] = {"trajectory/steps": torch.arange(0, STEPS + 1, 10)}
    moved = None
    if spread is not None:
        dim = plane.mean.numel() if plane else 12
        begin = spread * 0.2 * torch.randn(length, dim, generator=generator)
        step = 0.04 * torch.randn(
            len(tensors["trajectory/steps"]), length, dim, generator=generator
        )
        way = begin + step.cumsum(0) - step[0]
        tensors |= {"initial/embed": begin, "final/embed": way[-1].clone(), "trajectory/embed": way}
        moved = float((way[-1] - begin).norm() / begin.norm())
    write_tensors(run / "prompt.safetensors", tensors, {"run": name})
    losses = [1.2 + 1.9 * 0.93**i + 0.1 * (spread or 0) * 0.9**i for i in range(0, STEPS + 1, 10)]
    losses = losses if spread is not None else [NO_PROMPT]
    write_metrics(run, losses)
    near = nearest(plane, length) if plane and spread is not None else {}
    write_json(run / "result.json", result(settings, losses, moved, near, plane is not None))
    return run


def write_metrics(run: Path, losses: list[float]) -> None:
    """A record per step; a validation loss at each tenth."""
    records = [
        {
            "step": step,
            "train_loss": None if step == 0 else 3.0,
            "val_loss": losses[step // 10] if step % 10 == 0 else None,
            "lr": {"embed": 0.01},
            "seconds": 0.1 * step,
            "tokens": 100 * step,
        }
        for step in range(10 * len(losses) - 9 if losses else 0)
    ]
    (run / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))


def nearest(plane: Map, length: int) -> dict[str, Any]:
    """Three tokens with cosines for each vector at each moment."""
    moments = {}
    for moment, best in (("initial", 0.5), ("final", 0.6)):
        moments[moment] = [
            [{"token": plane.labels[i + j], "cosine": best + 0.01 * i - 0.1 * j} for j in range(3)]
            for i in range(length)
        ]
    return {"embed": moments}


def result(
    settings: dict[str, Any], losses: list[float], moved: Any, near: dict[str, Any], mapped: bool
) -> dict[str, Any]:
    """What a finished run writes; memory was not measured."""
    return {
        "model": settings["model"],
        "task": settings["task"]["name"],
        "prior": settings["prior"]["name"],
        "mode": settings["prompt"]["mode"],
        "length": settings["prompt"]["length"],
        "seed": settings["seed"],
        "lr": {"embed": 0.0123},
        "steps": STEPS,
        "val_loss_initial": losses[0],
        "val_loss": losses[-1],
        "val_loss_best": min(losses),
        "val_loss_none": NO_PROMPT,
        "scores": {"exact_match": 0.25, "accuracy": 0.25},
        "eval_examples": {"validation": 1000, "test": 200},
        "seconds": 75.4,
        "tokens": 123456,
        "tokens_useful": 120000,
        "tokens_per_second": 1640.2,
        "peak_memory_mib": None,
        "displacement": moved,
        "displacement_by_site": {"embed": moved},
        "nearest_tokens": near,
        "map": "maps/smollm2.safetensors" if mapped else None,
        "versions": {"torch": "2.13.0", "promptpriors": "0.1.0"},
    }
