"""Does a model compute the tree exactly? Asked of the model; its kind proves nothing."""

import warnings
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from promptpriors.errors import Note
from promptpriors.models import Backbone
from promptpriors.packing.forward import logits_of
from promptpriors.packing.row import pack
from promptpriors.packing.tokens import Encoded
from promptpriors.rng import generator

TOLERANCE = {torch.float32: 1e-4}
"""Largest difference of logits, relative to the largest logit; coarser types get ``COARSE``."""
COARSE = 5e-2
LEAK = 1e-6
"""Largest change of one branch's logits when another branch changes, in every type."""

Ids = tuple[int, ...]

_verdicts: WeakKeyDictionary[object, dict[str, bool]] = WeakKeyDictionary()


def packs_exactly(backbone: Backbone, *, longest: int = 0) -> bool:
    """Whether the packed row equals plain calls for this model, up to ``longest`` positions.

    Three short random segments are computed packed and one by one, once a model; one that differs,
    or whose branches see each other, runs as padded batches and says so once. Where attention is
    cut into chunks, or rotations depend on the length of a call, rows pack as far as neither
    matters. Nothing is shared in an encoder that looks both ways, so encoder–decoders never pack.
    """
    if backbone.seq2seq:
        return False
    if backbone.reach is not None and longest > backbone.reach:
        return False
    known = _verdicts.setdefault(backbone.model, {})
    if backbone.kernel not in known:
        difference = _difference(backbone)
        known[backbone.kernel] = difference <= TOLERANCE.get(backbone.dtype, COARSE)
        if not known[backbone.kernel]:
            warnings.warn(
                f"model {backbone.name!r} ({backbone.model.config.model_type}) does not compute "
                f"packed rows exactly (logits differ by {difference:.1e}), so it runs as padded "
                "batches, slower",
                Note,
                stacklevel=2,
            )
    return known[backbone.kernel]


@torch.no_grad()
def _difference(backbone: Backbone) -> float:
    """Largest difference between packed and plain logits, relative to the largest plain one.

    Infinite if a branch's logits change with another branch, or the model refuses a tree mask.
    """
    size = backbone.model.get_input_embeddings().num_embeddings
    drawn = torch.randint(1, size, (4, 6), generator=generator(0, "exactness")).tolist()
    shared, left, right, other = (tuple(ids) for ids in drawn)
    try:
        packed = _branches(backbone, shared, left, right)
        leak = (packed - _branches(backbone, shared, other, right))[1].abs().max()
    except (ValueError, TypeError, RuntimeError, KeyError):
        return float("inf")
    whole = (torch.tensor([[*shared, *ids]], device=backbone.device) for ids in (left, right))
    plain = [backbone.model(input_ids=ids).logits[0, -1].float() for ids in whole]
    expected = torch.stack(plain)
    scale = expected.abs().max()
    if not leak <= LEAK * scale:
        return float("inf")
    return float(((packed - expected).abs().max() / scale).nan_to_num(nan=torch.inf))


def _branches(backbone: Backbone, shared: Ids, left: Ids, right: Ids) -> Tensor:
    """Logits after each of two branches below a shared piece, float32."""
    examples = [Encoded("left", (shared, left), (0,)), Encoded("right", (shared, right), (0,))]
    return logits_of(backbone, pack(examples), {}, shift=0).float()
