"""Greedy answers, generated on the tree as well: contexts once, one token an example a step."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from promptpriors.errors import InputError
from promptpriors.models import Backbone
from promptpriors.packing import (
    KERNELS,
    Decoder,
    Encoded,
    Tree,
    call,
    chunks,
    embedded,
    encode,
    pack,
    packs_exactly,
    tree_of,
)
from promptpriors.packing.kernels import Kernel
from promptpriors.prompts import seq2seq
from promptpriors.prompts.insertion import insert, root_rows
from promptpriors.prompts.prompt import Prompt
from promptpriors.types import Example

BUDGET = 2000
"""Tokens of sources a row."""


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
    if max_new_tokens < 1:
        raise InputError(f"max_new_tokens = {max_new_tokens}: expected at least 1")
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
    """Generated ids of each example, from one packed row of all sources."""
    row = pack(encoded, answers=False)
    inserted = insert(backbone, prompt, in_front=True)
    before = 0 if inserted.root is None else len(inserted.root)
    tree = tree_of(row, shift=inserted.shift, before=before)
    ends, back = torch.unique(row.ends, return_inverse=True)  # equal sources have equal answers
    decoder = Decoder(tree, before + ends, KERNELS[backbone.kernel])

    def step(hidden: Tensor, among: Tree | Decoder, kernel: Kernel, keep: Tensor) -> list[int]:
        reads = keep.to(backbone.device)
        out = call(backbone, hidden, among, inserted.prefixes, kernel=kernel, logits_to_keep=reads)
        return out.logits[0].argmax(dim=-1).tolist()

    hidden = embedded(backbone, row, inserted.root)
    written = [[token] for token in step(hidden, tree, decoder.read, before + ends)]
    live = list(range(len(written)))
    while True:
        left = [i for i, text in enumerate(live) if not ended(written[text])]
        live = [live[i] for i in left]
        if not live or len(written[live[0]]) == limit:
            return [written[i] for i in back.tolist()]
        decoder.advance(left)
        last = backbone.embed(torch.tensor([written[text][-1] for text in live]))
        tokens = step(last, decoder, decoder.write, torch.arange(len(live)))
        for text, token in zip(live, tokens, strict=True):
            written[text].append(token)


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
