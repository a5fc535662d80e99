"""Ways to compute a batch that equal plain calls: each model is asked, its kind proves nothing.

A plain call is Hugging Face's own, on the token ids of one text alone. A packed row, a padded batch
and a cache are compared with it on random texts, one of them as long as what is wanted, so that
every window, index, chunk and original context that lies below has its say.
"""

import copy
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Literal
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from promptpriors.errors import InputError, note
from promptpriors.models import Backbone
from promptpriors.packing.alone import plain_logits
from promptpriors.packing.forward import logits_of
from promptpriors.packing.rectangle import pad, padded
from promptpriors.packing.remembered import remembered
from promptpriors.packing.row import pack
from promptpriors.packing.tokens import Encoded
from promptpriors.rng import generator

Way = Literal["packed", "padded", "alone"]
"""As one packed row, as a padded batch, or one by one."""

CLOSE, LEAK = 1e-5, 1e-6
"""Largest difference of logits, and largest change of one text's when another one changes, relative
to the largest logit. What is larger may be rounding, so it is computed again in float64."""
ROUGH, COARSE = 1e-4, 5e-2
"""What is taken for rounding where float64 has no room: in float32, and in coarser types."""
LEAST = 160
"""Positions that are asked for at least."""
ROOM = 4e9
"""Bytes that a copy of the model in float64 may have."""
SHARED, SHORT, TARGET = 5, 7, 24
"""Tokens: of the piece that the texts share, of the shortest one's rest, and read of each text."""

_answers: WeakKeyDictionary[object, dict[str, list[tuple[int, bool]]]] = WeakKeyDictionary()
_told: WeakKeyDictionary[object, set[str]] = WeakKeyDictionary()


def way_of(backbone: Backbone, *, longest: int = 0) -> Way:
    """The quickest way that is exact for texts of so many positions.

    Rotations that switch with the length of a call are asked on one side of the switch: such
    texts travel apart, see ``Backbone.sides``.

    Args:
        backbone: the frozen model; an encoder–decoder is padded or alone.
        longest: positions of the longest text, prompt included.

    Raises:
        InputError: for a model whose own calls differ between token ids and their embeddings, so
            that no vector can stand beside a text.
    """
    if backbone.seq2seq:
        return "padded" if _holds(backbone, "pairs", longest, _pairs) else "alone"
    _check_embeddings(backbone)
    size = f" ({longest} positions)" if longest > LEAST else ""
    if _holds(backbone, "packed", longest, _packed):
        return "packed"
    kind = f"model {backbone.name!r} ({backbone.model.config.model_type})"
    if _holds(backbone, "padded", longest, _padded):
        _tell(
            backbone,
            "padded",
            f"{kind} computes other numbers in a packed row than one text at a time{size}, so it "
            "runs as padded batches, slower",
        )
        return "padded"
    _tell(
        backbone,
        "alone",
        f"{kind} computes other numbers of a text where others stand beside it{size}, so it runs "
        "one by one, slowly",
    )
    return "alone"


def packs_exactly(backbone: Backbone, *, longest: int = 0) -> bool:
    """True where a packed row equals plain calls, for texts of so many positions.

    Raises:
        InputError: as ``way_of``.
    """
    return way_of(backbone, longest=longest) == "packed"


def caches_exactly(backbone: Backbone, *, longest: int) -> bool:
    """True where the model's own cache gives the logits of calls without one."""
    ask = _cached_pairs if backbone.seq2seq else _cached
    return _holds(backbone, "cached", longest, ask)


def _tell(backbone: Backbone, way: Way, text: str) -> None:
    """A note, once a model and way."""
    told = _told.setdefault(backbone.model, set())
    if way not in told:
        told.add(way)
        note(text)


def _holds(
    backbone: Backbone,
    question: str,
    length: int,
    ask: Callable[[Backbone, int], tuple[float, float]],
) -> bool:
    """Whether a way is exact up to a length, as asked now or before."""
    key = f"{question} {backbone.kernel} {backbone.side(length)}"
    known = _answers.setdefault(backbone.model, {}).setdefault(key, [])
    limit = backbone.context or length
    for positions in dict.fromkeys([min(max(length, LEAST), max(limit, 1)), length]):
        found = _known(known, positions)
        if found is None:
            found = remembered(backbone, key, positions, partial(_exact, backbone, ask, positions))
            known.append((positions, found))
        if found:
            return True
    return False


def _known(known: Sequence[tuple[int, bool]], length: int) -> bool | None:
    """What follows from answers at other lengths: a way that holds, holds for less as well."""
    for positions, holds in known:
        if (holds and length <= positions) or (not holds and length >= positions):
            return holds
    return None


@torch.no_grad()
def _exact(
    backbone: Backbone, ask: Callable[[Backbone, int], tuple[float, float]], length: int
) -> bool:
    """Whether differences are none, or the rounding of a type."""
    single = backbone.dtype == torch.float32
    try:
        difference, leak = ask(backbone, length)
        if single and difference <= CLOSE and leak <= LEAK:
            return True
        if not max(difference, leak) <= (1.0 if single else 4.0):  # no rounding is so large
            return False
        exact = _in_double(backbone)
        if exact is not None:
            difference, leak = ask(exact, length)
            return difference <= CLOSE and leak <= LEAK
    except Exception:
        return False
    return max(difference, leak) <= (ROUGH if single else COARSE)


def _in_double(backbone: Backbone) -> Backbone | None:
    """A copy in float64 on the CPU, where there is room for one."""
    size = 8 * sum(weight.numel() for weight in backbone.model.parameters())
    if size > ROOM:
        return None
    with suppress(Exception):  # some modules can't be copied
        model = copy.deepcopy(backbone.model).to("cpu", torch.float64)
        if hasattr(model, "set_experts_implementation"):
            model.set_experts_implementation("eager")  # the grouped product knows no float64
        return replace(backbone, model=model)
    return None


def _texts(backbone: Backbone, length: int) -> list[Encoded]:
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


def _apart(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """Largest difference of two lists of logits, relative to the largest."""
    pairs = [(a.float().cpu(), b.float().cpu()) for a, b in zip(found, expected, strict=True)]
    scale = max(float(b.abs().max()) for _, b in pairs)
    worst = max(float((a - b).abs().max().nan_to_num(nan=torch.inf)) for a, b in pairs)
    return worst / scale


def _packed(backbone: Backbone, length: int) -> tuple[float, float]:
    """Difference of a packed row from plain calls, and of two texts when the third one changes."""
    texts = _texts(backbone, length)
    expected = [plain_logits(backbone, text) for text in texts]

    def together(some: Sequence[Encoded]) -> list[Tensor]:
        row = pack(some)
        logits = logits_of(backbone, row, {}, shift=0)[row.slot.to(backbone.device)]
        return [logits[row.owner == number] for number in range(len(some))]

    found = together(texts)
    other = texts[0]._replace(target=tuple(reversed(texts[0].target)))
    changed = together([other, *texts[1:]])
    return _apart(found, expected), _apart(changed[1:], found[1:])


def _padded(backbone: Backbone, length: int) -> tuple[float, float]:
    """Difference of a padded batch from plain calls."""
    texts = _texts(backbone, length)
    box = pad(texts)
    mask = box.mask.long().to(backbone.device)
    given = {"inputs_embeds": backbone.embed(box.tokens), "attention_mask": mask}
    beside = backbone.beside(box.tokens)
    logits = backbone.model(**given, **beside, use_cache=False).logits[box.line, box.read]
    found = [logits[box.line == number] for number in range(len(texts))]
    return _apart(found, [plain_logits(backbone, text) for text in texts]), 0.0


def _cached(backbone: Backbone, length: int) -> tuple[float, float]:
    """Difference of a cache's steps, which are given embeddings, from a plain call."""
    text = _texts(backbone, length)[0]
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
    return _apart([torch.stack(found)], [plain_logits(backbone, text)]), 0.0


def _sources(backbone: Backbone, texts: Sequence[Encoded]) -> dict[str, Tensor]:
    """What an encoder is given: sources as a padded batch of embeddings."""
    ids, known = padded([[*sum(text.pieces, ()), backbone.end] for text in texts])
    mask = known.long().to(backbone.device)
    return {"inputs_embeds": backbone.embed(ids), "attention_mask": mask}


def _pairs(backbone: Backbone, length: int) -> tuple[float, float]:
    """Difference of an encoder–decoder's padded batch from single calls."""
    texts = _texts(backbone, length)
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
    return _apart([logits[mask] for _, _, logits, mask in pairs], single), 0.0


def _cached_pairs(backbone: Backbone, length: int) -> tuple[float, float]:
    """Difference of a decoder's steps with a cache from a call without one."""
    text = _texts(backbone, length)[0]
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
    return _apart([torch.stack(found)], [expected[0]]), 0.0


@torch.no_grad()
def _check_embeddings(backbone: Backbone) -> None:
    """Refuse a model that makes of embeddings something else than of their ids."""
    known = _answers.setdefault(backbone.model, {})
    if "embedded" in known:
        return
    kind = f"model {backbone.name!r} ({backbone.model.config.model_type})"
    text = _texts(backbone, min(backbone.context or LEAST, 2 * TARGET))[0]
    try:
        found = plain_logits(backbone, text, embedded=True)
        difference = _apart([found], [plain_logits(backbone, text)])
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:100]
        raise InputError(
            f"{kind} can't be called on embeddings ({reason}), so no vector can stand before a "
            "text\nTake another model"
        ) from None
    if not difference <= (ROUGH if backbone.dtype == torch.float32 else COARSE):
        raise InputError(
            f"{kind} does more to tokens than look up their embeddings (logits differ by "
            f"{difference:.1e}), so no vector can stand before a text\nTake another model"
        )
    known["embedded"] = []
