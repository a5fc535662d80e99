"""Answers with and without a trained prompt."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from promptpriors.data import ASKED
from promptpriors.errors import InputError, unknown
from promptpriors.prompts import Prompt, generate
from promptpriors.runs import Run, find_run
from promptpriors.runs.trained import load_trained
from promptpriors.types import Example, Markup


class Answers(NamedTuple):
    """Answers of the model with and without the trained prompt."""

    text: str
    with_prompt: str
    without_prompt: str


class Limits(NamedTuple):
    """Where an answer ends, besides the end token."""

    max_new_tokens: int = 32
    stop: str | None = None


def open_run(
    name: str,
    runs: Path,
    *,
    context: str | None = None,
    raw: bool = False,
    max_new_tokens: int | None = None,
    device: str | None = None,
    model: str | None = None,
) -> Callable[[str], Answers]:
    """Load a run's model and prompt once; the function returned answers a text.

    The text is given as the run's task has it, and the answer ends as the task's do. Warns when the
    model is not the one that the prompt was trained on.

    Args:
        name: the run's folder, id, or its start.
        runs: folder of run folders.
        context: what stands before the text, for tasks that have a context.
        raw: whether the text is given as it stands, whatever the task.
        max_new_tokens: in place of the task's.
        device: where to run; by default where the run did.
        model: where the run's model is now, if not where the run recorded it.

    Raises:
        InputError: if there is no such finished run, its model can't be loaded, or its task needs
            or takes no context.
    """
    run = find_run(name, runs)
    source_of(run, "a text", context, raw=raw)  # refused before the model is loaded
    backbone, prompt = load_trained(run, device, model)
    plain, limits = Prompt("none", {}, bos=prompt.bos), limits_of(run)

    def answer(text: str) -> Answers:
        if not text.strip():
            raise InputError("there is nothing to answer: the text is empty")
        examples = [Example("asked", source_of(run, text, context, raw=raw), ("",))]
        with_prompt, without = (
            generate(
                backbone,
                one,
                examples,
                max_new_tokens=max_new_tokens or limits.max_new_tokens,
                stop=limits.stop,
            )[0]
            for one in (prompt, plain)
        )
        return Answers(text, with_prompt, without)

    return answer


def source_of(
    run: Run, text: str, context: str | None = None, *, raw: bool = False
) -> tuple[str, ...]:
    """The pieces of a source that a text becomes in a run's task, or as it stands if ``raw``.

    Raises:
        InputError: if the task needs or takes no context, or is not known here.
    """
    task = run.config["task"]
    if task["name"] not in ASKED:
        raise unknown("task", task["name"], ASKED)
    form = ASKED["jsonl" if raw else task["name"]]
    pieces = form.source(text, context)
    return tuple(map(Markup, pieces)) if task.get("control_tokens") else pieces


def limits_of(run: Run) -> Limits:
    """Where the answers of a run's task end.

    Of older runs, which do not say: at a line feed in tasks whose answers have one line, else at
    the end token alone.
    """
    match (run.result or {}).get("answers"):
        case {"max_new_tokens": int(longest), "stop": str() | None as stop} if longest > 0:
            return Limits(longest, stop)
    task = run.config["task"]
    one_line = task["name"] in {"squad", "mathematics"} or (
        task["name"] == "gsm8k" and not task.get("reasoning")
    )
    return Limits(task.get("max_new_tokens", 32), "\n" if one_line else None)
