"""A frozen language model with what the rest of the project asks of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from promptpriors.errors import InputError
from promptpriors.models import sites
from promptpriors.types import Site


@dataclass(frozen=True, eq=False)
class Backbone:
    """A decoder-only Hugging Face model, frozen, in eval mode, with its tokenizer.

    Attributes:
        name: the name it was loaded by.
        revision: version, commit or content hash of its weights.
        model: the ordinary Hugging Face model.
        tokenizer: the ordinary Hugging Face tokenizer.
    """

    name: str
    revision: str
    model: Any
    tokenizer: Any

    @property
    def device(self) -> torch.device:
        """Where inputs are put."""
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
        """Longest sequence in tokens, prompt included; None where the config does not say."""
        return getattr(self.model.config.get_text_config(), "max_position_embeddings", None)

    @property
    def window(self) -> int | None:
        """Tokens that the narrowest attention sees; None when every layer sees everything.

        Where layers differ from full attention and no width is known, 0: nothing is sure to fit.
        """
        config = self.model.config.get_text_config()
        kinds = getattr(config, "layer_types", None)
        if kinds is not None and all(kind == "full_attention" for kind in kinds):
            return None
        if getattr(config, "use_sliding_window", None) is False:
            return None
        widths = [getattr(config, key, None) for key in ("sliding_window", "attention_chunk_size")]
        known = [width for width in widths if isinstance(width, int)]
        return min(known) if known else (None if kinds is None else 0)

    @property
    def end(self) -> int:
        """Id of the end token."""
        return int(self.tokenizer.eos_token_id)

    @property
    def sites(self) -> dict[Site, nn.Module]:
        """The places of this model where vectors can be read or put, first to last."""
        return sites.table(self.model)

    def embed(self, ids: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape dim"]:
        """Input embeddings: what ``inputs_embeds`` takes, with its scale where a model has one."""
        return self.model.get_input_embeddings()(ids.to(self.device))

    def encode(self, text: str) -> list[int]:
        """Token ids of a piece of text, without special tokens around it.

        Raises:
            InputError: for a text that is not Unicode (lone surrogates).
        """
        if not text.isascii() and text != text.encode("utf-8", "replace").decode():
            raise InputError(f"{text[:40]!a} holds half of a character (a lone surrogate)")
        return list(self.tokenizer.encode(text, add_special_tokens=False, verbose=False))

    def decode(self, ids: Sequence[int]) -> str:
        """Text of token ids, special tokens left out."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))


def freeze(name: str, revision: str, model: Any, tokenizer: Any) -> Backbone:
    """Put a model into eval mode without gradients for its weights.

    Raises:
        InputError: if the tokenizer has no end token.
    """
    if tokenizer.eos_token_id is None:
        raise InputError(
            f"the tokenizer of model {name!r} has no end token, so no answer can end; "
            "set eos_token in its tokenizer_config.json"
        )
    return Backbone(name, revision, model.eval().requires_grad_(False), tokenizer)
