"""What the engine makes of a model, against plain calls on one text at a time."""

import tempfile
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

import promptpriors as pp
from promptpriors.errors import InputError
from promptpriors.models.backbone import Backbone
from promptpriors.packing import Encoded, encode, way_of
from promptpriors.prompts.modes import split_keys
from promptpriors.rng import generator
from tests.architectures.building import save
from tests.helpers import drawn

CLOSE, SLOPE, NEW, LENGTH = 2e-4, 2e-3, 6, 3


class Outcome(NamedTuple):
    """How an architecture fares.

    Attributes:
        kind: its name.
        state: ``right``, ``refused``, ``wrong``, ``crashed`` or ``not built``.
        way: how it is computed: packed, padded, alone; empty where nothing is.
        modes: the modes that it was tried in.
        reason: why it is refused, not built, or what is wrong.
    """

    kind: str
    state: str
    way: str
    modes: tuple[str, ...]
    reason: str


def outcome(kind: str, *, seq2seq: bool) -> Outcome:
    """Build, save and load a tiny model, and compare what there is to compare."""
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            save(kind, seq2seq=seq2seq, folder=Path(name))
        except Exception as error:  # as in ``save``
            return Outcome(kind, "not built", "", (), _line(error))
        try:
            backbone = pp.load_model(name)
            if backbone.seq2seq:
                wrong, modes = _encoder_decoder(backbone), ("soft",)
            else:
                wrong, modes = _decoder(backbone)
        except InputError as error:
            return Outcome(kind, "refused", "", (), _line(error).replace(name, kind))
        except Exception as error:  # that is what is looked for
            return Outcome(kind, "crashed", "", (), f"{type(error).__name__}: {_line(error)}")
        way = way_of(backbone, longest=150)
    return Outcome(kind, "wrong" if wrong else "right", way, modes, "; ".join(wrong))


def examples() -> list[pp.Example]:
    """Texts of 14 to 145 tokens, two of them with a context in common."""
    stream = generator(0, "architectures")

    def words(size: int) -> str:
        letters = torch.randint(0, 26, (size,), generator=stream).tolist()
        return "".join(" " if i % 6 == 5 else chr(97 + x) for i, x in enumerate(letters))

    context = words(70)
    sources = [(context, words(30)), (context, words(18)), (words(9),), (words(52),), (words(140),)]
    sizes = (6, 9, 4, 12, 3)
    return [
        pp.Example(str(i), source, (words(size).strip(),))
        for i, (source, size) in enumerate(zip(sources, sizes, strict=True))
    ]


def _decoder(backbone: Backbone) -> tuple[list[str], tuple[str, ...]]:
    some = examples()
    encoded = encode(backbone, some, before=LENGTH)
    wrong = []
    with torch.no_grad():
        expected = torch.cat([_nats(backbone, text) for text in encoded]).mean()
        wrong += _differ("plain loss", pp.loss(backbone, None, some), expected, CLOSE)
    prompt = pp.Prompt("soft", {"embed": _vectors(backbone)})
    root = prompt.values["embed"]
    expected = torch.cat([_nats(backbone, text, root) for text in encoded]).mean()
    found = pp.loss(backbone, prompt, some)
    wrong += _differ("soft loss", found, expected, CLOSE)
    slopes = [torch.autograd.grad(value, root)[0] for value in (found, expected)]
    wrong += _differ("gradient", *slopes, SLOPE)
    few = [some[0], some[2], some[3]]
    answers = pp.generate(backbone, prompt, few, max_new_tokens=NEW, stop=None)
    with torch.no_grad():
        known = [_greedy(backbone, text, root) for text in encode(backbone, few)]
    if answers != known:
        wrong.append(f"answers {answers} for {known}")
    modes = ["soft"]
    for mode, check in (("kv", _kv), ("deep-cut", _deep_cut)):
        if backbone.blocks:
            with suppress(InputError):
                wrong += check(backbone, some, encoded)
                modes.append(mode)
    return wrong, tuple(modes)


def _kv(backbone: Backbone, some: list[pp.Example], encoded: list[Encoded]) -> list[str]:
    """Keys and values against Hugging Face's own cache, or under a window one text at a time."""
    prompt = drawn(backbone, "kv")
    found = pp.loss(backbone, prompt, some)
    if backbone.model.config.model_type in WINDOWED:
        sizes = torch.tensor([len(text.target) for text in encoded])
        single = torch.stack([pp.loss(backbone, prompt, [one]).detach() for one in some])
        return _differ("kv loss", found, (single * sizes).sum() / sizes.sum())
    return _differ("kv loss", found, _cached(backbone, prompt, encoded))


def _deep_cut(backbone: Backbone, some: list[pp.Example], encoded: list[Encoded]) -> list[str]:
    """A batch against one text at a time; tests of the modes say that each is right."""
    prompt = drawn(backbone, "deep-cut")
    sizes = torch.tensor([len(text.target) for text in encoded])
    single = torch.stack([pp.loss(backbone, prompt, [one]).detach() for one in some])
    return _differ(
        "deep-cut loss", pp.loss(backbone, prompt, some), (single * sizes).sum() / sizes.sum()
    )


WINDOWED = {"gemma2", "gemma3_text", "gemma3", "mistral", "qwen2", "qwen3", "phi3", "olmo3"}
"""Where Hugging Face's cache of given keys would be cut to the window, unlike their text."""


def _cached(backbone: Backbone, prompt: pp.Prompt, encoded: list[Encoded]) -> Tensor:
    """The loss behind keys and values that Hugging Face's own cache holds."""
    from transformers import DynamicCache

    nats = []
    for text in encoded:
        cache = DynamicCache()
        for i, value in enumerate(prompt.values.values()):
            keys, values = split_keys(value.detach(), backbone)
            cache.update(keys[None], values[None], i)
        ids = torch.tensor([[*sum(text.pieces, ()), *text.target]])
        with torch.no_grad():
            logits = backbone.model(input_ids=ids, past_key_values=cache).logits[0]
        nats.append(_read(logits, text))
    return torch.cat(nats).mean()


def _vectors(backbone: Backbone) -> Tensor:
    scale = float(backbone.model.get_input_embeddings().weight.std())
    return scale * torch.randn(LENGTH, backbone.dim, generator=generator(1, "architectures"))


def _inputs(backbone: Backbone, ids: Tensor, root: Tensor | None) -> dict[str, Any]:
    """What Hugging Face's model is given: ids, or vectors and the embeddings of ids."""
    if root is None:
        return {"input_ids": ids}
    hidden = torch.cat([root[None], backbone.model.get_input_embeddings()(ids)], dim=1)
    found: dict[str, Any] = {"inputs_embeds": hidden}
    config = backbone.model.config.get_text_config()
    if getattr(config, "hidden_size_per_layer_input", None):
        padded = torch.nn.functional.pad(ids, (len(root), 0), value=config.pad_token_id)
        holder = next(m for m in backbone.model.modules() if hasattr(m, "embed_tokens_per_layer"))
        found["per_layer_inputs"] = holder.get_per_layer_inputs(padded)
    return found


def _nats(backbone: Backbone, text: Encoded, root: Tensor | None = None) -> Tensor:
    ids = torch.tensor([[*sum(text.pieces, ()), *text.target]])
    given = _inputs(backbone, ids, root)
    logits = backbone.model(**given, use_cache=False).logits[0]
    return _read(logits[0 if root is None else len(root) :], text)


def _read(logits: Tensor, text: Encoded) -> Tensor:
    size = len(text.target)
    found = logits[-size - 1 : -1].double()
    return torch.nn.functional.cross_entropy(found, torch.tensor(text.target), reduction="none")


def _greedy(backbone: Backbone, text: Encoded, root: Tensor) -> str:
    """The likeliest tokens, everything read again for each."""
    ids = list(sum(text.pieces, ()))
    start = len(ids)
    for _ in range(NEW):
        given = _inputs(backbone, torch.tensor([ids]), root)
        token = int(backbone.model(**given, use_cache=False).logits[0, -1].argmax())
        if token == backbone.end:
            break
        ids.append(token)
    return backbone.decode(ids[start:]).strip()


def _encoder_decoder(backbone: Backbone) -> list[str]:
    some = examples()
    encoded = encode(backbone, some, before=LENGTH)
    prompt = pp.Prompt("soft", {"embed": _vectors(backbone)})
    root = prompt.values["embed"]
    expected = torch.cat([_read_decoder(backbone, text, root) for text in encoded]).mean()
    found = pp.loss(backbone, prompt, some)
    wrong = _differ("soft loss", found, expected, CLOSE)
    slopes = [torch.autograd.grad(value, root)[0] for value in (found, expected)]
    wrong += _differ("gradient", *slopes, SLOPE)
    answers = pp.generate(backbone, prompt, some[:3], max_new_tokens=NEW, stop=None)
    with torch.no_grad():
        known = [_decoded(backbone, text, root) for text in encoded[:3]]
    if answers != known:
        wrong.append(f"answers {answers} for {known}")
    return wrong


def _sources(backbone: Backbone, text: Encoded, root: Tensor) -> dict[str, Tensor]:
    ids = torch.tensor([[*sum(text.pieces, ()), backbone.end]])
    embedded = backbone.model.get_input_embeddings()(ids)
    return {"inputs_embeds": torch.cat([root[None], embedded], dim=1)}


def _read_decoder(backbone: Backbone, text: Encoded, root: Tensor) -> Tensor:
    given = torch.tensor([[backbone.start, *text.target[:-1]]])
    sources = _sources(backbone, text, root)
    logits = backbone.model(**sources, decoder_input_ids=given, use_cache=False).logits[0]
    target = torch.tensor(text.target)
    return torch.nn.functional.cross_entropy(logits.double(), target, reduction="none")


def _decoded(backbone: Backbone, text: Encoded, root: Tensor) -> str:
    ids = [backbone.start]
    for _ in range(NEW):
        sources = _sources(backbone, text, root)
        out = backbone.model(**sources, decoder_input_ids=torch.tensor([ids]), use_cache=False)
        token = int(out.logits[0, -1].argmax())
        if token == backbone.end:
            break
        ids.append(token)
    return backbone.decode(ids[1:]).strip()


def _differ(what: str, found: Tensor, expected: Tensor, limit: float = CLOSE) -> list[str]:
    away = float((found - expected).double().norm() / expected.double().norm().clamp_min(1e-12))
    return [] if away <= limit else [f"{what} off by {away:.1e}"]


def _line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return " ".join(text.split())[:160]
