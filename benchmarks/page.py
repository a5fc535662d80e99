"""How long the page takes until its map is drawn, beside a bare plotly page of the same points.

    python benchmarks/page.py [RUNS]

Opened by turns in the same Chromium, each in a fresh context without a network: the report of RUNS
(by default a made-up folder with one chart of 50,000 points and two runs of 20 vectors), and a page
with nothing but plotly.js, inlined as in the report, and one scattergl of as many points. Times are
the browser's own, from navigation until plotly's promise of the first drawing is kept. After that
the report's slider is moved to and fro: milliseconds of script for a moment, and until the frame
after it.
"""

import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import plotly.offline
import torch
from playwright.sync_api import Browser, sync_playwright

from promptpriors.analysis.projection import fit_plane, project
from promptpriors.files import write_json, write_tensors, write_toml
from promptpriors.report import write_report
from promptpriors.rng import generator
from promptpriors.runs import Chart, list_runs, write_chart

POINTS, DIM, LENGTH, MOMENTS, ROUNDS = 50_000, 16, 20, 11, 9
CHROMIUM = "/usr/bin/chromium"
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
DRAWN = "performance.getEntriesByName('drawn')[0]?.startTime"
SLIDER = """async () => {
  const slider = document.getElementById("explore-moment"), script = [], frame = [];
  const restyle = Plotly.restyle;
  Plotly.restyle = (...all) => {
    const began = performance.now(), result = restyle(...all);
    script.push(performance.now() - began);
    return result;
  };
  for (let i = 0; i < 12; i++) {
    const began = performance.now();
    slider.value = i % Math.max(1, slider.max);
    slider.dispatchEvent(new Event("input"));
    await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
    frame.push(performance.now() - began);
  }
  return [script, frame];
}"""


def main(runs: Path | None = None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        report, bare = Path(folder) / "report.html", Path(folder) / "bare.html"
        write_report(runs or synthetic(Path(folder) / "runs"), report)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
            bare.write_text(bare_page(shown(browser, report)))
            times = {"report": [], "bare": []}
            for turn in range(ROUNDS + 1):
                for name in ("report", "bare") if turn % 2 else ("bare", "report"):
                    found = drawn(browser, report if name == "report" else bare)
                    times[name] += [found] if turn else []
            script, frame = moved(browser, report)
            browser.close()
        ratios = [a / b for a, b in zip(times["report"], times["bare"], strict=True)]
        print(f"{ROUNDS} rounds by turns after one unmeasured: median (least–most)\n")
        print("| | |\n|---|---|")
        print(f"| report, ms until drawn | {spread(times['report'])} |")
        print(f"| bare plotly page, ms until drawn | {spread(times['bare'])} |")
        print(f"| report / bare, by round | {spread(ratios)} |")
        print(f"| the slider's script, ms a moment | {spread(script)} |")
        print(f"| until the frame after it, ms | {spread(frame)} |")
        print(f"| report, MB | {report.stat().st_size / 1e6:.2f} |")
        print(f"| bare page, MB | {bare.stat().st_size / 1e6:.2f} |")


def shown(browser: Browser, report: Path) -> list[list[float]]:
    """Coordinates of every point of the report's first map."""
    page = browser.new_page()
    page.goto(report.as_uri())
    page.wait_for_function(DRAWN)
    points = page.evaluate("""() => {
      const traces = page.explorer.map.data.filter(trace => trace.x instanceof Float32Array);
      return ["x", "y"].map(axis => traces.flatMap(trace => [...trace[axis]]));
    }""")
    page.close()
    return points


def bare_page(points: list[list[float]]) -> str:
    """The least page that draws the points."""
    x, y = (json.dumps([float(f"{v:.6g}") for v in axis]) for axis in points)
    return (
        "<!doctype html><meta charset=utf-8><div id=plot style='height:680px'></div>"
        f"<script>{plotly.offline.get_plotlyjs()}</script><script>"
        f"Plotly.newPlot('plot', [{{type: 'scattergl', mode: 'markers', x: {x}, y: {y}, "
        "marker: {size: 3}}]).then(() => performance.mark('drawn'));</script>"
    )


def drawn(browser: Browser, path: Path) -> float:
    """Milliseconds from navigation until the mark."""
    with browser.new_context(offline=True, viewport={"width": 1280, "height": 1000}) as context:
        page = context.new_page()
        page.goto(path.as_uri())
        page.wait_for_function(DRAWN)
        return page.evaluate(DRAWN)


def moved(browser: Browser, report: Path) -> tuple[list[float], list[float]]:
    """Milliseconds of script, and until the next frame, for moments of the slider."""
    with browser.new_context(offline=True, viewport={"width": 1280, "height": 1000}) as context:
        page = context.new_page()
        page.goto(report.as_uri())
        page.wait_for_function(DRAWN)
        script, frame = page.evaluate(SLIDER)
        return script[2:], frame[2:]


def synthetic(folder: Path) -> Path:
    """A runs folder with two finished runs and a chart of four domains."""
    domain = torch.arange(POINTS) * 4 // POINTS
    points = torch.randn(POINTS, DIM, generator=generator(0, "points")) * 0.3
    points[:, 0] += domain - 1.5
    plane = fit_plane(points)
    for seed in range(2):
        synthetic_run(folder / f"{seed:016x}", seed)
    ways = {run.id: run.tensors()["trajectory/embed"] for run in list_runs(folder)}
    flat = {
        name: project(way.flatten(0, 1), plane.mean, plane.components).unflatten(0, way.shape[:2])
        for name, way in ways.items()
    }
    chart = Chart(
        model="synthetic",
        site="embed",
        title="Synthetic",
        domains=["vocabulary", "C4", "SQuAD", "arithmetic"],
        domain=domain,
        document=torch.arange(POINTS) // 50,
        labels=[f" token{i}" for i in range(POINTS)],
        layouts={"pca": project(points, plane.mean, plane.components)},
        explained=plane.explained,
        prompts={name: {"pca": way} for name, way in flat.items()},
    )
    write_chart(folder / "charts" / "embed.safetensors", chart)
    return folder


def synthetic_run(folder: Path, seed: int) -> None:
    folder.mkdir(parents=True)
    config: dict[str, Any] = {
        "model": "synthetic",
        "seed": seed,
        "task": {"name": "synthetic"},
        "prior": {"name": "gaussian"},
        "prompt": {"mode": "soft", "length": LENGTH, "sites": ["embed"]},
        "train": {"steps": 10 * (MOMENTS - 1)},
    }
    write_toml(folder / "config.toml", config)
    way = torch.randn(MOMENTS, LENGTH, DIM, generator=generator(seed, "way")).cumsum(0) * 0.1
    tensors = {"trajectory/steps": torch.arange(0, 10 * MOMENTS, 10), "trajectory/embed": way}
    tensors |= {"initial/embed": way[0].clone(), "final/embed": way[-1].clone()}
    write_tensors(folder / "prompt.safetensors", tensors, {"run": seed})
    losses = {f"val_loss{name}": 1.0 for name in ("", "_initial", "_best", "_none")}
    write_json(folder / "result.json", {"steps": 10 * (MOMENTS - 1), **losses})


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.4g} ({min(values):.4g}–{max(values):.4g})"


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
