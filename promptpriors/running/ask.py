"""Answers with and without a trained prompt."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from promptpriors.errors import InputError
from promptpriors.prompts import Prompt, generate
from promptpriors.runs import find_run
from promptpriors.runs.trained import load_trained
from promptpriors.types import Example


class Answers(NamedTuple):
    """Answers of the model with and without the trained prompt."""

    text: str
    with_prompt: str
    without_prompt: str


def open_run(
    name: str,
    runs: Path,
    max_new_tokens: int,
    device: str | None = None,
    model: str | None = None,
) -> Callable[[str], Answers]:
    """Load a run's model and prompt once; the function returned answers a text.

    Warns when the model is not the one that the prompt was trained on. ``model`` is where it is
    now, if not where the run recorded it.

    Raises:
        InputError: if there is no such finished run, or its model can't be loaded.
    """
    run = find_run(name, runs)
    backbone, prompt = load_trained(run, device, model)
    plain = Prompt("none", {}, bos=prompt.bos)

    def answer(text: str) -> Answers:
        if not text.strip():
            raise InputError("there is nothing to answer: the text is empty")
        source = text if text.rstrip().endswith(":") else f"Question: {text}\nAnswer:"
        examples = [Example(id="asked", source=(source,), targets=("",))]
        with_prompt, without = (
            generate(backbone, one, examples, max_new_tokens=max_new_tokens, stop="\n")[0]
            for one in (prompt, plain)
        )
        return Answers(text, with_prompt, without)

    return answer
