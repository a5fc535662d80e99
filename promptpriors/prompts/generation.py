"""Greedy answers, generated on the tree as well: contexts once, one token an example a step."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Annotated

import torch
from torch import Tensor

from promptpriors.errors import InputError
from promptpriors.models import Backbone
from promptpriors.packing import (
    KERNELS,
    Decoder,
    Encoded,
    Greedy,
    Tree,
    caches_exactly,
    call,
    chunks,
    embedded,
    encode,
    pack,
    tree_of,
    way_of,
)
from promptpriors.packing.kernels import Kernel
from promptpriors.prompts import seq2seq
from promptpriors.prompts.insertion import insert, root_rows
from promptpriors.prompts.losses import check_way
from promptpriors.prompts.prompt import Prompt
from promptpriors.registry import Field, Strict, check_call
from promptpriors.types import Example

Method = Callable[..., list[list[int]]]
"""From backbone, prompt, examples, limit and what ends an answer to the ids of each answer."""
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
    asked = [_bare(example) for example in examples]
    encoded = encode(backbone, asked, before=before, more=max_new_tokens)
    for example in encoded:
        if not example.pieces:
            raise InputError(f"example {example.id!r} has no source, so there is nothing to answer")

    def ended(ids: list[int]) -> bool:
        return ids[-1] in backbone.ends or bool(stop and stop in backbone.decode(ids).lstrip())

    answers = [""] * len(encoded)
    done = 0
    for members, method in _shares(backbone, prompt, encoded, max_new_tokens):
        for chunk in chunks([encoded[i] for i in members], BUDGET):
            part = [members[i] for i in chunk]
            written = method(backbone, prompt, [encoded[i] for i in part], max_new_tokens, ended)
            for index, ids in zip(part, written, strict=True):
                said = ids[:-1] if ids[-1] in backbone.ends else ids
                text = backbone.decode(said).lstrip()
                answers[index] = (text.split(stop)[0] if stop else text).strip()
            done += len(part)
            progress(done / len(encoded))
    return answers


def _bare(example: Example) -> Example:
    """An example without the answer that is known, which needs no room."""
    if not isinstance(example, Example) or not any(example.source):  # refused afterwards
        return example
    return example._replace(targets=("",), continuation=None)


def _shares(
    backbone: Backbone, prompt: Prompt | None, encoded: Sequence[Encoded], limit: int
) -> Iterator[tuple[list[int], Method]]:
    """Examples that are answered in one way, by their numbers, and the way.

    A text that grows beyond a switch of its rotations has no keys that stay: it is read again for
    each token.
    """
    if backbone.seq2seq:
        yield list(range(len(encoded))), seq2seq.answers
        return
    check_way(backbone, prompt, encoded, more=limit)
    before = prompt.before if prompt else 0
    sizes = [before + sum(map(len, example.pieces)) for example in encoded]
    sides = [(backbone.side(size), backbone.side(size + limit)) for size in sizes]
    for side in sorted(set(sides)):
        members = [i for i, one in enumerate(sides) if one == side]
        longest = max(sizes[i] for i in members) + limit
        if side[0] != side[1]:
            yield members, partial(_one_by_one, cached=False)
        elif way_of(backbone, longest=longest) == "packed":
            yield members, _on_tree
        else:
            cached = caches_exactly(backbone, longest=longest)
            yield members, partial(_one_by_one, cached=cached)


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

    def step(
        hidden: Tensor, tokens: Tensor, among: Tree | Decoder, kernel: Kernel, keep: Tensor
    ) -> list[int]:
        given = {"tokens": tokens, "kernel": kernel, "logits_to_keep": keep.to(backbone.device)}
        out = call(backbone, hidden, among, inserted.prefixes, **given)
        return out.logits[0].argmax(dim=-1).tolist()

    hidden = embedded(backbone, row, inserted.root)
    first = step(hidden, row.tokens, tree, decoder.read, before + ends)
    written = [[token] for token in first]
    live = list(range(len(written)))
    while True:
        left = [i for i, text in enumerate(live) if not ended(written[text])]
        live = [live[i] for i in left]
        if not live or len(written[live[0]]) == limit:
            return [written[i] for i in back.tolist()]
        decoder.advance(left)
        last = torch.tensor([written[text][-1] for text in live])
        every = torch.arange(len(live))
        tokens = step(backbone.embed(last), last, decoder, decoder.write, every)
        for text, token in zip(live, tokens, strict=True):
            written[text].append(token)


def _one_by_one(
    backbone: Backbone,
    prompt: Prompt | None,
    encoded: Sequence[Encoded],
    limit: int,
    ended: Callable[[list[int]], bool],
    *,
    cached: bool,
) -> list[list[int]]:
    """The same by plain calls, for models whose tree is not exact."""
    root = root_rows(backbone, prompt)
    written = []
    for example in encoded:
        text = Greedy(backbone, sum(example.pieces, ()), root=root, cached=cached)
        ids = [text.next()]
        while len(ids) < limit and not ended(ids):
            ids.append(text.next())
        written.append(ids)
    return written
