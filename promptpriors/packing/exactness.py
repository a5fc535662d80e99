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

from promptpriors.errors import InputError, note
from promptpriors.models import Backbone
from promptpriors.packing import questions
from promptpriors.packing.alone import plain_logits
from promptpriors.packing.remembered import remembered

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

_answers: WeakKeyDictionary[object, dict[str, list[tuple[int, bool]]]] = WeakKeyDictionary()
_told: WeakKeyDictionary[object, set[str]] = WeakKeyDictionary()


def way_of(backbone: Backbone, *, longest: int = 0) -> Way:
    """The quickest way that is exact for texts of so many positions.

    Where rotations switch with the length of a call, texts of the two sides travel apart
    (``Backbone.side``), and the side of the longest is asked.

    Args:
        backbone: the frozen model; an encoder–decoder is padded or alone.
        longest: positions of the longest text, prompt included.

    Raises:
        InputError: for a model whose own calls differ between token ids and their embeddings, so
            that no vector can stand beside a text.
    """
    if backbone.seq2seq:
        return "padded" if _holds(backbone, "pairs", longest, questions.pair_batch) else "alone"
    _check_embeddings(backbone)
    size = f" ({longest} positions)" if longest > LEAST else ""
    if _holds(backbone, "packed", longest, questions.packed):
        return "packed"
    kind = f"model {backbone.name!r} ({backbone.model.config.model_type})"
    if _holds(backbone, "padded", longest, questions.padded_batch):
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
    ask = questions.cached_pairs if backbone.seq2seq else questions.cached
    return _holds(backbone, "cached", longest, ask)


def encodes_exactly(backbone: Backbone, *, longest: int) -> bool:
    """True where an encoder makes of texts in a padded batch what it makes of each alone."""
    return _holds(backbone, "encoder", longest, questions.encoder_batch)


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
    most = max(length, LEAST)
    for positions in dict.fromkeys([min(most, backbone.context or most), length]):
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


@torch.no_grad()
def _check_embeddings(backbone: Backbone) -> None:
    """Refuse a model that makes of embeddings something else than of their ids."""
    known = _answers.setdefault(backbone.model, {})
    if "embedded" in known:
        return
    kind = f"model {backbone.name!r} ({backbone.model.config.model_type})"
    text = questions.probe_texts(backbone, min(backbone.context or LEAST, LEAST // 3))[0]
    try:
        found = plain_logits(backbone, text, embedded=True)
        difference = questions.apart([found], [plain_logits(backbone, text)])
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
