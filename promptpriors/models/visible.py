"""Coordinates of a vector at a block's input that the block's keys and values read.

A ``deep-cut`` vector acts through the keys and values of its own block alone, so only through what
the block's normalisation and [W_k; W_v] leave of it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from promptpriors.errors import InputError
from promptpriors.models import sites
from promptpriors.models.backbone import Backbone
from promptpriors.types import Site


@dataclass(frozen=True, eq=False)
class Visible:
    """The visible coordinates of vectors at a site, float32 on the CPU.

    With z = normalise(x) and B the basis, a block's keys and values are functions of
    [W_k; W_v] z = [W_k; W_v] B · (coordinates · size): nothing else of x reaches them.

    Attributes:
        gain: of the normalisation.
        bias: of the normalisation; zeros where it has none.
        eps: added to the mean square before its root.
        centred: whether the mean is taken off first (LayerNorm), or not (RMSNorm).
        basis: orthonormal, of the row space of [W_k; W_v].
    """

    gain: Float[Tensor, " dim"]
    bias: Float[Tensor, " dim"]
    eps: float
    centred: bool
    basis: Float[Tensor, "dim rank"]

    @property
    def rank(self) -> int:
        """Dimensions that the block sees."""
        return self.basis.shape[1]

    def __call__(self, points: Float[Tensor, "n dim"]) -> Float[Tensor, "n rank"]:
        """Coordinates Bᵀ normalise(x), scaled to a root mean square of one; zero stays zero."""
        seen = self.normalise(points) @ self.basis
        size = seen.square().mean(dim=1, keepdim=True).sqrt()
        return seen / size.clamp_min(torch.finfo(seen.dtype).tiny)

    def size(self, points: Float[Tensor, "n dim"]) -> Float[Tensor, " n"]:
        """Root mean square of Bᵀ normalise(x), small for a vector that the block hardly sees."""
        return (self.normalise(points) @ self.basis).square().mean(dim=1).sqrt()

    def normalise(self, points: Float[Tensor, "n dim"]) -> Float[Tensor, "n dim"]:
        """Points after the block's normalisation, gain and bias included."""
        points = points.to("cpu", torch.float32)
        if self.centred:
            points = points - points.mean(dim=1, keepdim=True)
        size = points.square().mean(dim=1, keepdim=True).add(self.eps).sqrt()
        return points / size * self.gain + self.bias


def visible(backbone: Backbone, site: Site) -> Visible:
    """Part of a vector that a decoder's block sees at its input.

    Args:
        backbone: the frozen model.
        site: ``block.i``, or ``embed`` for the input of block 0.

    Raises:
        InputError: for a site that feeds no block, or an architecture of which we do not know how
            its blocks read; there the raw vectors are all there is.
    """
    kind = backbone.model.config.model_type
    if kind not in _READS:
        raise InputError(
            f"model {backbone.name!r} ({kind}): the visible coordinates are known for "
            f"{', '.join(sorted(_READS))}\nTake the raw vectors"
        )
    sites.check(site, backbone.model)
    if site != "embed" and not site.startswith("block."):
        raise InputError(f"site {site!r} feeds no block; expected embed or block.i")
    if site == "embed" and sites.learned_positions(backbone.model):
        raise InputError(
            f"model {backbone.name!r} ({kind}) adds positions between embed and block 0, so what "
            "is seen of a vector depends on its place\nTake block.0, or the raw vectors"
        )
    reads = _READS[kind]
    block: Any = backbone.blocks[0 if site == "embed" else int(site.removeprefix("block."))]
    with torch.no_grad():
        basis = _row_space(reads.matrix(block.get_submodule(reads.attention)))
        return Visible(*_gain(block.get_submodule(reads.norm)), basis=basis)


def _gain(norm: Any) -> tuple[Tensor, Tensor, float, bool]:
    """Gain, bias, eps and whether the mean is taken off, of a LayerNorm or an RMSNorm."""
    weight = norm.weight.detach()
    if isinstance(norm, nn.LayerNorm):
        bias = torch.zeros_like(weight) if norm.bias is None else norm.bias.detach()
        return weight.cpu().float(), bias.cpu().float(), norm.eps, True
    known = getattr(norm, "variance_epsilon", None)
    eps = float(norm.eps if known is None else known)
    # asked of the module, since some architectures store the gain less one
    gain = norm(torch.ones_like(weight)[None])[0].cpu().float() * (1 + eps) ** 0.5
    return gain, torch.zeros_like(gain), eps, False


def _row_space(matrix: Float[Tensor, "rows dim"]) -> Float[Tensor, "dim rank"]:
    """An orthonormal basis, float32, from singular vectors in float64."""
    exact = matrix.detach().to("cpu", torch.float64)
    _, values, directions = torch.linalg.svd(exact, full_matrices=False)
    least = values[0] * max(exact.shape) * torch.finfo(torch.float32).eps
    return directions[values > least].T.to(torch.float32).contiguous()


class _Reads(NamedTuple):
    """How a block reads: paths of its normalisation and attention, and the latter's [W_k; W_v]."""

    norm: str
    attention: str
    matrix: Callable[[Any], Tensor]


def _apart(attention: Any) -> Tensor:
    return torch.cat([attention.k_proj.weight, attention.v_proj.weight])


def _behind_queries(attention: Any) -> Tensor:
    """Phi's one matrix: queries, keys, values."""
    return attention.qkv_proj.weight[attention.o_proj.weight.shape[1] :]


def _by_head(attention: Any) -> Tensor:
    """GPT-NeoX's one matrix: for each head queries, keys, values."""
    rows = attention.query_key_value.weight.unflatten(0, (-1, 3, attention.head_size))
    return rows[:, 1:].flatten(0, 2)


def _by_column(attention: Any) -> Tensor:
    """GPT-2's one matrix, stored the other way round: queries, keys, values."""
    return attention.c_attn.weight[:, attention.c_proj.weight.shape[0] :].T


_READS: dict[str, _Reads] = {
    **dict.fromkeys(sites.LLAMAS, _Reads("input_layernorm", "self_attn", _apart)),
    "gpt2": _Reads("ln_1", "attn", _by_column),
    "gpt_neox": _Reads("input_layernorm", "attention", _by_head),
    "phi3": _Reads("input_layernorm", "self_attn", _behind_queries),
}
"""By ``config.model_type``. OLMo 2 has no normalisation before attention, so a vector's length acts
too, and it has no row."""
