"""Encoder–decoders such as T5: prompt and source in the encoder, the target from the decoder.

The prompt's vectors stand in front of the encoder's text, and the end token behind it, since T5 was
trained with one there. An encoder looks both ways, so what it makes of a context depends on the
question behind it: nothing is shared. Batches are padded, or cut into single examples where that is
not exact. Every target token is a target, the first one too, for the decoder always starts from a
token of its own.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from promptpriors.models import Backbone
from promptpriors.packing import Encoded, caches_exactly, padded, way_of
from promptpriors.prompts.insertion import behind, root_rows
from promptpriors.prompts.prompt import Prompt
from promptpriors.prompts.readout import TokenLosses, read


def losses(backbone: Backbone, prompt: Prompt | None, encoded: Sequence[Encoded]) -> TokenLosses:
    """Losses of a batch, its targets teacher-forced.

    Args:
        backbone: an encoder–decoder.
        prompt: of mode ``soft``; None or mode ``none`` for the plain model.
        encoded: the batch, each example with a source.

    Raises:
        InputError: as ``insertion.root_rows``.
    """
    longest = max(max(e.read, len(e.target)) for e in encoded) + (prompt.before if prompt else 0)
    if len(encoded) > 1 and way_of(backbone, longest=longest) == "alone":
        single = [losses(backbone, prompt, [example]) for example in encoded]
        return TokenLosses(
            torch.cat([one.nats for one in single]),
            torch.cat([one.correct for one in single]),
            torch.cat([one.owner + number for number, one in enumerate(single)]),
            sum(one.computed for one in single),
        )
    sources = _sources(backbone, prompt, encoded)
    given, known = padded([[backbone.start, *example.target[:-1]] for example in encoded])
    given = given.to(backbone.device)
    logits = backbone.model(**sources, decoder_input_ids=given, use_cache=False).logits
    targets = torch.tensor([token for example in encoded for token in example.target])
    every = torch.arange(len(targets))
    owner = known.nonzero()[:, 0]
    computed = sources["attention_mask"].numel() + known.numel()
    return read(logits[known.to(logits.device)], every, targets, owner, computed=computed)


def answers(
    backbone: Backbone,
    prompt: Prompt | None,
    encoded: Sequence[Encoded],
    limit: int,
    ended: Callable[[list[int]], bool],
) -> list[list[int]]:
    """Greedily generated ids of each example; sources are encoded once, prefixes cached.

    Args:
        backbone: an encoder–decoder.
        prompt: as for ``losses``.
        encoded: computed as one batch; of each example only the source matters.
        limit: ids an answer, at most.
        ended: whether an answer, of one id or more, is complete.

    Raises:
        InputError: as ``insertion.root_rows``.
    """
    before = prompt.before if prompt else 0
    longest = max(before + sum(map(len, e.pieces)) for e in encoded) + limit
    if len(encoded) > 1 and way_of(backbone, longest=longest) == "alone":
        return [answers(backbone, prompt, [e], limit, ended)[0] for e in encoded]
    cached = caches_exactly(backbone, longest=longest)
    sources = _sources(backbone, prompt, encoded)
    states = backbone.model.get_encoder()(**sources)
    given = {"encoder_outputs": states, "attention_mask": sources["attention_mask"]}
    read = torch.full((len(encoded), 1), backbone.start, device=backbone.device)
    written: list[list[int]] = [[] for _ in encoded]
    live = list(range(len(encoded)))
    cache: Any = None
    for _ in range(limit):
        out = backbone.model(
            **given, decoder_input_ids=read, past_key_values=cache, use_cache=cached
        )
        last = out.logits[:, -1:].argmax(dim=-1).to(backbone.device)
        cache = out.past_key_values if cached else None
        read = last if cached else torch.cat([read, last], dim=1)
        for i in live:
            written[i].append(int(last[i, 0]))
        live = [i for i in live if not ended(written[i])]
        if not live:
            break
    return written


def _sources(
    backbone: Backbone, prompt: Prompt | None, encoded: Sequence[Encoded]
) -> dict[str, Tensor]:
    """What the encoder is given: prompt, source and end token a line, padded on the right."""
    root = root_rows(backbone, prompt)
    return behind(backbone, root, *padded([[*sum(e.pieces, ()), backbone.end] for e in encoded]))
