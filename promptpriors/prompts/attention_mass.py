"""How much of its attention a text pays to a prompt, by block, head and vector."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from promptpriors.models import Backbone
from promptpriors.packing import (
    Prefixes,
    Row,
    Tree,
    chain,
    chunks,
    entered,
    pack,
    tree_of,
)
from promptpriors.prompts.ablation import encode_whole, masked, standing
from promptpriors.prompts.insertion import Inserted, insert
from promptpriors.prompts.prompt import Prompt
from promptpriors.types import Example

NAME = "promptpriors-weights"
"""Our row in the registries of attention functions."""
BUDGET = 400
"""Tokens of a row, for every pair of which a block has weights."""


class Mass(NamedTuple):
    """Shares of attention, one example a row; a block where no vector stands has zeros.

    Attributes:
        answers: share that falls on each vector, as a mean over the tokens at which the example's
            target tokens are predicted.
        text: the same as a mean over all tokens of the example.
        rest: of ``answers``, the share that falls on the text itself; what is then missing from
            one falls on a first token before the prompt.
    """

    answers: Float[Tensor, "examples blocks heads length"]
    text: Float[Tensor, "examples blocks heads length"]
    rest: Float[Tensor, "examples blocks heads"]


@torch.no_grad()
def attention_mass(
    backbone: Backbone,
    prompt: Prompt,
    examples: Sequence[Example],
    *,
    gone: Collection[int] = (),
) -> Mass:
    """Exact shares of attention on a prompt's vectors, from softmax weights of the packed row.

    It says where the model looks and not what it takes from there: a vector can have much of the
    attention and a value of no consequence.

    Args:
        backbone: the frozen model.
        prompt: of any mode that has vectors.
        examples: at least one.
        gone: numbers of vectors that are masked for the text, as in ``ablation.ablated``.

    Raises:
        InputError: as ``ablation.ablated``.
    """
    encoded = encode_whole(backbone, prompt, examples)
    whole = insert(backbone, prompt)
    blocks = standing(prompt, len(backbone.blocks))
    inserted = masked(whole, prompt, list(gone), blocks)
    left = [i for i in range(prompt.length) if i not in gone]
    found: list[tuple[int, _Means]] = []
    for chunk in chunks(encoded, BUDGET):
        row = pack([encoded[i] for i in chunk])
        shares = _shares(backbone, row, inserted)
        places = torch.zeros(len(shares), *shares[0].shape[:2], 1 + prompt.length)
        for i, share in shares.items():
            columns = [0, *(1 + j for j in left if i in blocks)]
            own = [0, *range(1 + prompt.bos, prompt.bos + len(columns))]
            places[i][..., columns] = share[..., own].cpu()
        found += zip(chunk, _by_example(row, places), strict=True)
    ordered = [means for _, means in sorted(found, key=lambda pair: pair[0])]
    answers, text = (torch.stack(parts) for parts in zip(*ordered, strict=True))
    return Mass(answers[..., 1:], text[..., 1:], answers[..., 0])


_Means = tuple[Float[Tensor, "blocks heads places"], Float[Tensor, "blocks heads places"]]
"""Of one example: over the tokens that predict its target, and over all of its tokens."""


@dataclass
class _Watched:
    """What one call's attention needs, and what it leaves.

    Attributes:
        tree: who sees whom.
        prefixes: keys and values that stand before the text, by block.
        shares: filled by the call: of each block what falls on the text, and on each row before it.
    """

    tree: Tree
    prefixes: Prefixes
    shares: dict[int, Float[Tensor, "heads row _"]] = field(default_factory=dict)


def _shares(
    backbone: Backbone, row: Row, inserted: Inserted
) -> dict[int, Float[Tensor, "heads row _"]]:
    watched = _Watched(tree_of(row, shift=inserted.shift), inserted.prefixes)
    with _weighing(backbone.model):
        backbone.model(
            inputs_embeds=backbone.embed(row.tokens).to(backbone.dtype)[None],
            position_ids=watched.tree.queries[None].to(backbone.device),
            use_cache=False,
            logits_to_keep=1,
            watched=watched,
        )
    return watched.shares


def _by_example(row: Row, shares: Float[Tensor, "blocks heads row places"]) -> Iterator[_Means]:
    """Means over the tokens of each example of the row."""
    asking = row.read[row.slot]
    for number in range(len(row.leaves)):
        rows = asking[row.owner == number], chain(row, number)
        answers, text = (shares[:, :, part].mean(dim=2) for part in rows)
        yield answers, text


@contextmanager
def _weighing(model: Any) -> Iterator[None]:
    """Let the model call ``_weigh``; afterwards it has its own attention again."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(NAME, _weigh)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    with entered(model):
        model.config._attn_implementation = NAME
        yield


def _weigh(
    module: Any,
    query: Float[Tensor, "one heads q width"],
    key: Float[Tensor, "one kv k width"],
    value: Float[Tensor, "one kv k width"],
    attention_mask: Tensor | None,  # noqa: ARG001 the tree is the mask
    *,
    watched: _Watched,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attention over the tree, written out, that keeps its weights."""
    q, k, v = query[0], key[0], value[0]
    pk, pv = watched.prefixes.get(module.layer_idx, (k[:, :0], v[:, :0]))
    k, v = torch.cat([pk.to(k), k], dim=1), torch.cat([pv.to(v), v], dim=1)
    copies = len(q) // len(k)
    k, v = (x.repeat_interleave(copies, dim=0) for x in (k, v))
    scores = (q @ k.mT).float() * (q.shape[-1] ** -0.5 if scaling is None else scaling)
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    seen = watched.tree.dense(pk.shape[1], sliding_window, k.device)
    weights = scores.masked_fill(~seen, -torch.inf).softmax(dim=-1)
    before = pk.shape[1]
    on_text = weights[..., before:].sum(dim=-1, keepdim=True)
    watched.shares[module.layer_idx] = torch.cat([on_text, weights[..., :before]], dim=-1)
    return (weights.to(v.dtype) @ v).transpose(0, 1)[None], None
