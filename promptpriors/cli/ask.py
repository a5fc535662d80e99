"""The command `ask`: answers with and without a trained prompt."""

import sys
from collections.abc import Iterable
from itertools import takewhile
from pathlib import Path
from typing import Annotated

import typer

from promptpriors.cli.options import Json, Model, Runs
from promptpriors.cli.output import print_json, use_threads
from promptpriors.errors import InputError


def ask(
    name: Annotated[str, typer.Argument(metavar="RUN", help="A run's folder, id, or its start.")],
    text: Annotated[
        str | None, typer.Argument(metavar="TEXT", help="A question; none: stdin, or a dialogue.")
    ] = None,
    runs: Runs = Path("runs"),
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest answer in tokens.")] = 32,
    device: Annotated[str | None, typer.Option(help="Where to run; else as the run did.")] = None,
    model: Model = None,
    as_json: Json = False,
) -> None:
    """Answer with a trained prompt, and without it beside.

    The text becomes "Question: TEXT" and "Answer:" on two lines, as in the tasks; a text that ends
    in a colon is taken as it is. With --json, questions from stdin give one list.

    Example: promptpriors ask 3f2a "What is 17 + 25?"
    """
    from promptpriors.running.ask import Answers, open_run

    use_threads(None)
    answer = open_run(name, runs, max_new_tokens, device, model)

    def show(found: Answers) -> dict[str, str]:
        if not as_json:
            sys.stdout.write(f"with the prompt:    {found.with_prompt}\n")
            sys.stdout.write(f"without the prompt: {found.without_prompt}\n")
            sys.stdout.flush()
        return found._asdict()

    if text is not None:
        found = show(answer(text))
        if as_json:
            print_json(found)
        return
    lines: Iterable[str] = sys.stdin or ()
    if sys.stdin and sys.stdin.isatty():
        sys.stderr.write("one question a line, an empty line ends\n")
        lines = takewhile(str.strip, sys.stdin)
    try:
        several = [show(answer(line.strip())) for line in lines if line.strip()]
    except UnicodeDecodeError:
        raise InputError("the questions on stdin are not UTF-8 text") from None
    if not several:
        raise InputError("there is no text to answer: give TEXT, or questions on stdin")
    if as_json:
        print_json(several)
