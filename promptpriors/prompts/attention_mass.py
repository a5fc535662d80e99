"""Share of its attention that a text pays to a prompt, by block, head and vector."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from promptpriors.models import Backbone
from promptpriors.packing import Prefix, Row, Tree, call, chain, chunks, pack, tree_of
from promptpriors.packing.kernels import Scores
from promptpriors.prompts.ablation import encode_whole, masked, standing
from promptpriors.prompts.insertion import Inserted, insert
from promptpriors.prompts.prompt import Prompt
from promptpriors.types import Example

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
    found: dict[int, Tensor] = {}
    for chunk in chunks(encoded, BUDGET):
        row = pack([encoded[i] for i in chunk])
        shares = _shares(backbone, row, inserted)
        places = torch.zeros(len(shares), *shares[0].shape[:2], 1 + prompt.length)
        for i, share in enumerate(shares):
            columns = [0, *(1 + j for j in left if i in blocks)]
            own = [0, *range(1 + prompt.bos, prompt.bos + len(columns))]
            places[i][..., columns] = share[..., own].cpu()
        asking = row.read[row.slot]
        for number, i in enumerate(chunk):
            parts = asking[row.owner == number], chain(row, number)
            found[i] = torch.stack([places[:, :, part].mean(dim=2) for part in parts])
    answers, text = torch.stack([found[i] for i in range(len(encoded))], dim=1)
    return Mass(answers[..., 1:], text[..., 1:], answers[..., 0])


def _shares(backbone: Backbone, row: Row, inserted: Inserted) -> list[Float[Tensor, "heads row _"]]:
    """Of each block the attention that falls on the text, and on each row before it."""
    shares: list[Tensor] = []

    def weigh(
        q: Tensor, k: Tensor, v: Tensor, prefix: Prefix | None, tree: Tree, scores: Scores
    ) -> Tensor:
        """Attention over the tree, written out, that keeps its weights."""
        pk, pv = prefix or (k[:, :0], v[:, :0])
        k, v = torch.cat([pk, k], dim=1), torch.cat([pv, v], dim=1)
        k, v = (x.repeat_interleave(len(q) // len(x), dim=0) for x in (k, v))
        products = (q @ k.mT).float() * scores.scale
        if scores.softcap is not None:
            products = scores.softcap * torch.tanh(products / scores.softcap)
        before = pk.shape[1]
        seen = tree.dense(before, scores.window, k.device)
        weights = products.masked_fill(~seen, -torch.inf).softmax(dim=-1)
        on_text = weights[..., before:].sum(dim=-1, keepdim=True)
        shares.append(torch.cat([on_text, weights[..., :before]], dim=-1))
        return (weights.to(v.dtype) @ v).transpose(0, 1)

    tree = tree_of(row, shift=inserted.shift)
    call(backbone, backbone.embed(row.tokens), tree, inserted.prefixes, kernel=weigh)
    return shares
