"""Sites of each architecture, and hooks that read what passes them."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from promptpriors.errors import InputError
from promptpriors.types import Site


class Layout(NamedTuple):
    """Module paths of an architecture.

    Attributes:
        blocks: path of the list of blocks.
        norm: path of the norm after the last one; None where the last block ends in its own.
        learned: whether positions are learned and added at the input (else they are rotations).
    """

    blocks: str
    norm: str | None
    learned: bool = False


LLAMAS = ("gemma", "gemma2", "gemma3_text", "llama", "mistral", "qwen2", "qwen3", "smollm3")
"""Architectures whose modules are named and read as Llama's."""
LAYOUTS: dict[str, Layout] = {
    **dict.fromkeys((*LLAMAS, "olmo2", "phi3"), Layout("model.layers", "model.norm")),
    "gpt2": Layout("transformer.h", "transformer.ln_f", learned=True),
    "gpt_neox": Layout("gpt_neox.layers", "gpt_neox.final_layer_norm"),
}
"""Layouts by ``config.model_type``; soft prompts need no row here, only ``embed``."""

ENCODERS: dict[str, Layout] = {
    **dict.fromkeys(("bert", "electra", "roberta", "xlm-roberta"), Layout("encoder.layer", None)),
    **dict.fromkeys(("mt5", "t5", "umt5"), Layout("encoder.block", "encoder.final_layer_norm")),
    "distilbert": Layout("transformer.layer", None),
    "modernbert": Layout("layers", "final_norm"),
}
"""The same for encoders, whose sites are read and hold no prompt. Those of an encoder–decoder are
called ``encoder.block.i`` and so on."""


def table(model: Any) -> dict[Site, nn.Module]:
    """Sites of a model, first to last.

    ``embed`` is what comes out of the embedding module, ``block.i`` the residual stream entering
    module i, ``final`` what enters the norm after the last block, ``normed`` what leaves it. An
    architecture without a row in ``LAYOUTS`` has ``embed`` alone.
    """
    known: dict[Site, nn.Module] = {"embed": model.get_input_embeddings()}
    layout = _layout(model)
    if layout is None:
        return known
    prefix = "encoder." if model.config.is_encoder_decoder else ""
    found = list(model.get_submodule(layout.blocks).children())
    known |= {f"{prefix}block.{i}": block for i, block in enumerate(found)}
    if layout.norm is None:
        return known | {f"{prefix}final": found[-1]}
    norm = model.get_submodule(layout.norm)
    return known | {f"{prefix}final": norm, f"{prefix}normed": norm}


class _Reached(Exception):
    """The last site that was asked for has been read; what comes after it is not computed."""


@contextmanager
def observed(model: Any, sites: Collection[Site]) -> Iterator[dict[Site, Tensor]]:
    """Read what passes some sites in one call of the model, which stops at the last of them.

    Call the model inside the ``with``. ``embed`` is not read, since the caller gives embeddings.

    Yields:
        What passed each site, ``[batch, time, dim]``, filled by the call.
    """
    places, layout = table(model), _layout(model)
    known = [name for name in places if name in sites and name != "embed"]
    found: dict[Site, Tensor] = {}

    def keep(site: Site, value: Any) -> None:
        found[site] = value[0] if isinstance(value, tuple) else value
        if site == known[-1]:
            raise _Reached

    def watch(site: Site) -> RemovableHandle:
        bare = layout is not None and layout.norm is None
        if site.endswith("normed") or (bare and site.endswith("final")):
            return places[site].register_forward_hook(lambda _, __, out: keep(site, out))
        return places[site].register_forward_pre_hook(lambda _, given: keep(site, given))

    handles = [watch(site) for site in known]
    try:
        with suppress(_Reached):
            yield found
    finally:
        for handle in handles:
            handle.remove()


def _layout(model: Any) -> Layout | None:
    return LAYOUTS.get(model.config.model_type) or ENCODERS.get(model.config.model_type)


def blocks(model: Any) -> list[nn.Module]:
    """The blocks of a model in order; empty for an architecture without a row in ``LAYOUTS``."""
    layout = LAYOUTS.get(model.config.model_type)
    return [] if layout is None else list(model.get_submodule(layout.blocks))


def learned_positions(model: Any) -> bool:
    """True where positions are learned vectors, added once at the input."""
    layout = LAYOUTS.get(model.config.model_type)
    return layout is not None and layout.learned


def check(site: Site, model: Any) -> None:
    """Refuse a site that the model does not have.

    Raises:
        InputError: naming the sites there are.
    """
    known = table(model)
    if site not in known:
        blocks = [name for name in known if "block." in name]
        ends = [name for name in known if name.endswith(("final", "normed"))]
        there = ", ".join(["embed", f"{blocks[0]} … {blocks[-1]}", *ends]) if blocks else "embed"
        raise InputError(f"site {site!r} does not exist in this model; it has {there}")
