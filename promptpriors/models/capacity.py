"""Positions that a model has room for: what its config says, and what its tables hold."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

PROBE = 10
"""Tokens of the text by which a model is asked; its decoder is asked with one less."""
NAMES = ("max_position_embeddings", "max_seq_len")
"""Settings that bound a text's length; what bounds only an encoder or a decoder has more names."""


def capacities(model: Any) -> tuple[int | None, int | None]:
    """Longest texts in tokens of what reads, and of an encoder–decoder's decoder.

    A table of learned positions may be shorter than the config says, since some architectures leave
    its first rows out (RoBERTa's begin behind the padding token) or name its size otherwise (LED).
    So the model is called once on a short text, and the rows that it looks up are counted. None
    where nothing bounds a text; relative positions such as T5's have no end.
    """
    config = model.config.get_text_config()
    said = [size for name in NAMES if isinstance(size := getattr(config, name, None), int)]
    limits = [size for size in said if size > 0]
    found = _looked_up(model)
    read = [rows for length, rows in found if length >= PROBE]  # some pad what they read
    written = [rows for length, rows in found if length == PROBE - 1]
    return min(limits + read, default=None), min(limits + written, default=None)


@torch.no_grad()
def _looked_up(model: Any) -> list[tuple[int, int]]:
    """For each table of positions the length of the text, and the rows from its first one on."""
    weight = model.get_input_embeddings().weight
    ids = torch.full((1, PROBE), 5, device=weight.device)  # alike, so that they are no positions
    given: dict[str, Tensor] = {"input_ids": ids}
    if model.config.is_encoder_decoder:
        given["decoder_input_ids"] = ids[:, 1:]
    with _recorded() as found:
        try:
            model(**given, use_cache=False)
        except Exception:  # a model that can't be called is refused elsewhere
            return []
    return found


@contextmanager
def _recorded() -> Iterator[list[tuple[int, int]]]:
    """Look-ups of neighbouring rows in tables, while a model is called."""
    found: list[tuple[int, int]] = []
    look_up = torch.nn.functional.embedding

    def recorded(ids: Tensor, weight: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        row = ids.reshape(-1)[: ids.shape[-1]]
        if len(row) > 1 and bool((row.diff() == 1).all()):
            found.append((len(row), len(weight) - int(row[0])))
        return look_up(ids, weight, *args, **kwargs)

    with patch.object(torch.nn.functional, "embedding", recorded):
        yield found
