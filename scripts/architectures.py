"""The table docs/architectures.md: every architecture of transformers against its plain calls.

    python -m scripts.architectures

Builds each one tiny (`tests/architectures/building.py`), compares (`comparing.py`) and writes the
table; a few minutes.
"""

import sys
from collections import Counter
from pathlib import Path

import torch
import transformers

from tests.architectures.building import kinds
from tests.architectures.comparing import Outcome, outcome

TABLE = Path(__file__).parent.parent / "docs" / "architectures.md"


def main() -> None:
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    chosen = sys.argv[1:]
    found = []
    for kind, seq2seq in kinds():
        if not chosen or kind in chosen:
            one = outcome(kind, seq2seq=seq2seq)
            found.append((one, seq2seq))
            print(*one, sep=" | ", flush=True)
    if not chosen:
        TABLE.write_text(page(found), encoding="utf-8")


def page(found: list[tuple[Outcome, bool]]) -> str:
    """The table as Markdown."""
    counts = Counter(one.state for one, _ in found)
    built = sum(counts.values()) - counts["not built"]
    lines = [
        "# Architectures",
        "",
        f"transformers {transformers.__version__} maps {len(found)} architectures and variants to "
        f"language models. {built} of them can be built tiny; {counts['right']} are right, "
        f"{counts['refused']} are refused with a sentence, {counts['wrong']} are wrong and "
        f"{counts['crashed']} crash. Made by `python -m scripts.architectures`; "
        "`make test-architectures` checks it.",
        "",
        "*Right*: plain loss, soft loss, its gradient and greedy answers of texts of 14 to 145 "
        "tokens in one batch equal Hugging Face's own model called on one text at a time, "
        "unpadded and without a cache; where they are offered, `kv` against its own cache (under a "
        "window one text at a time) and `deep-cut` one text at a time. Windows, "
        "indices, chunks and original contexts are 20 to 64 positions there, so that the texts "
        "pass them. The models are random.",
        "",
        "*Packed*: contexts are computed once. *Padded*: batches as elsewhere. *Alone*: one by "
        "one, since what the model makes of a text depends on what is computed beside it. How a "
        "model is computed is found out by asking it at the length that is needed, so that a real "
        "one with longer windows packs up to those.",
        "",
        "| architecture | | modes | why |",
        "|---|---|---|---|",
    ]
    for one, seq2seq in sorted(
        found, key=lambda pair: (pair[0].state == "not built", pair[0].kind)
    ):
        how = one.way if one.state == "right" else one.state
        kind = f"{one.kind} (encoder–decoder)" if seq2seq else one.kind
        reason = one.reason.replace("|", "/") if one.state != "right" else ""
        lines.append(f"| {kind} | {how} | {', '.join(one.modes)} | {reason} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
