"""One text at a time, in Hugging Face's own plain call: what every other way must equal."""

from collections.abc import Sequence
from inspect import signature
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from promptpriors.models import Backbone
from promptpriors.packing.tokens import Encoded


def plain_logits(
    backbone: Backbone,
    text: Encoded,
    *,
    root: Float[Tensor, "before dim"] | None = None,
    embedded: bool = False,
) -> Float[Tensor, "t vocab"]:
    """Logits at which the target tokens of one text are predicted.

    The last target token is read as well where the context has room for it: what some models make
    of a token depends on the length of the call, and theirs is the call on the whole text.

    Args:
        backbone: the frozen model.
        text: what is read.
        root: rows at the input before it; then, and if it is ``embedded``, the model is given
            embeddings in place of ids.
        embedded: as said.
    """
    before = 0 if root is None else len(root)
    ids = torch.tensor([[*sum(text.pieces, ()), *text.target]], device=backbone.device)
    if backbone.context is not None:
        ids = ids[:, : backbone.context - before]
    last = before + text.read
    first = last - (len(text.target) if text.pieces else len(text.target) - 1)
    given: dict[str, Any] = {"input_ids": ids}
    if root is not None or embedded:
        hidden = backbone.embed(ids)
        if root is not None:
            hidden = torch.cat([root.to(hidden.device)[None], hidden], dim=1)
        given = {"inputs_embeds": hidden.to(backbone.dtype), **backbone.beside(ids, before=before)}
    skipped = 0
    if "logits_to_keep" in signature(backbone.model.forward).parameters:
        skipped = first
        given["logits_to_keep"] = before + ids.shape[1] - first
    logits = backbone.model(**given, use_cache=False).logits[0]
    return logits[first - skipped : last - skipped]


class Greedy:
    """The likeliest next tokens of one text, one after another.

    Args:
        backbone: the frozen model.
        source: ids that are read.
        root: rows at the input before them.
        cached: whether the model's own cache is used; without it each step reads everything again.
    """

    def __init__(
        self, backbone: Backbone, source: Sequence[int], *, root: Tensor, cached: bool
    ) -> None:
        self._backbone, self._root, self._cached = backbone, root, cached
        self._ids = list(source)
        self._cache: object = None
        self._new = len(self._ids)

    def next(self) -> int:
        """The next token, which is read from then on."""
        backbone = self._backbone
        if not self._cached:
            self._cache, self._new = None, len(self._ids)
        ids = torch.tensor([self._ids[len(self._ids) - self._new :]], device=backbone.device)
        root = self._root if self._cache is None else self._root[:0]
        hidden = torch.cat([root.to(backbone.device)[None], backbone.embed(ids)], dim=1)
        out = backbone.model(
            inputs_embeds=hidden.to(backbone.dtype),
            past_key_values=self._cache,
            use_cache=self._cached,
            **backbone.beside(ids, before=len(root)),
        )
        self._cache, self._new = getattr(out, "past_key_values", None), 1
        self._ids.append(int(out.logits[0, -1].argmax()))
        return self._ids[-1]
