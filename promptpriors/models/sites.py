"""Where the sites lie in each architecture: a table from site to module."""

from typing import Any, NamedTuple

from torch import nn

from promptpriors.errors import InputError
from promptpriors.types import Site


class Layout(NamedTuple):
    """Module paths of an architecture: the list of blocks and the norm after the last one.

    Attributes:
        blocks: path of the list of blocks.
        norm: path of the norm after the last one.
        learned: whether positions are learned and added at the input (else they are rotations).
    """

    blocks: str
    norm: str
    learned: bool = False


_LLAMA = Layout("model.layers", "model.norm")
LAYOUTS: dict[str, Layout] = {
    "gemma": _LLAMA,
    "gemma2": _LLAMA,
    "gemma3_text": _LLAMA,
    "gpt2": Layout("transformer.h", "transformer.ln_f", learned=True),
    "gpt_neox": Layout("gpt_neox.layers", "gpt_neox.final_layer_norm"),
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "olmo2": _LLAMA,
    "phi3": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "smollm3": _LLAMA,
}
"""Layouts by ``config.model_type``; soft prompts need no row here, only ``embed``."""


def table(model: Any) -> dict[Site, nn.Module]:
    """Sites of a model, first to last.

    ``embed`` is what comes out of the embedding module, ``block.i`` the residual stream entering
    module i, ``final`` what enters the norm after the last block, ``normed`` what leaves it. An
    architecture without a row in ``LAYOUTS`` has ``embed`` alone.
    """
    known: dict[Site, nn.Module] = {"embed": model.get_input_embeddings()}
    layout = LAYOUTS.get(model.config.model_type)
    if layout is None:
        return known
    blocks = model.get_submodule(layout.blocks)
    norm = model.get_submodule(layout.norm)
    known |= {f"block.{i}": block for i, block in enumerate(blocks)}
    return known | {"final": norm, "normed": norm}


def blocks(model: Any) -> list[nn.Module]:
    """The blocks of a model in order; empty for an architecture without a row in ``LAYOUTS``."""
    layout = LAYOUTS.get(model.config.model_type)
    return [] if layout is None else list(model.get_submodule(layout.blocks))


def learned_positions(model: Any) -> bool:
    """Whether positions are learned vectors, added once at the input."""
    layout = LAYOUTS.get(model.config.model_type)
    return layout is not None and layout.learned


def check(site: Site, model: Any) -> None:
    """Refuse a site that the model does not have.

    Raises:
        InputError: naming the sites there are.
    """
    known = table(model)
    if site not in known:
        blocks = sum(name.startswith("block.") for name in known)
        there = f"embed, block.0 … block.{blocks - 1}, final, normed" if blocks else "embed"
        raise InputError(f"site {site!r} does not exist in this model; it has {there}")
