"""The command `ask`: answers with and without a trained prompt."""

import sys
from collections.abc import Iterable
from itertools import takewhile
from pathlib import Path
from typing import Annotated

import typer

from promptpriors.cli.options import Json, Model, Runs
from promptpriors.cli.output import print_json, remark, say, use_threads
from promptpriors.errors import InputError


def ask(
    name: Annotated[str, typer.Argument(metavar="RUN", help="A run's folder, id, or its start.")],
    text: Annotated[
        str | None, typer.Argument(metavar="TEXT", help="A text; none: stdin, or a dialogue.")
    ] = None,
    runs: Runs = Path("runs"),
    context: Annotated[
        str | None,
        typer.Option(metavar="TEXT|FILE", help="What the text is about, for runs on squad."),
    ] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Give the text as it stands.")] = False,
    max_new_tokens: Annotated[
        int | None, typer.Option(min=1, help="Longest answer in tokens; else the task's.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="Where to run; else as the run did.")] = None,
    model: Model = None,
    as_json: Json = False,
) -> None:
    """Answer with a trained prompt, and without it beside.

    The text is given as the run's task has it: of mathematics and gsm8k it becomes "Question: TEXT"
    and "Answer:" on two lines, of squad these stand behind the --context, and runs on jsonl, c4 and
    text get it as it stands, as --raw gives it to all. With --json, texts from stdin, one a line,
    give one list.

    Example: promptpriors ask 3f2a "What is 17 + 25?"
    """
    from promptpriors.running.ask import Answers, open_run

    use_threads(None)
    answer = open_run(
        name,
        runs,
        context=_read(context),
        raw=raw,
        max_new_tokens=max_new_tokens,
        device=device,
        model=model,
    )

    def show(found: Answers) -> dict[str, str]:
        if not as_json:
            say(f"with the prompt:    {found.with_prompt}")
            say(f"without the prompt: {found.without_prompt}")
        return found._asdict()

    if text is not None:
        found = show(answer(text))
        if as_json:
            print_json(found)
        return
    lines: Iterable[str] = sys.stdin or ()
    if sys.stdin and sys.stdin.isatty():
        remark("one text a line, an empty line ends")
        lines = takewhile(str.strip, sys.stdin)
    try:
        several = [show(answer(line.rstrip("\r\n"))) for line in lines if line.strip()]
    except UnicodeDecodeError:
        raise InputError("the texts on stdin are not UTF-8 text") from None
    if not several:
        raise InputError("there is no text to answer: give TEXT, or texts on stdin")
    if as_json:
        print_json(several)


def _read(context: str | None) -> str | None:
    """A context's text, read from the file of that name if there is one."""
    from promptpriors.data.files import read_text

    try:
        named = context is not None and Path(context).is_file()
    except (OSError, ValueError):  # no name that a file could have
        named = False
    return read_text(Path(context)) if context is not None and named else context
