"""The commands `export`, `pack` and `report`: runs for other software, for storage, for readers."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from promptpriors.cli.options import Folder, Json, Model, Runs
from promptpriors.cli.output import print_json, remark, say


def export(
    name: Annotated[str, typer.Argument(metavar="RUN", help="A run's folder, id, or its start.")],
    out: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write.")],
    to: Annotated[
        str, typer.Option("--to", metavar="peft|peft-prefix|embeddings", help="For what.")
    ],
    with_model: Annotated[
        bool, typer.Option("--with-model", help="Write the model as well, into DIR/model.")
    ] = False,
    runs: Runs = Path("runs"),
    model: Model = None,
    as_json: Json = False,
) -> None:
    """Write a trained prompt for other software, and print how to use it there.

    peft: an adapter folder for PeftModel.from_pretrained. peft-prefix: the same prompt as keys and
    values, right in left-padded batches too (lm-evaluation-harness). embeddings: rows that stand
    before the text's embeddings, for inputs_embeds of transformers and prompt_embeds of vLLM.

    Example: promptpriors export 3f2a --to peft adapter
    """
    from promptpriors.running import export as exports

    done = exports.export(name, runs, to, out, with_model=with_model, model=model)
    if as_json:
        print_json(done._asdict() | {"to": to})
    else:
        say(done.text().rstrip("\n"))


def pack(
    runs: Annotated[Path, typer.Argument(metavar="RUNS", help="Folder of run folders.")],
    file: Annotated[Path, typer.Argument(metavar="FILE.runs.jsonl.gz", help="The file to write.")],
    vectors: Annotated[
        Literal["none", "final", "all"],
        typer.Option("--vectors", help="Vectors to keep: none, the last step's, or all."),
    ] = "final",
    precision: Annotated[
        Literal["float16", "float32"], typer.Option("--precision", help="Of the kept vectors.")
    ] = "float16",
    without: Annotated[
        list[str] | None,
        typer.Option("--without", metavar="nearest_tokens", help="What to leave out of results."),
    ] = None,
    leave_out_unfinished: Annotated[
        bool, typer.Option("--leave-out-unfinished", help="Pack the finished and failed runs only.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Runs of a folder in few files, which every command reads like the folder.

    Studies, tables and stored figures are copied beside FILE. RUNS stays as it is.

    Example: promptpriors pack runs results/all.runs.jsonl.gz
    """
    from promptpriors.runs.pack import pack_runs

    done = pack_runs(
        runs,
        file,
        vectors=vectors,
        precision=precision,
        without=without or (),
        leave_out_unfinished=leave_out_unfinished,
    )
    if as_json:
        print_json(done._asdict())
        return
    if done.unfinished:
        remark(f"{len(done.unfinished)} unfinished runs are left out")
    remark(f"{done.runs} runs are packed; the folder {runs} is as it was")
    for path in done.files:
        say(str(path))


def report(
    folder: Folder,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE.html", help="The page to write.")
    ] = None,
    as_json: Json = False,
) -> None:
    """One self-contained page about the runs of a folder; opens offline.

    Example: promptpriors report runs --out report.html
    """
    from promptpriors.report import write_report

    page = write_report(folder, out)
    if as_json:
        print_json({"report": page})
    else:
        say(str(page))
