"""Does a model compute the tree exactly? Asked of the model; its kind proves nothing."""

from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from promptpriors.errors import note
from promptpriors.models import Backbone
from promptpriors.packing.forward import logits_of
from promptpriors.packing.row import pack
from promptpriors.packing.tokens import Encoded
from promptpriors.rng import generator

TOLERANCE, COARSE = 1e-4, 5e-2
"""Largest difference of logits, relative to the largest logit: float32, and coarser types."""
LEAK = 1e-6
"""Largest change of one branch's logits when another branch changes, in every type."""

_verdicts: WeakKeyDictionary[object, dict[str, bool]] = WeakKeyDictionary()


def packs_exactly(backbone: Backbone, *, longest: int = 0) -> bool:
    """True where the packed row equals plain calls of this model, up to ``longest`` positions.

    Three short random segments are computed packed and one by one, once a model; one that differs,
    or whose branches see each other, runs as padded batches and says so once. Where attention is
    cut into chunks, or rotations depend on the length of a call, rows pack as far as neither
    matters. Nothing is shared in an encoder that looks both ways, so encoder–decoders never pack.
    """
    if backbone.seq2seq or (backbone.reach is not None and longest > backbone.reach):
        return False
    known = _verdicts.setdefault(backbone.model, {})
    if backbone.kernel not in known:
        difference = _difference(backbone)
        tolerance = TOLERANCE if backbone.dtype == torch.float32 else COARSE
        known[backbone.kernel] = difference <= tolerance
        if not known[backbone.kernel]:
            note(
                f"model {backbone.name!r} ({backbone.model.config.model_type}) does not compute "
                f"packed rows exactly (logits differ by {difference:.1e}), so it runs as padded "
                "batches, slower"
            )
    return known[backbone.kernel]


@torch.no_grad()
def _difference(backbone: Backbone) -> float:
    """Largest relative difference from plain logits; infinite for a leak or a refused tree mask."""
    size = backbone.model.get_input_embeddings().num_embeddings
    drawn = torch.randint(1, size, (4, 6), generator=generator(0, "exactness")).tolist()
    shared, left, right, other = (tuple(ids) for ids in drawn)

    def branches(*pair: tuple[int, ...]) -> Tensor:
        row = pack([Encoded("branch", (shared, branch), (0,)) for branch in pair])
        return logits_of(backbone, row, {}, shift=0).float()

    try:
        packed = branches(left, right)
        leak = (packed - branches(other, right))[1].abs().max()
    except (ValueError, TypeError, RuntimeError, KeyError):
        return float("inf")
    whole = (torch.tensor([[*shared, *ids]], device=backbone.device) for ids in (left, right))
    expected = torch.stack([backbone.model(input_ids=ids).logits[0, -1].float() for ids in whole])
    scale = expected.abs().max()
    if not leak <= LEAK * scale:
        return float("inf")
    return float(((packed - expected).abs().max() / scale).nan_to_num(nan=torch.inf))
