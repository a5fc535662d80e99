"""The command `export`: a trained prompt for other software."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from promptpriors.cli.options import Json, Runs, print_json


def export(
    name: Annotated[str, typer.Argument(metavar="RUN", help="A run's folder, id, or its start.")],
    out: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write.")],
    to: Annotated[str, typer.Option("--to", metavar="peft|embeddings", help="For what.")],
    runs: Runs = Path("runs"),
    as_json: Json = False,
) -> None:
    """Write a trained prompt for other software, and print how to use it there.

    peft: an adapter folder for PeftModel.from_pretrained. embeddings: rows that stand before the
    text's embeddings, for inputs_embeds of transformers and prompt_embeds of vLLM.

    Example: promptpriors export 3f2a --to peft adapter
    """
    from promptpriors.running import export as exports

    done = exports.export(name, runs, to, out)
    if as_json:
        print_json({**done._asdict(), "folder": str(done.folder), "to": to})
    else:
        sys.stdout.write(done.text())
