"""A frozen language model with what the rest of the project asks of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from promptpriors.errors import InputError
from promptpriors.models import sites
from promptpriors.models.capacity import capacities
from promptpriors.types import Site


@dataclass(frozen=True, eq=False)
class Backbone:
    """A Hugging Face language model, frozen, in eval mode, with its tokenizer.

    Attributes:
        name: the name it was loaded by.
        revision: version, commit or content hash of its weights.
        model: the ordinary Hugging Face model.
        tokenizer: the ordinary Hugging Face tokenizer.
        attention: how attention over a tree is computed: ``auto``, or a row of ``KERNELS``.
    """

    name: str
    revision: str
    model: Any
    tokenizer: Any
    attention: str = "auto"

    @property
    def kernel(self) -> str:
        """The way attention over a tree is computed: blocks on the CPU, dense elsewhere."""
        if self.attention != "auto":
            return self.attention
        return "blocks" if self.device.type == "cpu" else "dense"

    @property
    def seq2seq(self) -> bool:
        """True for an encoder–decoder, whose encoder reads prompt and source."""
        return bool(self.model.config.is_encoder_decoder)

    @property
    def bidirectional(self) -> bool:
        """True for an encoder: what it makes of a token depends on later ones."""
        return self.model.config.model_type in sites.ENCODERS

    @property
    def start(self) -> int:
        """Id of the token that the decoder of an encoder–decoder starts from."""
        return int(self.model.config.decoder_start_token_id)

    @property
    def blocks(self) -> list[nn.Module]:
        """The blocks in order; empty for an architecture without a row in ``LAYOUTS``."""
        return sites.blocks(self.model)

    @property
    def key_width(self) -> int:
        """Coordinates of one token's keys in one block: key heads times their width."""
        config = self.model.config.get_text_config()
        width = getattr(config, "head_dim", None)
        return self.key_heads * (width or config.hidden_size // config.num_attention_heads)

    @property
    def key_heads(self) -> int:
        """Heads of keys and values, which query heads may share."""
        config = self.model.config.get_text_config()
        return getattr(config, "num_key_value_heads", None) or config.num_attention_heads

    @property
    def device(self) -> torch.device:
        """Device of the inputs."""
        return self.model.get_input_embeddings().weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights."""
        return self.model.get_input_embeddings().weight.dtype

    @property
    def dim(self) -> int:
        """Width of a token's vector at ``embed``."""
        return self.model.get_input_embeddings().weight.shape[1]

    @property
    def context(self) -> int | None:
        """Longest sequence in tokens, prompt included; None where nothing bounds it."""
        return self._capacities[0]

    @property
    def answer_context(self) -> int | None:
        """Longest target of an encoder–decoder in tokens; None where nothing bounds it."""
        return self._capacities[1]

    @cached_property
    def _capacities(self) -> tuple[int | None, int | None]:
        return capacities(self.model)

    @property
    def turn(self) -> int | None:
        """Positions beyond which a whole text is rotated otherwise (LongRoPE); None for never."""
        config = self.model.config.get_text_config()
        turns = [
            rope.get("original_max_position_embeddings")
            or getattr(config, "original_max_position_embeddings", None)
            or self.context
            for rope in self._rotations
            if rope.get("rope_type") == "longrope"
        ]
        return min((turn for turn in turns if isinstance(turn, int)), default=None)

    @property
    def stretches(self) -> bool:
        """True where rotations depend on the length of a call."""
        return any(rope.get("rope_type") in {"dynamic", "longrope"} for rope in self._rotations)

    @property
    def _rotations(self) -> list[dict[str, Any]]:
        """Settings of rotations, of all blocks or of each type of block."""
        rope = getattr(self.model.config.get_text_config(), "rope_parameters", None) or {}
        return [rope, *(part for part in rope.values() if isinstance(part, dict))]

    def side(self, positions: int) -> int:
        """The ``turn`` that a text lies beyond, or 0: texts of two sides travel apart."""
        return self.turn if self.turn is not None and positions > self.turn else 0

    def beside(self, ids: Int[Tensor, "batch time"], *, before: int = 0) -> dict[str, Tensor]:
        """Keywords that a model needs besides the embeddings of some ids; mostly none.

        Gemma 3n and 4 add to each block what a second table says of the token. A vector is no
        token: it gets what the padding token gets, as an image does in these models.

        Args:
            ids: of the text.
            before: vectors in front of each line.
        """
        table = self._second_table
        if table is None:
            return {}
        padding = getattr(self.model.config.get_text_config(), "pad_token_id", None) or 0
        ids = torch.nn.functional.pad(ids.to(self.device), (before, 0), value=padding)
        return {"per_layer_inputs": table.get_per_layer_inputs(ids)}

    @cached_property
    def _second_table(self) -> Any:
        """The module that holds embeddings for each block, if there is one."""
        config = self.model.config.get_text_config()
        if not getattr(config, "hidden_size_per_layer_input", None):
            return None
        holders = (m for m in self.model.modules() if hasattr(m, "get_per_layer_inputs"))
        return next(holders, None)

    @cached_property
    def ordinary_ids(self) -> list[int]:
        """Ids that stand for text: no control tokens, no places for images or sounds."""
        config = self.model.config
        both = (config, config.get_text_config())
        odd = {
            value for part in both for key, value in part.to_dict().items() if _is_id(key, value)
        }
        size = self.model.get_input_embeddings().num_embeddings
        if self.tokenizer is not None:
            odd |= set(self.tokenizer.all_special_ids)
            size = min(size, len(self.tokenizer))
        return [i for i in range(1, size) if i not in odd]

    @property
    def end(self) -> int:
        """Id of the end token; of an encoder that has none, of its separator."""
        end = self.tokenizer.eos_token_id
        return int(self.tokenizer.sep_token_id if end is None else end)

    @cached_property
    def ends(self) -> frozenset[int]:
        """Ids at which an answer ends: the end token, and what the generation config names."""
        settings = getattr(self.model, "generation_config", None)
        named = getattr(settings, "eos_token_id", None)
        more = named if isinstance(named, list) else [named]
        return frozenset([self.end, *(i for i in more if isinstance(i, int))])

    @property
    def sites(self) -> dict[Site, nn.Module]:
        """The places of this model where vectors can be read or put, first to last."""
        return sites.table(self.model)

    def embed(self, ids: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape dim"]:
        """Input embeddings: what ``inputs_embeds`` takes, with its scale where a model has one."""
        return self.model.get_input_embeddings()(ids.to(self.device))

    def encode(self, text: str, *, control: bool = False) -> list[int]:
        """Token ids of a piece of text, without special tokens around it.

        Args:
            text: any text.
            control: whether a control token that the text spells out, such as ``<|im_end|>``, is
                that token; else it is text like any other.

        Raises:
            InputError: for a text that is not Unicode (lone surrogates), or that spells a control
                token which this tokenizer can't read as text.
        """
        if not text.isascii() and text != text.encode("utf-8", "replace").decode():
            raise InputError(f"{text[:40]!a} holds half of a character (a lone surrogate)")
        plain = {"add_special_tokens": False, "verbose": False}
        found = list(self.tokenizer.encode(text, **plain))
        if control or self.control_ids.isdisjoint(found):
            return found
        split = self.tokenizer.encode(text, split_special_tokens=True, **plain)
        return [part for token in split for part in self._spelled(int(token))]

    def _spelled(self, token: int) -> list[int]:
        """A token, but a control token by its characters: some vocabularies have it as a word."""
        if token not in self.control_ids:
            return [token]
        name = self.tokenizer.convert_ids_to_tokens(token)
        letters = self.tokenizer.convert_tokens_to_ids(list(name))
        if None in letters or not self.control_ids.isdisjoint(letters):
            raise InputError(
                f"a text spells the control token {name!r} of model {self.name!r}, whose tokenizer "
                "can't read it as text; leave out the text, or write it otherwise"
            )
        return letters

    @cached_property
    def control_ids(self) -> frozenset[int]:
        """Ids of tokens that stand for no text: begin, end, padding, roles of a chat.

        The unknown token is not among them, which stands for any text, nor is a single character
        that serves as one of them.
        """
        special = (i for i, token in self.tokenizer.added_tokens_decoder.items() if token.special)
        found = {*map(int, special), *map(int, self.tokenizer.all_special_ids)}
        found -= {self.tokenizer.unk_token_id}
        names = dict(zip(found, self.tokenizer.convert_ids_to_tokens(list(found)), strict=True))
        return frozenset(i for i, name in names.items() if len(str(name).strip()) > 1)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of token ids, special tokens left out."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))


def _is_id(key: str, value: Any) -> bool:
    return isinstance(value, int) and key.endswith(("token_id", "token_index"))


def freeze(name: str, revision: str, model: Any, tokenizer: Any) -> Backbone:
    """Put a model into eval mode without gradients for its weights.

    Raises:
        InputError: if the tokenizer has no end token.
    """
    backbone = Backbone(name, revision, model.eval().requires_grad_(False), tokenizer)
    alone = backbone.bidirectional and not backbone.seq2seq  # an encoder, which writes nothing
    if tokenizer.eos_token_id is None and not alone:
        raise InputError(
            f"the tokenizer of model {name!r} has no end token, so no answer can end; "
            "set eos_token in its tokenizer_config.json"
        )
    return backbone
