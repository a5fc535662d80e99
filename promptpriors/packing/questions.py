"""Comparisons of ways to compute with plain calls, on random texts of a chosen length.

Each gives the largest difference from plain calls, and where texts travel in one row the largest
change of some when another one changes, both relative to the largest value.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from promptpriors.models import Backbone
from promptpriors.packing.alone import plain_logits
from promptpriors.packing.forward import logits_of
from promptpriors.packing.rectangle import pad, padded
from promptpriors.packing.row import pack
from promptpriors.packing.tokens import Encoded
from promptpriors.rng import generator

SHARED, SHORT, TARGET = 5, 7, 24
"""Tokens: of the piece that the texts share, of the shortest one's rest, and read of each text."""


def probe_texts(backbone: Backbone, length: int) -> list[Encoded]:
    """A text of so many positions, one of half of them and a short one, with a start in common.

    Beyond a switch of rotations all of them lie beyond it.
    """
    least = backbone.side(length) + SHARED + SHORT
    length = max(length, least + 2)
    ids = backbone.ordinary_ids
    drawn = torch.randint(0, len(ids), (3, length), generator=generator(0, "exactness"))
    texts = []
    for number, size in enumerate((length, (least + length) // 2, least)):
        own = [ids[i] for i in drawn[number, : size - SHARED].tolist()]
        target = min(TARGET, size - SHARED - 1)
        start = tuple(ids[i] for i in drawn[0, :SHARED].tolist())
        source = tuple(own[: len(own) - target])
        # the last target token is predicted, not read
        texts.append(Encoded(str(number), (start, source), (*own[len(own) - target :], ids[0])))
    return texts


def apart(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """Largest difference of two lists of logits, relative to the largest."""
    pairs = [(a.float().cpu(), b.float().cpu()) for a, b in zip(found, expected, strict=True)]
    scale = max(float(b.abs().max()) for _, b in pairs)
    worst = max(float((a - b).abs().max().nan_to_num(nan=torch.inf)) for a, b in pairs)
    return worst / scale


def packed(backbone: Backbone, length: int) -> tuple[float, float]:
    """Difference of a packed row from plain calls, and of two texts when the third one changes."""
    texts = probe_texts(backbone, length)
    expected = [plain_logits(backbone, text) for text in texts]

    def together(some: Sequence[Encoded]) -> list[Tensor]:
        row = pack(some)
        logits = logits_of(backbone, row, {}, shift=0)[row.slot.to(backbone.device)]
        return [logits[row.owner == number] for number in range(len(some))]

    found = together(texts)
    other = texts[0]._replace(target=tuple(reversed(texts[0].target)))
    changed = together([other, *texts[1:]])
    return apart(found, expected), apart(changed[1:], found[1:])


def padded_batch(backbone: Backbone, length: int) -> tuple[float, float]:
    """Difference of a padded batch from plain calls."""
    texts = probe_texts(backbone, length)
    box = pad(texts)
    mask = box.mask.long().to(backbone.device)
    given = {"inputs_embeds": backbone.embed(box.tokens), "attention_mask": mask}
    beside = backbone.beside(box.tokens)
    logits = backbone.model(**given, **beside, use_cache=False).logits[box.line, box.read]
    found = [logits[box.line == number] for number in range(len(texts))]
    return apart(found, [plain_logits(backbone, text) for text in texts]), 0.0


def cached(backbone: Backbone, length: int) -> tuple[float, float]:
    """Difference of a cache's steps, which are given embeddings, from a plain call."""
    text = probe_texts(backbone, length)[0]
    ids = torch.tensor([[*sum(text.pieces, ()), *text.target[:-1]]])
    steps = len(text.target) - 1
    cache, found = None, []
    for part in (ids[:, :-steps], *ids[:, -steps:].split(1, dim=1)):
        out = backbone.model(
            inputs_embeds=backbone.embed(part),
            past_key_values=cache,
            use_cache=True,
            **backbone.beside(part),
        )
        cache = getattr(out, "past_key_values", None)
        if cache is None:
            return torch.inf, 0.0
        found.append(out.logits[0, -1])
    return apart([torch.stack(found)], [plain_logits(backbone, text)]), 0.0


def encoder_batch(backbone: Backbone, length: int) -> tuple[float, float]:
    """Difference of an encoder's padded batch from calls on the ids of single texts."""
    ids, known = padded(
        [[*sum(text.pieces, ()), *text.target] for text in probe_texts(backbone, length)]
    )
    model = backbone.model.get_encoder() if backbone.seq2seq else backbone.model
    mask = known.long().to(backbone.device)
    together = model(inputs_embeds=backbone.embed(ids), attention_mask=mask).last_hidden_state
    lines = [
        line[None, inside].to(backbone.device) for line, inside in zip(ids, known, strict=True)
    ]
    single = [model(input_ids=line).last_hidden_state[0] for line in lines]
    return apart([x[inside] for x, inside in zip(together, known, strict=True)], single), 0.0


def _sources(backbone: Backbone, texts: Sequence[Encoded]) -> dict[str, Tensor]:
    """What an encoder is given: sources as a padded batch of embeddings."""
    ids, known = padded([[*sum(text.pieces, ()), backbone.end] for text in texts])
    mask = known.long().to(backbone.device)
    return {"inputs_embeds": backbone.embed(ids), "attention_mask": mask}


def pair_batch(backbone: Backbone, length: int) -> tuple[float, float]:
    """Difference of an encoder–decoder's padded batch from single calls."""
    texts = probe_texts(backbone, length)
    lines, known = padded([[backbone.start, *text.target[:-1]] for text in texts])
    lines = lines.to(backbone.device)

    def called(some: Sequence[Encoded], given: Tensor) -> Tensor:
        sources = _sources(backbone, some)
        if len(some) == 1:
            del sources["attention_mask"]
        return backbone.model(**sources, decoder_input_ids=given, use_cache=False).logits

    together = called(texts, lines)
    pairs = list(zip(texts, lines, together, known, strict=True))
    single = [called([text], line[None, mask])[0] for text, line, _, mask in pairs]
    return apart([logits[mask] for _, _, logits, mask in pairs], single), 0.0


def cached_pairs(backbone: Backbone, length: int) -> tuple[float, float]:
    """Difference of a decoder's steps with a cache from a call without one."""
    text = probe_texts(backbone, length)[0]
    ids = torch.tensor([[backbone.start, *text.target[:-1]]], device=backbone.device)
    sources = _sources(backbone, [text])
    states = backbone.model.get_encoder()(**sources)
    given = {"encoder_outputs": states, "attention_mask": sources["attention_mask"]}
    expected = backbone.model(**given, decoder_input_ids=ids, use_cache=False).logits
    cache, found = None, []
    for step in ids.split(1, dim=1):
        out = backbone.model(**given, decoder_input_ids=step, past_key_values=cache, use_cache=True)
        cache = out.past_key_values
        found.append(out.logits[0, -1])
    return apart([torch.stack(found)], [expected[0]]), 0.0
