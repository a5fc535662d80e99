"""A frozen model reads documents: what passes chosen sites, a row a token, never padding."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from promptpriors.activations.texts import Text, filled
from promptpriors.errors import InputError
from promptpriors.models import Backbone
from promptpriors.models.sites import check, observed
from promptpriors.packing import (
    Encoded,
    Way,
    chain,
    encodes_exactly,
    pack,
    states_of,
    way_of,
)
from promptpriors.prompts import Prompt
from promptpriors.prompts.insertion import INPUT, insert, root_rows
from promptpriors.prompts.modes import block_of
from promptpriors.types import Site

ENDS = ("final", "normed")
"""Sites above all blocks."""
ROOM = 512
"""Tokens of one call: documents are packed into a row until it has so many."""


class Reading(NamedTuple):
    """One document as it was read.

    Attributes:
        tokens: ids, parents before children; what a document's texts share from their start stands
            once, where a model makes the same of it.
        positions: of each token in its text, from 0.
        roles: places in ``texts.ROLES``.
        example: the first of the document's texts that each token is part of.
        before: the row of the token before it in its text; −1 for the first.
        last: the row of each text's last token.
        states: what passed each site, a row a token.
    """

    tokens: Int[Tensor, " row"]
    positions: Int[Tensor, " row"]
    roles: Int[Tensor, " row"]
    example: Int[Tensor, " row"]
    before: Int[Tensor, " row"]
    last: Int[Tensor, " texts"]
    states: dict[Site, Float[Tensor, "row dim"]]


class _Call(NamedTuple):
    """What is computed together: a row a token, and the rows of each text."""

    tokens: Int[Tensor, " row"]
    positions: Int[Tensor, " row"]
    states: dict[Site, Float[Tensor, "row dim"]]
    paths: Sequence[Int[Tensor, " _"]]


class Reader:
    """Reads documents with a frozen model, and with a prompt in front of them if there is one.

    Args:
        backbone: the frozen model.
        sites: of ``backbone.sites``.
        prompt: what stands before every text; its own rows are kept apart.
        longest: tokens of the longest text.

    Raises:
        InputError: for a site that the model does not have, a text longer than its context, or a
            prompt that is not for it.
    """

    def __init__(
        self, backbone: Backbone, sites: Sequence[Site], *, prompt: Prompt | None, longest: int
    ) -> None:
        if not sites:
            raise InputError("nothing to read: expected at least one site, such as embed")
        for site in sites:
            check(site, backbone.model)
        before = prompt.before if prompt else 0
        if backbone.context is not None and before + longest > backbone.context:
            raise InputError(
                f"texts of {longest} tokens need {before + longest} positions with the prompt, and "
                f"model {backbone.name!r} has {backbone.context}; set capture.tokens to less"
            )
        if prompt is not None and backbone.bidirectional and not backbone.seq2seq:
            raise InputError(f"model {backbone.name!r} is an encoder, which takes no prompt")
        self.backbone, self.sites, self.prompt = backbone, tuple(sites), prompt
        self._way = self._asked(before + longest)
        if prompt is not None and prompt.mode not in INPUT and self._way != "packed":
            raise InputError(
                f"mode {prompt.mode!r} can't stand before texts of {longest} tokens, which model "
                f"{backbone.name!r} does not compute in packed rows; set capture.tokens to less"
            )

    def _asked(self, longest: int) -> Way:
        """How texts up to so many positions are read exactly."""
        if self.backbone.bidirectional or self.backbone.seq2seq:
            return "padded" if encodes_exactly(self.backbone, longest=longest) else "alone"
        # a text of the other side of a switch of rotations may be among them
        return "alone" if self.backbone.side(longest) else way_of(self.backbone, longest=longest)

    @torch.no_grad()
    def read(self, documents: Iterable[Sequence[Text]]) -> Iterator[Reading]:
        """Readings of the documents, in their order; several travel in one call."""
        for some in filled(documents, ROOM):
            texts = [text for document in some for text in document]
            call = self._packed(texts) if self._way == "packed" else self._padded(texts)
            paths = iter(call.paths)
            for document in some:
                yield _gathered(document, list(islice(paths, len(document))), call)

    @torch.no_grad()
    def prompt_rows(self) -> dict[Site, Float[Tensor, "length dim"]]:
        """Activations of the prompt's own rows, where it has any.

        At its own sites these are its vectors. Further up a ``soft`` or ``deep`` prompt's rows run
        on; a ``deep-cut`` prompt is cut away, and ``kv`` has no rows.
        """
        prompt = self.prompt
        if prompt is None or prompt.mode in {"none", "kv"}:
            return {}
        values = prompt.values
        found = {site: values[site].detach() for site in self.sites if site in values}
        if prompt.mode == "deep-cut" or self.backbone.seq2seq:
            return found
        if self._way == "packed":
            with observed(self.backbone.model, self.sites) as passed:
                insert(self.backbone, prompt)
        else:
            passed = self._padded_states([(0,)])  # the prompt's rows see no text
        first = min(map(block_of, values))
        for site, rows in passed.items():
            if site not in found and (site in ENDS or block_of(site) >= first):
                found[site] = rows[0, prompt.bos : prompt.before]
        return found

    def _packed(self, texts: Sequence[Text]) -> _Call:
        """One packed row; what documents share is computed once and given to each of them."""
        row = pack([Encoded(text.id, (text.ids,), (0,)) for text in texts], answers=False)
        inserted = insert(self.backbone, self.prompt, in_front=True)
        found = states_of(
            self.backbone,
            row,
            self.sites,
            prefixes=inserted.prefixes,
            shift=inserted.shift,
            root=inserted.root,
        )
        skipped = 0 if inserted.root is None else len(inserted.root)
        states = {site: value[skipped:] for site, value in found.items()}
        paths = [chain(row, number) for number in range(len(texts))]
        return _Call(row.tokens, row.positions, states, paths)

    def _padded(self, texts: Sequence[Text]) -> _Call:
        """A text a line, padded on the right or alone; no line of the padding is kept."""
        root = self.prompt.before if self.prompt else 0
        lines = [text.ids for text in texts]
        sizes = [len(line) for line in lines]
        calls = [[line] for line in lines] if self._way == "alone" else [lines]
        parts: dict[Site, list[Tensor]] = {}
        for some in calls:
            longest = max(map(len, some))
            inside = torch.arange(longest) < torch.tensor([len(line) for line in some])[:, None]
            for site, value in self._padded_states(some).items():
                parts.setdefault(site, []).append(value[:, root:][inside.to(value.device)])
        states = {site: torch.cat(values) for site, values in parts.items()}
        tokens = torch.tensor([i for text in texts for i in text.ids])
        positions = torch.cat([torch.arange(size) for size in sizes])
        return _Call(tokens, positions, states, torch.arange(len(tokens)).split(sizes))

    def _padded_states(
        self, lines: Sequence[tuple[int, ...]]
    ) -> dict[Site, Float[Tensor, "batch time dim"]]:
        """What passes the sites, the prompt's rows first, padding included."""
        backbone = self.backbone
        tokens = pad_sequence([torch.tensor(line) for line in lines], batch_first=True)
        mask = torch.arange(tokens.shape[1]) < torch.tensor([len(line) for line in lines])[:, None]
        plain = self.prompt is None
        root = tokens.new_zeros(0, backbone.dim) if plain else root_rows(backbone, self.prompt)
        front = root.to(backbone.device, backbone.dtype).expand(len(lines), -1, -1)
        hidden = torch.cat([front, backbone.embed(tokens).to(backbone.dtype)], dim=1)
        whole = torch.cat([mask.new_ones(len(lines), len(root)), mask], dim=1)
        found = {"embed": hidden} if "embed" in self.sites else {}
        if set(self.sites) != {"embed"}:
            model = backbone.model.get_encoder() if backbone.seq2seq else backbone.model
            with observed(backbone.model, self.sites) as passed:
                given = {"inputs_embeds": hidden, "attention_mask": whole.long()}
                beside = backbone.beside(tokens, before=len(root))
                model(**{key: x.to(backbone.device) for key, x in given.items()}, **beside)
            found |= passed
        return found


def _gathered(document: Sequence[Text], paths: Sequence[Int[Tensor, " _"]], call: _Call) -> Reading:
    """The rows of one document out of those of a call, in their order."""
    rows = torch.unique(torch.cat(list(paths)))
    place = torch.full((len(call.tokens),), -1)
    place[rows] = torch.arange(len(rows))
    roles, example, before = (torch.full((len(rows),), -1) for _ in range(3))
    for number in reversed(range(len(document))):  # the first text that has a token owns it
        path = place[paths[number]]
        roles[path] = torch.tensor(document[number].roles)
        example[path] = number
        before[path[1:]] = path[:-1]
    last = torch.tensor([int(place[path[-1]]) for path in paths])
    return Reading(
        tokens=call.tokens[rows],
        positions=call.positions[rows],
        roles=roles,
        example=example,
        before=before,
        last=last,
        states={site: value[rows.to(value.device)] for site, value in call.states.items()},
    )
