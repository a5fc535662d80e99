"""How long does the t-SNE map of a whole vocabulary take, and placing a prompt's way on it?

    python benchmarks/tsne.py [MODEL]

MODEL is smollm2 unless another is named.
"""

import sys
import time

import torch

import promptpriors as pp
from promptpriors.analysis.tsne import fit_tsne


def main(model: str) -> None:
    torch.set_num_threads(2)
    points = pp.vocabulary(pp.load_model(model)).points
    began = time.perf_counter()
    fitted = fit_tsne(points)
    fit = time.perf_counter() - began
    began = time.perf_counter()
    fitted.place(points[:200] + 0.01)
    place = time.perf_counter() - began
    print(f"{len(points)} x {points.shape[1]}: fit {fit:.0f} s, 200 points placed in {place:.1f} s")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "smollm2")
