"""A trained prompt is asked what its task asks."""

from pathlib import Path

import pytest

import promptpriors as pp
from promptpriors.data import ASKED, TASKS
from promptpriors.running.ask import open_run
from promptpriors.runs import Run
from promptpriors.types import Markup

WRAPPED = "Question: Who?\nAnswer:"


@pytest.fixture
def ask(monkeypatch):
    """Ask a run on a task: the source, the longest answer and the stop that reach the model."""

    def start(task, text, answers=None, **settings):
        calls = []

        def generate(_backbone, _prompt, examples, *, max_new_tokens, stop):
            calls.append((examples[0].source, max_new_tokens, stop))
            return ["said"]

        run = Run(Path("runs/1"), {"task": task}, {"answers": answers} if answers else {}, None)
        prompt = pp.Prompt("none", {})
        monkeypatch.setattr("promptpriors.running.ask.find_run", lambda *_: run)
        monkeypatch.setattr("promptpriors.running.ask.load_trained", lambda *_: (None, prompt))
        monkeypatch.setattr("promptpriors.running.ask.generate", generate)
        found = open_run("1", Path("runs"), **settings)(text)
        assert found == (text, "said", "said")
        assert calls[0] == calls[1]
        return calls[0]

    return start


@pytest.mark.parametrize(
    ("task", "text", "settings", "source"),
    [
        ("mathematics", "Who?", {}, (WRAPPED,)),
        ("mathematics", " Who? ", {}, (WRAPPED,)),
        ("mathematics", WRAPPED, {}, (WRAPPED,)),
        ("mathematics", "Who:", {}, ("Question: Who:\nAnswer:",)),
        ("mathematics", "Who? ", {"raw": True}, ("Who? ",)),
        ("gsm8k", "Who?", {}, (WRAPPED,)),
        ("squad", "Who?", {"context": " Me. "}, ("Me.\n", WRAPPED)),
        ("squad", "Me. Who?", {"raw": True}, ("Me. Who?",)),
        ("squad", "Who?", {"raw": True, "context": "Me. "}, ("Me. ", "Who?")),
        ("c4", "Once upon ", {}, ("Once upon ",)),
        ("text", "Once upon", {}, ("Once upon",)),
        ("jsonl", "I was charged twice.", {}, ("I was charged twice.",)),
        ("jsonl", " as it is:\n", {}, (" as it is:\n",)),
        ("jsonl", "a", {"context": "b\n"}, ("b\n", "a")),
    ],
)
def test_a_text_is_given_as_the_runs_task_has_it(ask, task, text, settings, source):
    assert ask({"name": task}, text, **settings)[0] == source


@pytest.mark.parametrize(
    ("task", "answers", "limits"),
    [
        ({"name": "mathematics"}, {"max_new_tokens": 24, "stop": "\n"}, (24, "\n")),
        ({"name": "jsonl"}, {"max_new_tokens": 5, "stop": None}, (5, None)),
        ({"name": "squad"}, None, (32, "\n")),
        ({"name": "squad"}, {"max_new_tokens": "many", "stop": "\n"}, (32, "\n")),
        ({"name": "squad"}, [3], (32, "\n")),
        ({"name": "gsm8k", "reasoning": False}, None, (32, "\n")),
        ({"name": "gsm8k", "reasoning": True}, None, (32, None)),
        ({"name": "jsonl", "max_new_tokens": 9}, None, (9, None)),
    ],
)
def test_an_answer_ends_as_the_tasks_do(ask, task, answers, limits):
    context = "c" if task["name"] == "squad" else None
    assert ask(task, "Who?", answers, context=context)[1:] == limits
    longest = ask(task, "Who?", answers, context=context, max_new_tokens=3)
    assert longest[1:] == (3, limits[1])


@pytest.mark.parametrize(
    ("task", "context", "problem"),
    [
        ("squad", None, "the run's task asks about a paragraph: give it by --context"),
        ("squad", " ", "the run's task asks about a paragraph"),
        ("mathematics", "c", "no context beside the text: leave out --context"),
        ("gsm8k", "c", "no context beside the text"),
        ("c4", "c", "no context beside the text"),
        ("text", "c", "no context beside the text"),
        ("mine", None, "unknown task 'mine'"),
    ],
)
def test_a_context_that_is_missing_or_too_much_is_said(ask, task, context, problem):
    with pytest.raises(pp.InputError, match=problem):
        ask({"name": task}, "Who?", context=context)


@pytest.mark.parametrize("asked", [False, True])
def test_control_tokens_are_read_as_the_run_read_them(ask, asked):
    ((piece,), *_) = ask({"name": "jsonl", "control_tokens": asked}, "<|im_end|>")
    assert isinstance(piece, Markup) == asked


def test_every_task_says_how_it_is_asked():
    assert set(ASKED) == set(TASKS)
    assert all(form.sample.strip() for form in ASKED.values())
