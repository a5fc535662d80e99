"""Does a model compute the tree exactly? Asked of the model; its kind proves nothing."""

import warnings
from weakref import WeakKeyDictionary

import torch

from promptpriors.models import Backbone
from promptpriors.packing.row import pack, visible
from promptpriors.packing.tokens import Encoded
from promptpriors.rng import generator

TOLERANCE = {torch.float32: 1e-4}
"""Largest difference of logits, relative to the largest logit; coarser types get ``COARSE``."""
COARSE = 5e-2

_verdicts: WeakKeyDictionary[object, bool] = WeakKeyDictionary()


def packs_exactly(backbone: Backbone, *, longest: int = 0) -> bool:
    """Whether the packed row equals plain calls for this model, up to ``longest`` positions.

    Three short random segments are computed packed and one by one, once a model; one that differs
    runs as padded batches and says so once. A dense mask switches sliding windows off, so a model
    with windows packs only what is shorter than the narrowest of them.
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
                stacklevel=2,
            )
    return _verdicts[backbone.model]


@torch.no_grad()
def _difference(backbone: Backbone) -> float:
    """Largest difference between packed and plain logits, relative to the largest plain one."""
    drawn = torch.randint(
        1, backbone.model.config.vocab_size, (3, 6), generator=generator(0, "exactness")
    ).tolist()
    shared, left, right = (tuple(ids) for ids in drawn)
    row = pack([Encoded("left", (shared, left), (0,)), Encoded("right", (shared, right), (0,))])
    try:
        packed = backbone.model(
            input_ids=row.tokens[None].to(backbone.device),
            attention_mask=visible(row)[None, None].to(backbone.device),
            position_ids=row.positions[None].to(backbone.device),
            use_cache=False,
        ).logits[0, row.ends]
    except (ValueError, TypeError, RuntimeError):
        return float("inf")  # a model that refuses a tree mask can't be packed
    plain = [
        backbone.model(input_ids=torch.tensor([[*shared, *ids]], device=backbone.device)).logits[
            0, -1
        ]
        for ids in (left, right)
    ]
    expected = torch.stack(plain).float()
    difference = (packed.float() - expected).abs().max() / expected.abs().max()
    return float(difference.nan_to_num(nan=torch.inf))
