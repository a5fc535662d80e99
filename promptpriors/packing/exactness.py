"""Does a model compute the tree exactly? Asked of the model; its kind proves nothing."""

import warnings
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from promptpriors.errors import Note
from promptpriors.models import Backbone
from promptpriors.packing.row import pack, visible
from promptpriors.packing.tokens import Encoded
from promptpriors.rng import generator

TOLERANCE = {torch.float32: 1e-4}
"""Largest difference of logits, relative to the largest logit; coarser types get ``COARSE``."""
COARSE = 5e-2
LEAK = 1e-6
"""Largest change of one branch's logits when another branch changes, in every type."""

Ids = tuple[int, ...]

_verdicts: WeakKeyDictionary[object, bool] = WeakKeyDictionary()


def packs_exactly(backbone: Backbone, *, longest: int = 0) -> bool:
    """Whether the packed row equals plain calls for this model, up to ``longest`` positions.

    Three short random segments are computed packed and one by one, once a model; one that differs,
    or whose branches see each other, runs as padded batches and says so once. A dense mask switches
    sliding windows off, so a model with windows packs only what fits into the narrowest of them.
    """
    if backbone.window is not None and longest > backbone.window:
        return False
    if backbone.model not in _verdicts:
        difference = _difference(backbone)
        _verdicts[backbone.model] = difference <= TOLERANCE.get(backbone.dtype, COARSE)
        if not _verdicts[backbone.model]:
            warnings.warn(
                f"model {backbone.name!r} ({backbone.model.config.model_type}) does not compute "
                f"packed rows exactly (logits differ by {difference:.1e}), so it runs as padded "
                "batches, slower",
                Note,
                stacklevel=2,
            )
    return _verdicts[backbone.model]


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
    except (ValueError, TypeError, RuntimeError):
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
    row = pack([Encoded("left", (shared, left), (0,)), Encoded("right", (shared, right), (0,))])
    out = backbone.model(
        input_ids=row.tokens[None].to(backbone.device),
        attention_mask=visible(row)[None, None].to(backbone.device),
        position_ids=row.positions[None].to(backbone.device),
        use_cache=False,
    )
    return out.logits[0, row.ends].float()
