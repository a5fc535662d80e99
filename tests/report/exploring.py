"""What lies beside the runs and can be explored: charts, figures, claims, comparisons."""

import struct
import zlib
from pathlib import Path
from typing import Any

import torch

from promptpriors.analysis.projection import fit_plane, project
from promptpriors.files import write_json
from promptpriors.runs import Chart, Run, list_runs, read_map, write_chart
from promptpriors.runs.claims import Claim, Evidence, Verdict, write_claims
from promptpriors.types import Site
from tests.report.sample import SCRIPT, build_runs

DOMAINS = ["vocabulary", "C4", "SQuAD <i>1.1</i>", "arithmetic"]
SPREADS = ((0.0, 1.0), (0.6, 0.5), (1.1, 0.45), (-1.4, 0.25))
"""Where a domain's points lie along the first direction, and how far they scatter."""


def build_all(folder: Path, *, points: int = 400, charts: int = 2, length: int = 4) -> Path:
    """Runs and everything that the page can show about them."""
    build_runs(folder, length=length)
    runs = [run for run in list_runs(folder) if run.config["prompt"]["mode"] == "soft"]
    done = [run for run in runs if run.result and run.result["map"]]
    for i in range(charts):
        site = "embed" if i == 0 else f"block.{i}"
        shown, reach = (done, 1.0) if i == 0 else (done[:2], 8.0)
        found = chart(folder, shown, site, points, seed=i, reach=reach)
        write_chart(folder / "charts" / f"{i:02}.safetensors", found)
    write_figures(folder)
    write_claims(folder, claims())
    write_json(folder / "compare.json", {"tables": tables()})
    return folder


def chart(
    folder: Path, runs: list[Run], site: Site, points: int, *, seed: int = 0, reach: float = 1.0
) -> Chart:
    """Clusters by domain, and the runs' vectors times ``reach``; the second layout is bent."""
    plane = read_map(folder / "maps" / "smollm2.safetensors")
    stream = torch.Generator().manual_seed(seed)
    domain = torch.arange(points) * len(DOMAINS) // points
    dim = plane.mean.numel()
    cloud = torch.randn(points, dim, generator=stream) * torch.linspace(0.35, 0.05, dim)
    centre, spread = torch.tensor(SPREADS).T
    cloud = cloud * spread[domain, None]
    cloud[:, 0] += centre[domain]
    cloud[:, 1] += centre[domain] ** 2 / 3
    fitted = fit_plane(cloud)
    flat = project(cloud, fitted.mean, fitted.components)
    ways = {}
    for run in runs:
        path = reach * run.tensors()["trajectory/embed"]
        way = project(path.flatten(0, 1), fitted.mean, fitted.components).reshape(
            *path.shape[:2], 2
        )
        ways[run.id] = {"pca": way, "tsne": bent(way)}
    return Chart(
        model="smollm2@q4",
        site=site,
        title=f"SmolLM2, {site}",
        domains=DOMAINS,
        domain=domain,
        document=torch.where(domain == 0, 0, torch.arange(points) // 10),
        labels=[SCRIPT, "<b>bold</b>", *(f" token{i}" for i in range(points - 2))],
        layouts={"pca": flat, "tsne": bent(flat)},
        explained=fitted.explained.float(),
        prompts=ways,
    )


def bent(points: torch.Tensor) -> torch.Tensor:
    """Another layout of the same points."""
    x, y = points.unbind(-1)
    return torch.stack([20 * torch.tanh(x) + 4 * y, 15 * torch.sin(2 * y) - 3 * x], dim=-1)


def png(width: int = 64, height: int = 40) -> bytes:
    """A grey image."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\x00" + b"\xc8" * width) * height)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def write_figures(folder: Path) -> None:
    """Figures 6, 7 and 12; nobody claims anything of the last."""
    (folder / "figures").mkdir()
    for number, title in ((6, "Domains at the last block"), (7, f"Dips {SCRIPT}"), (12, "Means")):
        stored = {
            "figure": number,
            "title": title,
            "caption": "Energy distances between domains, over documents.",
            "numbers": {"energy": {"C4 / SQuAD": 0.8125, "p": None}, "layers": [0, 14, 29]},
            "command": f"promptpriors figures {number} --runs runs",
        }
        path = folder / "figures" / f"fig{number:02}.json"
        write_json(path, stored)
        path.with_suffix(".png").write_bytes(png())


def evidence(verdict: Verdict, value: float | None = None, **more: Any) -> Evidence:
    """Evidence on a claim."""
    common = {"statistic": "energy distance ratio", "evidence": "48 documents a domain."}
    stated = {"value": value, "interval": None, "p": None, "verdict": verdict, **common, **more}
    return Evidence.model_validate(stated)


def claims() -> list[Claim]:
    """One of each verdict; two name the same figure, one a figure that is not there."""
    by_study = evidence("refuted", 0.31, p=0.02, statistic="equality", evidence="12 seeds.")
    by_figure = evidence("undecided", evidence="one run of each prior")
    return [
        Claim(claim=1, text="Arithmetic forms a cluster of its own.", section="4.5", figures=[6, 7],
              figure=evidence("confirmed", 4.218, interval=(3.1, 5.6), p=0.0001)),
        Claim(claim=2, text=f"All priors end alike {SCRIPT}", figures=[6], study=by_study,
              figure=by_figure),
        Claim(claim=3, text="Prompts bridge domains.", figures=[9], figure=evidence("undecided")),
        Claim(claim=4, text="Prompts collapse.", study=evidence("not testable")),
    ]  # fmt: skip


def tables() -> list[dict[str, Any]]:
    """Two tables; the first has a gap, a comma, a quote and markup."""
    return [
        {"name": "priors", "title": "Priors on the same task", "note": "Lower is better.",
         "columns": ["Prior", "Loss", "p", "Runs"],
         "rows": [["gaussian", 1.23456789, 0.5, 3], ['text, "few-shot"', 2.5, None, 3],
                  [SCRIPT, 10.0, 0.00012, 2]]},
        {"name": "sites", "title": "Sites", "note": "", "columns": ["Site"], "rows": [["embed"]]},
    ]  # fmt: skip
