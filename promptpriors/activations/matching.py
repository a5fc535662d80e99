"""Domains alike in length: a control for whatever their texts' lengths alone would explain."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Generator

from promptpriors.activations.chains import chain_rows
from promptpriors.activations.store import Store
from promptpriors.errors import InputError
from promptpriors.rng import generator
from promptpriors.types import Site, Space


def matched_spaces(
    stores: Sequence[str | Path | Store], site: Site, *, seed: int = 0
) -> list[Space]:
    """Spaces of several domains, all with texts of the same lengths, as a control.

    Of each store as many documents are drawn, and of each document one text; then the k-th longest
    of every domain is cut to the shortest of the k-th longest. What a decoder makes of a token does
    not depend on later ones, so a text that is cut afterwards is a text that was cut before.

    Args:
        stores: of decoders, a row a token.
        site: one that was captured in all of them.
        seed: of the draw.

    Returns:
        A space for each store; first tokens are left out.

    Raises:
        InputError: for a store of means or of an encoder.
    """
    opened = [s if isinstance(s, Store) else Store(s) for s in stores]
    for store in opened:
        if store.manifest["what"] == "mean" or store.manifest.get("bidirectional"):
            raise InputError(
                f"store {store.folder} can't be matched by length: expected a row a token of a "
                "model that does not look ahead"
            )
    streams = [generator(seed, "matched", number) for number in range(len(opened))]
    drawn = [_one_each(store, stream) for store, stream in zip(opened, streams, strict=True)]
    count = min(len(texts) for texts in drawn)
    ranked = []
    for texts, stream in zip(drawn, streams, strict=True):
        some = [texts[i] for i in torch.randperm(len(texts), generator=stream)[:count].tolist()]
        ranked.append(sorted(some, key=len, reverse=True))
    lengths = [min(map(len, texts)) for texts in zip(*ranked, strict=True)]
    cut = [
        [text[1:length] for text, length in zip(texts, lengths, strict=True)] for texts in ranked
    ]
    return [_picked(store, site, texts) for store, texts in zip(opened, cut, strict=True)]


def _one_each(store: Store, stream: Generator) -> list[list[int]]:
    """The rows of one random text of each document, numbered through all shards."""
    found: dict[int, list[tuple[list[int], int, int]]] = {}
    offset = 0
    for part in store.parts("before", "last", "document"):
        before = part["before"].tolist()
        for last in part["last"].tolist():
            document = int(part["document"][last])
            found.setdefault(document, []).append((before, last, offset))
        offset += len(before)
    texts = []
    for choices in found.values():
        pick = int(torch.randint(len(choices), (1,), generator=stream))
        before, last, start = choices[pick]
        texts.append([start + row for row in chain_rows(before, last, len(before))])
    return texts


def _picked(store: Store, site: Site, texts: Sequence[Sequence[int]]) -> Space:
    """The points of some rows, text by text; each text is a group."""
    rows = torch.tensor([row for text in texts for row in text], dtype=torch.long)
    if not len(rows):
        raise InputError("texts matched by length are one token long, and first tokens don't count")
    sizes = torch.tensor([len(text) for text in texts])
    found, tokens, places, offset = [], [], [], 0
    for part in store.parts(f"site/{site}", "token"):
        size = len(part["token"])
        here = ((rows >= offset) & (rows < offset + size)).nonzero()[:, 0]
        found.append(part[f"site/{site}"][rows[here] - offset].float())
        tokens.append(part["token"][rows[here] - offset].long())
        places.append(here)
        offset += size
    order = torch.argsort(torch.cat(places))
    points = torch.cat(found)[order]
    positions = torch.cat([torch.arange(1, int(size) + 1) for size in sizes])
    groups = torch.repeat_interleave(torch.arange(len(texts)), sizes)
    return Space(site, points, groups=groups, positions=positions, tokens=torch.cat(tokens)[order])
