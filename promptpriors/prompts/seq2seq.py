"""Encoder–decoders such as T5: prompt and source in the encoder, the target from the decoder.

The prompt's vectors stand in front of the encoder's text, and the end token behind it, since T5 was
trained with one there. An encoder looks both ways, so what it makes of a context depends on the
question behind it: nothing is shared, and batches are padded. Every target token is a target, the
first one too, for the decoder always starts from a token of its own.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from promptpriors.models import Backbone
from promptpriors.packing import Encoded
from promptpriors.prompts.insertion import root_rows
from promptpriors.prompts.prompt import Prompt
from promptpriors.prompts.readout import TokenLosses, read


class Sources(NamedTuple):
    """What an encoder is given.

    Attributes:
        hidden: embeddings: a prompt, a source and the end token a line, padded on the right.
        mask: 1 where one of them stands.
    """

    hidden: Float[Tensor, "batch time dim"]
    mask: Int[Tensor, "batch time"]

    def call(self) -> dict[str, Tensor]:
        """As keywords of an encoder."""
        return {"inputs_embeds": self.hidden, "attention_mask": self.mask}


def losses(backbone: Backbone, prompt: Prompt | None, encoded: Sequence[Encoded]) -> TokenLosses:
    """Losses of a batch, its targets teacher-forced.

    Args:
        backbone: an encoder–decoder.
        prompt: of mode ``soft``; None or mode ``none`` for the plain model.
        encoded: the batch, each example with a source.

    Raises:
        InputError: as ``insertion.root_rows``.
    """
    sources = _sources(backbone, prompt, encoded)
    given, known = _pad([[backbone.start, *example.target[:-1]] for example in encoded])
    logits = backbone.model(
        **sources.call(), decoder_input_ids=given.to(backbone.device), use_cache=False
    ).logits
    targets = torch.tensor([token for example in encoded for token in example.target])
    every = torch.arange(len(targets))
    owner = known.nonzero()[:, 0]
    computed = sources.mask.numel() + known.numel()
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
    sources = _sources(backbone, prompt, encoded)
    states = backbone.model.get_encoder()(**sources.call())
    last = torch.full((len(encoded), 1), backbone.start, device=backbone.device)
    written: list[list[int]] = [[] for _ in encoded]
    live = list(range(len(encoded)))
    cache: Any = None
    for _ in range(limit):
        out = backbone.model(
            encoder_outputs=states,
            attention_mask=sources.mask,
            decoder_input_ids=last,
            past_key_values=cache,
            use_cache=True,
        )
        cache = out.past_key_values
        last = out.logits[:, -1:].argmax(dim=-1).to(backbone.device)
        for i in live:
            written[i].append(int(last[i, 0]))
        live = [i for i in live if not ended(written[i])]
        if not live:
            break
    return written


def _sources(backbone: Backbone, prompt: Prompt | None, encoded: Sequence[Encoded]) -> Sources:
    root = root_rows(backbone, prompt)
    tokens, known = _pad([[*sum(e.pieces, ()), backbone.end] for e in encoded])
    batch = len(tokens)
    hidden = torch.cat([root.expand(batch, -1, -1), backbone.embed(tokens)], dim=1)
    mask = torch.cat([torch.ones(batch, len(root), dtype=torch.bool), known], dim=1)
    return Sources(hidden.to(backbone.dtype), mask.long().to(backbone.device))


def _pad(
    lines: Sequence[Sequence[int]],
) -> tuple[Int[Tensor, "batch time"], Bool[Tensor, "batch time"]]:
    """Ids padded on the right by 0, and where they are."""
    width = max(map(len, lines))
    lengths = torch.tensor([len(line) for line in lines])
    known = torch.arange(width) < lengths[:, None]
    ids = torch.zeros(len(lines), width, dtype=torch.long)
    ids[known] = torch.tensor([token for line in lines for token in line])
    return ids, known
