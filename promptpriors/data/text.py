"""Language modelling on plain text: the trained text is the document itself, piece by piece."""

from itertools import pairwise
from pathlib import Path

from promptpriors.data.asking import Asking, continue_text
from promptpriors.data.files import find, read_text
from promptpriors.data.scoring import unscored
from promptpriors.data.splits import Count, Positive, Unit, apportion
from promptpriors.errors import InputError
from promptpriors.types import Example, Task

ASKING = Asking(continue_text, "The weather this week")
STRETCHES = 10
"""A lone document is cut into this many stretches, which then count as documents."""


def build(
    *,
    path: str | None = None,
    characters: Positive = 1000,
    train: Positive | None = None,
    validation: Positive | None = None,
    test: Count | None = None,
    seed: int = 0,
    folder: Path | None = None,
) -> Task:
    """Pieces of documents without a source; only the last piece of a document ends.

    The pieces of one document stay in one split and in their order; documents are drawn at random.

    Args:
        path: a text file, or a folder with a file a document (also in subfolders; hidden ones not).
            None: the help topics that come with Python, which differ between its versions.
        characters: the most that a piece may have.
        train: pieces; None: all.
        validation: pieces; None: 200, or a fifth of all where that is less.
        test: pieces; None: as for validation.
        seed: decides which pieces are in a split.
        folder: the data folder, where ``path`` is looked for too.

    Raises:
        InputError: when the text is missing, not UTF-8, blank or too short to be split.
    """
    if path is None:
        from pydoc_data.topics import topics

        documents = {name: topics[name].strip() for name in sorted(topics)}
    else:
        documents = _documents(find(path, folder))
    stretches = STRETCHES if len(documents) == 1 else 1
    pool = [unit for text in documents.items() for unit in _units(*text, characters, stretches)]
    sizes = {"train": train, "validation": validation, "test": test}
    splits = apportion(pool, sizes, name="text", seed=seed)
    return Task("text", 1, splits, unscored, stop=None)


def cut(document: str, characters: int) -> list[str]:
    """Consecutive pieces of at most ``characters``, cut before white space where there is any.

    Joined, they are the document again.

    >>> cut("one two three", 8)
    ['one two', ' three']
    """
    pieces, start = [], 0
    while len(document) - start > characters:
        end = start + characters
        spaces = (i for i in range(end, start, -1) if document[i].isspace())
        end = next(spaces, end)
        pieces.append(document[start:end])
        start = end
    return [*pieces, document[start:]]


def _units(name: str, document: str, characters: int, stretches: int) -> list[Unit]:
    pieces = cut(document, characters)
    examples = [
        Example(f"{name}/{i}", (), (piece,), piece, ends=i == len(pieces) - 1)
        for i, piece in enumerate(pieces)
        if not piece.isspace()
    ]
    bounds = [len(examples) * k // stretches for k in range(stretches + 1)]
    parts = [tuple(examples[a:b]) for a, b in pairwise(bounds) if a < b]
    return [Unit(part[0].id, "".join(piece.targets[0] for piece in part), part) for part in parts]


def _documents(where: Path) -> dict[str, str]:
    """Documents that are not blank, by their number in the order of their paths."""
    files = [where]
    if where.is_dir():
        names = sorted(f.relative_to(where).as_posix() for f in where.rglob("*") if f.is_file())
        files = [where / n for n in names if not any(p.startswith(".") for p in n.split("/"))]
    texts = [text for file in files if (text := read_text(file).strip())]
    if not texts:
        raise InputError(
            f"{where} holds no text. Set task.path to a text file or a folder of them."
        )
    return {str(i): text for i, text in enumerate(texts)}
