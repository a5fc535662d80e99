"""The command `capture`: activations of a task into a store."""

from pathlib import Path
from typing import Annotated

import typer

from promptpriors.cli.options import Config, Data, Json, Overrides, Runs
from promptpriors.cli.output import print_json, progress_bar, remark, resumable, say, use_threads


def capture(
    config: Config,
    overrides: Overrides = None,
    prompt: Annotated[
        str | None,
        typer.Option("--prompt", metavar="RUN", help="Whose trained prompt stands in front."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="The store; else in the cache.")
    ] = None,
    runs: Runs = Path("runs"),
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Activations of chosen sites over a task, into a store; prints the store's folder.

    What is captured stands in [capture]: sites, split, documents, tokens, dtype, what, out. A
    capture that was interrupted goes on.

    Example: promptpriors capture configs/c4.toml --data ../data 'capture.sites=["block.29"]'
    """
    from promptpriors.config.sections import read_capture
    from promptpriors.running.capture import execute_capture
    from promptpriors.running.workspace import Workspace

    more = [] if out is None else [f"capture.out={out}"]
    resolved = read_capture(config, [*(overrides or []), *more])
    use_threads(resolved.threads)
    workspace = Workspace(data)
    with (
        progress_bar() as on_progress,
        resumable("what was written stays; the same command goes on"),
    ):
        done = execute_capture(resolved, workspace, run=prompt, runs=runs, on_progress=on_progress)
    if as_json:
        print_json(done._asdict())
        return
    say(str(done.folder))
    remark(
        f"{done.documents} documents, {done.examples} examples, {done.tokens} tokens"
        f" ({done.computed} documents read now, in {done.seconds:.0f} s)"
    )
