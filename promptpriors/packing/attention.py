"""Attention over the tree in a Hugging Face model, by its registry of attention functions.

The tree travels as a keyword of the model's call and nowhere else. Outside of ``entered`` a model
keeps the attention that it was loaded with.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from promptpriors.packing.kernels import Kernel, Prefix, Scores

NAME = "promptpriors"
"""Our row in both registries."""
KNOWN = {"position_ids", "cache_position"}
"""Tensors that models hand to attention and that change nothing; any other one, such as sinks, a
position bias or chosen keys, the kernels can't honour."""


class RunOutcome(Exception):
    """No error: it ends a block of which keys and values were all that was wanted."""


@dataclass
class AttentionContext:
    """Keys and values that the tokens of one call see.

    Attributes:
        tree: who sees whom.
        prefix: by block, keys and values that stand before the text.
        kernel: what computes it.
        record: filled with the keys and values of each block that is called, if given.
        stop: whether a block ends when its keys and values are recorded.
        given: keys and values of all rows, when only some of them ask.
    """

    tree: Any
    prefix: Mapping[int, Prefix]
    kernel: Kernel
    record: dict[int, Prefix] | None = None
    stop: bool = False
    given: Prefix | None = None


@contextmanager
def entered(model: Any) -> Iterator[None]:
    """Let the model call our attention; afterwards it has its own again."""
    from transformers.masking_utils import AttentionMaskInterface
    from transformers.modeling_utils import AttentionInterface

    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, _no_mask)
    config = model.config
    before = config._attn_implementation
    inner = {key: getattr(config, key, None) for key in config.sub_configs}
    parts = {key: part._attn_implementation for key, part in inner.items() if part is not None}
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = {"": before, **parts} if parts else before


def _no_mask(*_: Any, **__: Any) -> None:
    """No mask, which would be as large as the square of the row: the tree says who sees whom."""


def attend(
    module: Any,
    query: Float[Tensor, "batch heads q width"],
    key: Float[Tensor, "batch kv k width"],
    value: Float[Tensor, "batch kv k _"],
    attention_mask: Tensor | None,  # noqa: ARG001 the tree says who sees whom
    scaling: float | None = None,
    tree: AttentionContext | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **rest: Any,
) -> tuple[Tensor, None]:
    """The function that is registered: attention over the tree.

    Raises:
        ValueError: without a tree, and for scores that the kernels can't compute; the caller then
            goes another way.
        RunOutcome: when keys and values were all that was wanted.
    """
    if tree is None:
        raise ValueError("our attention was called without a tree")
    foreign = sorted(k for k, x in rest.items() if isinstance(x, Tensor) and k not in KNOWN)
    if foreign or len(query) != 1:
        raise ValueError(f"attention over a tree can't take {', '.join(foreign) or 'batches'}")
    q, k, v = query[0], key[0], value[0]
    if tree.record is not None:
        tree.record[module.layer_idx] = (k, v)
        if tree.stop:
            raise RunOutcome
    if tree.given is not None:
        k, v = (x.to(q.device) for x in tree.given)
    prefix = tree.prefix.get(module.layer_idx)
    if prefix is not None:
        prefix = prefix[0].to(k), prefix[1].to(v)
    scale = q.shape[-1] ** -0.5 if scaling is None else scaling
    scores = Scores(scale, sliding_window, softcap)
    return tree.kernel(q, k, v, prefix, tree.tree, scores)[None], None
