"""Keys and values of texts that are being written, each a branch of its own below a packed row.

The row is read once. From then on a step computes one token a text: against the keys of the row
that its text sees, which stay where they are and are shared as in the row, and against the keys of
what it has written itself. Texts that have ended are dropped.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from promptpriors.packing.blockwise import Keys, Prefix, Queries, Scores
from promptpriors.packing.kernels import Kernel
from promptpriors.packing.tree import Tree


class _Part(NamedTuple):
    """Neighbouring texts and the keys of the row that one of them sees.

    Attributes:
        keys: their numbers in the row, ascending.
        seen: which of them each text sees; None where all see all.
    """

    keys: Int[Tensor, " m"]
    seen: Bool[Tensor, "n m"] | None
    texts: int


class _Memory(NamedTuple):
    """What one attention call of the model keeps.

    Attributes:
        read: for each part the keys and values that stand before its texts, prefix in front.
        written: keys and values that the texts have written, ``[kv, texts, room, width]``.
        prefix: rows of the prefix.
    """

    read: list[tuple[Keys, Keys]]
    written: tuple[Tensor, Tensor]
    prefix: int


class Decoder:
    """Texts that are written token by token, from one packed row.

    Call the model on the row with the kernel ``read``, and then on the last token of each text that
    is left, in order, with the kernel ``write``, after ``advance``.

    Args:
        tree: of the row.
        ends: the row's last token of each text, ascending, each once.
        kernel: what computes attention over the row.

    Attributes:
        queries: position of the token that is computed next, of each text.
    """

    def __init__(self, tree: Tree, ends: Int[Tensor, " texts"], kernel: Kernel) -> None:
        self.queries = tree.queries[ends]
        self._kernel, self._keys = kernel, tree.keys
        self._parts = [_part(tree, ends, *block) for block in tree.asked_by(ends).blocks]
        self._rows: list[tuple[Keys, Keys]] = []
        self._memories: list[_Memory] = []
        self._steps = self._number = 0

    def read(
        self, q: Queries, k: Keys, v: Keys, prefix: Prefix | None, tree: Tree, scores: Scores
    ) -> Float[Tensor, "q heads width"]:
        """Attention over the row, whose keys and values are kept."""
        pk, pv = prefix or (k[:, :0], v[:, :0])
        found = []
        for part in self._parts:
            index = part.keys.to(k.device)
            keys = torch.cat([pk, k.index_select(1, index)], dim=1)
            found.append((keys, torch.cat([pv, v.index_select(1, index)], dim=1)))
        room = (len(k), len(self.queries), 0)
        written = k.new_empty(*room, k.shape[2]), v.new_empty(*room, v.shape[2])
        self._memories.append(_Memory(found, written, pk.shape[1]))
        return self._kernel(q, k, v, prefix, tree, scores)

    def advance(self, left: Sequence[int] | None = None) -> None:
        """Go on to the next token, with the texts that are left (all of them unless given)."""
        self._number = 0
        self._steps += 1
        if left is not None and len(left) < len(self.queries):
            self._keep(torch.tensor(left, dtype=torch.long))
        self.queries = self.queries + 1
        room = self._memories[0].written[0].shape[2] if self._memories else 0
        if self._steps > room:
            self._memories = [
                memory._replace(written=tuple(_longer(x) for x in memory.written))
                for memory in self._memories
            ]

    def write(
        self,
        q: Queries,
        k: Keys,
        v: Keys,
        prefix: Prefix | None,  # noqa: ARG002 the row's keys have it in front
        tree: object,  # noqa: ARG002 it is this one
        scores: Scores,
    ) -> Float[Tensor, "q heads width"]:
        """Attention of one token a text."""
        memory = self._memories[self._number]
        self._number += 1
        kv, texts, width = k.shape
        copies = len(q) // kv
        own_keys, own_values = (x[:, :, : self._steps] for x in memory.written)
        own_keys[:, :, -1], own_values[:, :, -1] = k, v
        # [kv, texts, copies, width]: heads that share a key head lie side by side
        mine = (q * scores.scale).view(kv, copies, texts, width).transpose(1, 2)
        own = mine @ own_keys.mT
        out = q.new_empty(texts, kv, copies, v.shape[2])
        first = 0
        for number, (part, (keys, values)) in enumerate(zip(self._parts, memory.read, strict=True)):
            rows = slice(first, first + part.texts)
            first += part.texts
            size = keys.shape[1]
            product = mine[:, rows].flatten(1, 2) @ keys.mT
            product = product.view(kv, part.texts, copies, size)
            weights = self._weigh(
                torch.cat([product, own[:, rows]], dim=3), scores, number, rows, memory.prefix
            )
            read, written = weights[..., :size], weights[..., size:]
            found = (read.flatten(1, 2) @ values).view(kv, part.texts, copies, -1)
            out[rows] = (found + written @ own_values[:, rows]).transpose(0, 1)
        return out.flatten(1, 2)

    def _weigh(
        self, products: Tensor, scores: Scores, number: int, rows: slice, prefix: int
    ) -> Tensor:
        """Softmax over the keys that each text of a part sees."""
        exact = torch.promote_types(products.dtype, torch.float32)
        if scores.softcap is not None:
            products = scores.softcap * torch.tanh(products / scores.softcap)
        hidden = self._hidden(number, rows, prefix, products.shape[-1], scores.window)
        if hidden is not None:
            products = products.masked_fill(hidden.to(products.device)[:, None], -torch.inf)
        return torch.softmax(products, dim=-1, dtype=exact).to(products.dtype)

    def _hidden(
        self, number: int, rows: slice, prefix: int, size: int, window: int | None
    ) -> Bool[Tensor, "texts keys"] | None:
        """The keys of a part that its texts don't see; None where they see all."""
        part, places = self._parts[number], self.queries[rows]
        slides = window is not None and bool((places >= window).any())
        if part.seen is None and not slides:
            return None
        hidden = torch.zeros(part.texts, size, dtype=torch.bool)
        if part.seen is not None:
            hidden[:, prefix : prefix + len(part.keys)] = ~part.seen
        if slides and window is not None:
            before = torch.cat([torch.arange(prefix), self._keys[part.keys]])
            hidden[:, : len(before)] |= places[:, None] - before >= window
            age = torch.arange(self._steps - 1, -1, -1)
            hidden[:, len(before) :] |= age >= window
        return hidden

    def _keep(self, left: Int[Tensor, " left"]) -> None:
        """Drop the texts that are not left."""
        self.queries = self.queries[left]
        parts, kept, first = [], [], 0
        for number, part in enumerate(self._parts):
            mine = left[(left >= first) & (left < first + part.texts)] - first
            first += part.texts
            if len(mine):
                seen = None if part.seen is None else part.seen[mine]
                parts.append(part._replace(texts=len(mine), seen=seen))
                kept.append(number)
        self._parts = parts
        self._memories = [
            memory._replace(
                read=[memory.read[i] for i in kept],
                written=tuple(x[:, left.to(x.device)] for x in memory.written),
            )
            for memory in self._memories
        ]


def _part(tree: Tree, ends: Tensor, start: int, stop: int, keys: Tensor) -> _Part:
    seen = tree.sees(ends[start:stop], keys)
    return _Part(keys, None if bool(seen.all()) else seen, stop - start)


def _longer(x: Tensor) -> Tensor:
    """The same with twice the room, 16 tokens at least."""
    room = max(16, 2 * x.shape[2])
    found = x.new_empty(*x.shape[:2], room, x.shape[3])
    found[:, :, : x.shape[2]] = x
    return found
