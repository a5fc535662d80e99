"""C4, the cleaned web text: one document an example, read from disk when it is asked for.

Raffel et al. 2020 (arXiv 1910.10683), section 2.2; files as ``allenai/c4`` has them.
"""

import hashlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch

from promptpriors.data.asking import Asking, continue_text
from promptpriors.data.files import ask, locate, record_at, records, text_of
from promptpriors.data.scoring import unscored
from promptpriors.data.splits import MODEST, Count, Positive, refuse_more
from promptpriors.data.text import cut
from promptpriors.errors import InputError
from promptpriors.rng import derive, generator
from promptpriors.types import Example, Task

HUB = "allenai/c4"
ASKING = Asking(continue_text, "The weather this week")
STREAMED = 2000
"""Train documents from the hub where the user asks for no number."""
BUFFER = 1000
"""Documents of the hub's stream among which the next one is drawn."""
OTHERWISE = "Name a folder that holds c4/*.jsonl by --data, or a JSONL file by task.path."
PLACE = np.dtype([("file", "u4"), ("line", "u4"), ("start", "u8")])
"""Where a document stands: 16 bytes, however long it is."""


@dataclass(frozen=True, eq=False)
class Documents(Sequence[Example]):
    """Examples that stand in files and are read one by one.

    Attributes:
        files: in the order of their names.
        places: of each document, an array of ``PLACE``.
        characters: the most that a trained text may have.
    """

    files: tuple[Path, ...]
    places: np.ndarray
    characters: int

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> "Documents": ...
    def __getitem__(self, index: int | slice) -> "Example | Documents":
        """One document, read now; or a range of them, of which nothing is read."""
        if isinstance(index, slice):
            return replace(self, places=self.places[index])
        file, line, start = self.places[index].item()
        text = text_of(record_at(self.files[file], line, start), "text")
        return _example(f"{file}/{line}", text, self.characters)


def build(
    *,
    path: str | None = None,
    characters: Positive = 2000,
    train: Positive | None = None,
    validation: Positive | None = None,
    test: Count | None = None,
    seed: int = 0,
    folder: Path | None = None,
) -> Task:
    """The beginning of each document without a source; a document that is cut has no end.

    Blank documents are skipped, and of those with the same trained text the first is taken, so no
    text stands in two splits. Files are read once to find where documents start; ids are the
    file's place in the order of names and the line.

    Args:
        path: JSON lines with the field ``text``, or a folder of such files. None: the folder ``c4``
            of the data folder, else the hub's ``allenai/c4`` in English, of which train is the
            beginning of its shuffled train part, and validation and test of its validation part.
        characters: the most that is taken of a document, cut before white space where there is any.
        train: documents; None: all, or 2000 from the hub.
        validation: documents; None: 200, or a fifth of all where that is less.
        test: documents; None: as for validation.
        seed: decides which documents are in a split.
        folder: the data folder.

    Raises:
        InputError: when files are missing, malformed or too small, or the hub is out of reach.
    """
    sizes = {"train": train, "validation": validation, "test": test}
    where = locate(path, folder, name="c4")
    if where is None:
        splits = _from_hub(sizes, characters, seed)
    else:
        splits = _apportion(_index(_files(where), characters), sizes, seed)
    return Task("c4", 1, splits, unscored, stop=None)


def _example(identity: str, text: str, characters: int) -> Example:
    kept = cut(text[: characters + 1], characters)[0]
    return Example(identity, (), (kept,), kept, ends=len(kept) == len(text))


def _files(where: Path) -> tuple[Path, ...]:
    inside = [where] if where.is_file() else sorted(f for f in where.iterdir() if f.is_file())
    found = tuple(file for file in inside if file.suffix in {".jsonl", ".json"} or file == where)
    packed = [file for file in inside if file.suffix == ".gz"]
    if packed and (not found or packed == [where]):
        raise InputError(
            f"{packed[0]} is compressed, and documents are read from the middle of a file."
            f" Unpack it: gunzip --keep {packed[0].name}"
        )
    if not found:
        raise InputError(f"{where} has no *.jsonl. Set task.path to a JSONL file or a folder.")
    return found


def _index(files: tuple[Path, ...], characters: int) -> Documents:
    """Where distinct documents stand, by a 64-bit mark of each one's trained text."""
    marks = array("Q")

    def places() -> Iterator[tuple[int, int, int]]:
        for number, file in enumerate(files):
            for record in records(file):
                if text := text_of(record, "text"):
                    kept = cut(text[: characters + 1], characters)[0].encode()
                    marks.append(int.from_bytes(hashlib.blake2b(kept, digest_size=8).digest()))
                    yield number, record.number, record.start

    found = np.fromiter(places(), PLACE)
    first = np.unique(np.array(marks, dtype=np.uint64), return_index=True)[1]
    return Documents(files, found[np.sort(first)], characters)


def _apportion(
    documents: Documents, sizes: Mapping[str, int | None], seed: int
) -> dict[str, Documents]:
    """Validation, then test, then train out of one order, with the defaults of ``splits``."""
    order = torch.randperm(len(documents), generator=generator(seed, "c4")).numpy()
    shuffled = replace(documents, places=documents.places[order])
    modest = min(MODEST, max(1, len(order) // 5))
    splits, taken = dict[str, Documents](), 0
    for split in ("validation", "test", "train"):
        last = split == "train"
        exist = len(order) - taken if last else max(0, len(order) - taken - 1)
        asked = sizes[split]
        size = asked if asked is not None else exist if last else min(modest, exist)
        refuse_more(size, exist, name="c4", split=split, things="documents")
        splits[split] = shuffled[taken : taken + size]
        taken += size
    return {split: splits[split] for split in sizes}


def _from_hub(
    sizes: Mapping[str, int | None], characters: int, seed: int
) -> dict[str, list[Example]]:
    """As many documents as are asked for, from the hub's stream, in memory."""
    usual = {"train": STREAMED, "validation": MODEST, "test": MODEST}
    wanted = {split: usual[split] if size is None else size for split, size in sizes.items()}
    taken = set[str]()

    def read(load: Callable[..., Any]) -> dict[str, list[Example]]:
        found = {}
        for part, splits in (("validation", ("validation", "test")), ("train", ("train",))):
            rows = load(HUB, "en", split=part, streaming=True)
            rows = rows.shuffle(seed=derive(seed, "c4", part) % 2**32, buffer_size=BUFFER)
            examples = _distinct(rows, part, characters, taken)
            found |= {split: list(islice(examples, wanted[split])) for split in splits}
        return found

    found = ask(HUB, read, task="c4", otherwise=OTHERWISE, streamed=True)
    for split, examples in found.items():
        refuse_more(wanted[split], len(examples), name="c4", split=split, things="documents")
    return {split: found[split] for split in sizes}


def _distinct(
    rows: Iterable[Mapping[str, Any]], part: str, characters: int, taken: set[str]
) -> Iterator[Example]:
    """Examples of a stream whose trained text is neither blank nor taken."""
    for number, row in enumerate(rows):
        example = _example(f"{part}/{number}", row["text"].strip(), characters)
        if example.targets[0] and example.targets[0] not in taken:
            taken.add(example.targets[0])
            yield example
