"""A model's vocabulary as a Space: each trained row of its input embeddings once."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from promptpriors.models.backbone import Backbone
from promptpriors.types import Space

SAME_DIRECTION = 0.99
"""Cosine to a special token's row from which an ordinary row counts as never trained."""


def vocabulary(backbone: Backbone, *, counts: Float[Tensor, " vocab"] | None = None) -> Space:
    """The vocabulary without special and never-trained rows.

    Args:
        backbone: whose vocabulary.
        counts: how often each token id occurs, which become the points' weights.

    Returns:
        A Space at ``embed``, float32 on the CPU; ``encode`` maps text to its rows, leaving out
        tokens that have no row.
    """
    points, kept = _rows(backbone)
    row_of = torch.full((len(points),), -1)
    row_of[kept] = torch.arange(int(kept.sum()))

    def encode(text: str) -> list[int]:
        ids = backbone.encode(text, control=True)
        return [int(row_of[i]) for i in ids if row_of[i] >= 0]

    weights = None if counts is None else counts[kept].to(torch.float32)
    tokens = kept.nonzero()[:, 0]
    return Space("embed", points[kept], weights=weights, encode=encode, tokens=tokens)


def labels(backbone: Backbone) -> list[str]:
    """The text of each row of ``vocabulary(backbone)``; a lone byte is shown as its token."""
    ids = _rows(backbone)[1].nonzero()[:, 0].tolist()
    texts = backbone.tokenizer.batch_decode([[i] for i in ids])
    tokens = backbone.tokenizer.convert_ids_to_tokens(ids)
    return [token if "\ufffd" in text else text for text, token in zip(texts, tokens, strict=True)]


def ordinary_rows(
    points: Float[Tensor, "vocab dim"], special: list[int], entries: int
) -> Bool[Tensor, " vocab"]:
    """Rows that are neither special nor never trained.

    A row is taken for never trained when it lies beyond the tokenizer's entries, is zero, or points
    where a special token's row does: special tokens that pre-training never used stay together at
    the remains of their start, and so do ordinary tokens that never occurred (compare Land &
    Bartolo, arXiv 2405.05417, who find under-trained tokens by such a distance).
    """
    norms = points.norm(dim=1)
    kept = norms > 0
    kept[entries:] = False
    known = [i for i in special if 0 <= i < len(points)]
    if known:
        directions = points / norms.clamp_min(torch.finfo(points.dtype).tiny)[:, None]
        cosines = directions @ directions[known].T
        kept &= cosines.amax(dim=1) < SAME_DIRECTION
        kept[known] = False
    return kept


def _rows(backbone: Backbone) -> tuple[Tensor, Tensor]:
    """All rows of the input embeddings, float32 on the CPU, and which of them are ordinary."""
    with torch.no_grad():
        every = torch.arange(backbone.model.get_input_embeddings().num_embeddings)
        points = backbone.embed(every).to("cpu", torch.float32)
    tokenizer = backbone.tokenizer
    added = [i for i, token in tokenizer.added_tokens_decoder.items() if token.special]
    special = sorted({*map(int, tokenizer.all_special_ids), *map(int, added)})
    return points, ordinary_rows(points, special, len(tokenizer))
