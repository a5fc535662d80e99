"""Sources of bare texts, as the tasks write them: what a trained prompt has learned to continue."""

from collections.abc import Callable
from typing import NamedTuple

from promptpriors.errors import InputError


class Asking(NamedTuple):
    """How a bare text becomes a source of a task.

    Attributes:
        source: a text, and a context where the task has one, to pieces of a source.
        sample: a source such as the task has, for printed code.
    """

    source: Callable[[str, str | None], tuple[str, ...]]
    sample: str


def question(text: str) -> str:
    r"""A question in the words of the tasks.

    >>> question("2 + 2?")
    'Question: 2 + 2?\nAnswer:'
    """
    return f"Question: {text}\nAnswer:"


def ask_alone(text: str, context: str | None) -> tuple[str, ...]:
    """The source of a question that has no context; one that has the tasks' words keeps them.

    Raises:
        InputError: with a context.
    """
    _refuse(context)
    text = text.strip()
    worded = text.startswith("Question: ") and text.endswith("\nAnswer:")
    return (text if worded else question(text),)


def ask_about(text: str, context: str | None) -> tuple[str, ...]:
    """The source of a question about a context, which is a piece of its own.

    Raises:
        InputError: without a context.
    """
    if context is None or not context.strip():
        raise InputError(
            "the run's task asks about a paragraph: give it by --context, as a text or a file; or "
            "give the whole text, paragraph and question, by --raw"
        )
    return f"{context.strip()}\n", question(text.strip())


def continue_text(text: str, context: str | None) -> tuple[str, ...]:
    """A text that is continued, as it stands.

    Raises:
        InputError: with a context.
    """
    _refuse(context)
    return (text,)


def as_given(text: str, context: str | None) -> tuple[str, ...]:
    """The text as it stands, behind the context if there is one."""
    return (text,) if context is None else (context, text)


def _refuse(context: str | None) -> None:
    if context is not None:
        raise InputError(
            "the run's task has no context beside the text: leave out --context, or give both in "
            "one text by --raw"
        )
