"""SQuAD: questions on Wikipedia paragraphs, answered by a span of the paragraph.

Version 1.1 is Rajpurkar et al. 2016 (arXiv 1606.05250), version 2.0 Rajpurkar, Jia & Liang 2018
(arXiv 1806.03822); the latter's unanswerable questions get the target ``unanswerable``.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, StringConstraints, model_validator

from promptpriors.data.asking import Asking, ask_about
from promptpriors.data.files import ask, locate, read_json, read_parts
from promptpriors.data.scoring import UNANSWERABLE, against, is_wordless, qa_scores
from promptpriors.data.splits import Count, Positive, Unit, apportion
from promptpriors.types import Example, Task

Hub = Literal["rajpurkar/squad", "rajpurkar/squad_v2"]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
OTHERWISE = "Name a folder that holds squad/train-*.json by --data, or a SQuAD file by task.path."
SAMPLE = ask_about("What is the capital of France?", "Paris is the capital of France.")
ASKING = Asking(ask_about, "".join(SAMPLE))
KEYS = "data[].title, .paragraphs[].context, .qas[].id, .question, .answers[].text"


class _Answer(BaseModel):
    text: Text


class _Question(BaseModel):
    id: Text
    question: Text
    answers: list[_Answer]
    is_impossible: bool = False

    @model_validator(mode="after")
    def _answered(self) -> "_Question":
        if not self.answers and not self.is_impossible:
            raise ValueError("answers is empty, which needs is_impossible = true")
        return self

    @property
    def accepted(self) -> list[str]:
        return [] if self.is_impossible else [answer.text for answer in self.answers]


class _Paragraph(BaseModel):
    context: Text
    qas: list[_Question]


class _Article(BaseModel):
    title: Text
    paragraphs: list[_Paragraph]


class _File(BaseModel):
    data: list[_Article]


def build(
    *,
    path: str | None = None,
    hub: Hub = "rajpurkar/squad",
    train: Positive | None = None,
    validation: Positive | None = None,
    test: Count | None = None,
    seed: int = 0,
    folder: Path | None = None,
) -> Task:
    """Questions with their paragraph as the shared first piece.

    Train and validation have no article in common; validation's articles are drawn at random.
    Test comes from the dev file where there is one, else from further articles of the only file.
    Within a split contexts are drawn at random and all their questions taken until there are
    enough. A context of validation or test is left out of train.

    Args:
        path: a JSON file, or a folder with train-*.json and perhaps dev-*.json. None: the folder
            ``squad`` of the data folder, else ``hub``.
        hub: which data set is fetched from the hub, by the optional library ``datasets``.
        train: questions; None: all.
        validation: questions; None: 200, or a fifth of the train file's where that is less.
        test: questions; None: as many as for validation, or 200 of a dev file.
        seed: decides which questions are in a split.
        folder: the data folder.

    Raises:
        InputError: when files are missing, malformed or too small, or the hub is out of reach.
    """
    where = locate(path, folder, name="squad")
    patterns = ("train-*.json", "dev-*.json")
    pool, *dev = read_parts(where, patterns, _read, lambda: _from_hub(hub))
    sizes = {"train": train, "validation": validation, "test": test}
    given = {"test": dev[0]} if dev else None
    splits = apportion(pool, sizes, name="squad", seed=seed, given=given)
    return Task("squad", _version(splits), splits, partial(against, qa_scores))


def _version(splits: Mapping[str, Sequence[Example]]) -> int:
    """2 where a question of validation or test has an answer without a word, such as "."; else 1.

    The rule for such answers came later; no other score changed with it.
    """
    scored = (example for split in ("validation", "test") for example in splits[split])
    return 2 if any(is_wordless(text) for example in scored for text in example.targets) else 1


def _example(identity: str, context: str, question: str, answers: Iterable[str]) -> Example:
    source = ask_about(question, context)
    targets = tuple(dict.fromkeys(answer.strip() for answer in answers))
    return Example(identity, source, targets or (UNANSWERABLE,))


def _units(rows: Iterable[tuple[str, Example]]) -> list[Unit]:
    """One unit for each context of each article, from pairs of title and example."""
    contexts: dict[tuple[str, str], list[Example]] = {}
    for title, example in rows:
        contexts.setdefault((title, example.source[0]), []).append(example)
    return [Unit(title, context, tuple(found)) for (title, context), found in contexts.items()]


def _read(file: Path) -> list[Unit]:
    return _units(
        (article.title, _example(q.id, paragraph.context, q.question, q.accepted))
        for article in read_json(file, _File, "a SQuAD file", KEYS).data
        for paragraph in article.paragraphs
        for q in paragraph.qas
    )


def _from_hub(hub: str) -> Sequence[list[Unit]]:
    data = ask(hub, lambda load: load(hub), task="squad", otherwise=OTHERWISE)

    def titled(row: Mapping[str, Any]) -> tuple[str, Example]:
        answers = row["answers"]["text"]
        return row["title"], _example(row["id"], row["context"], row["question"], answers)

    return [_units(map(titled, data[part])) for part in ("train", "validation")]
