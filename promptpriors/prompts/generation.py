"""Greedy answers, generated on the tree as well: contexts once, one token an example a step."""

from collections.abc import Callable, Sequence
from typing import Annotated

import torch
from torch import Tensor

from promptpriors.errors import InputError
from promptpriors.models import Backbone
from promptpriors.packing import Encoded, Tree, call, chunks, encode, pack, packs_exactly, tree_of
from promptpriors.prompts import seq2seq
from promptpriors.prompts.insertion import insert, root_rows
from promptpriors.prompts.prompt import Prompt
from promptpriors.registry import Field, Strict, check_call
from promptpriors.types import Example

BUDGET = 2000
"""Tokens of sources a row."""


class _Call(Strict):
    max_new_tokens: Annotated[int, Field(ge=1)]
    stop: str | None


@torch.no_grad()
def generate(
    backbone: Backbone,
    prompt: Prompt | None,
    examples: Sequence[Example],
    *,
    max_new_tokens: int = 32,
    stop: str | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> list[str]:
    """Answer each example greedily; equal to teacher forcing token by token.

    Args:
        backbone: the frozen model.
        prompt: what stands before every source; None for the plain model.
        examples: with a source.
        max_new_tokens: at most so many tokens an answer.
        stop: an answer ends before this text, besides the end token.
        progress: called with the share that is done.

    Returns:
        The answers, white space around them removed.

    Raises:
        InputError: for an example without a source or longer than the model's context, and for
            fewer than one new token.
    """
    check_call(_Call, "generate", {"max_new_tokens": max_new_tokens, "stop": stop})
    before = prompt.before if prompt else 0
    encoded = encode(backbone, examples, before=before, more=max_new_tokens)
    for example in encoded:
        if not example.pieces:
            raise InputError(f"example {example.id!r} has no source, so there is nothing to answer")

    def ended(ids: list[int]) -> bool:
        return ids[-1] == backbone.end or bool(stop and stop in backbone.decode(ids).lstrip())

    answers = [""] * len(encoded)
    done = 0
    for chunk in chunks(encoded, BUDGET):
        part = [encoded[i] for i in chunk]
        longest = before + max(e.read for e in part) + max_new_tokens
        on_tree = packs_exactly(backbone, longest=longest)
        method = seq2seq.answers if backbone.seq2seq else _on_tree if on_tree else _one_by_one
        written = method(backbone, prompt, part, max_new_tokens, ended)
        for index, ids in zip(chunk, written, strict=True):
            text = backbone.decode(ids).lstrip()
            answers[index] = (text.split(stop)[0] if stop else text).strip()
        done += len(chunk)
        progress(done / len(encoded))
    return answers


def _on_tree(
    backbone: Backbone,
    prompt: Prompt | None,
    encoded: Sequence[Encoded],
    limit: int,
    ended: Callable[[list[int]], bool],
) -> list[list[int]]:
    """Generated ids of each example, from one cache that holds the whole tree."""
    from transformers.cache_utils import DynamicCache

    row = pack(encoded, answers=False)
    inserted = insert(backbone, prompt)
    cache = DynamicCache()

    def step(tokens: Tensor, tree: Tree, keep: Tensor) -> list[int]:
        hidden, reads = backbone.embed(tokens), keep.to(backbone.device)
        cached = {"past_key_values": cache, "use_cache": True, "logits_to_keep": reads}
        out = call(backbone, hidden, tree, inserted.prefixes, **cached)
        return out.logits[0].argmax(dim=-1).tolist()

    whole = tree_of(row, shift=inserted.shift)
    unique, back = torch.unique(row.ends, return_inverse=True)
    first = step(row.tokens, whole, unique)
    written = [[first[i]] for i in back.tolist()]
    seen, positions, keys = whole.seen[row.ends], whole.queries[row.ends], whole.keys
    live = [i for i, ids in enumerate(written) if not ended(ids)]
    while live and max(map(len, written)) < limit:
        every = torch.arange(len(live))
        new = torch.zeros(len(encoded), len(live), dtype=torch.bool)
        new[live, every] = True
        seen = torch.cat([seen, new], dim=1)
        positions = positions + 1
        keys = torch.cat([keys, positions[live]])
        tree = Tree(seen[live], positions[live], keys, every)
        last = torch.tensor([written[i][-1] for i in live])
        for i, token in zip(live, step(last, tree, every), strict=True):
            written[i].append(token)
        live = [i for i in live if not ended(written[i])]
    return written


def _one_by_one(
    backbone: Backbone,
    prompt: Prompt | None,
    encoded: Sequence[Encoded],
    limit: int,
    ended: Callable[[list[int]], bool],
) -> list[list[int]]:
    """The same by plain calls, for models whose tree is not exact."""
    root = root_rows(backbone, prompt)
    written = []
    for example in encoded:
        source = torch.tensor(sum(example.pieces, ()))
        hidden = torch.cat([root, backbone.embed(source)]).to(backbone.dtype)[None]
        cache, ids = None, []
        while len(ids) < limit and not (ids and ended(ids)):
            out = backbone.model(inputs_embeds=hidden, past_key_values=cache, use_cache=True)
            cache = getattr(out, "past_key_values", None)
            ids.append(int(out.logits[0, -1].argmax()))
            last = backbone.embed(torch.tensor([[ids[-1]]])).to(backbone.dtype)
            hidden = torch.cat([hidden, last], dim=1) if cache is None else last
        written.append(ids)
    return written
