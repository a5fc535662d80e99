"""Limits of a machine: the plain model's rate, and the rate of its matrix products."""

import statistics
import time
from collections.abc import Callable, Sequence

import torch

from promptpriors.models import Backbone
from promptpriors.packing import Encoded, pack, tree_of

SHORT = 64
"""Tokens of a short causal row, in which attention costs next to nothing."""


def plain_rate(backbone: Backbone, batch: Sequence[Encoded]) -> float:
    """Measure tokens per second of the plain model in short causal rows.

    Forward and backward, with as many tokens as the batch has, and as large a share of logits.
    """
    row = pack(batch)
    lines = max(1, len(row.tokens) // SHORT)
    ids = row.tokens[: lines * SHORT].view(lines, -1)
    hidden = backbone.embed(ids).detach().to(backbone.dtype).requires_grad_()
    keep = max(1, round(len(row.read) / lines))
    began = time.perf_counter()
    logits = backbone.model(inputs_embeds=hidden, use_cache=False, logits_to_keep=keep).logits
    logits.float().log_softmax(-1)[..., 0].mean().backward()
    return ids.numel() / (time.perf_counter() - began)


def product_rate(backbone: Backbone, rows: int, reads: int) -> float:
    """Measure FLOP/s of torch's matrix products on the model's own weights.

    A block's linear layers on ``rows`` and the head on ``reads``, forward and for the gradient of
    what enters them.
    """
    weights = [(w, rows) for w in _linear(backbone)[0]]
    weights.append((backbone.model.get_output_embeddings().weight, reads))
    work, seconds = 0.0, 0.0
    for weight, n in weights:
        into = torch.randn(n, weight.shape[1], dtype=weight.dtype, device=weight.device)
        out = torch.randn(n, weight.shape[0], dtype=weight.dtype, device=weight.device)
        for product in (lambda i=into, w=weight: i @ w.T, lambda o=out, w=weight: o @ w):
            seconds += _time(product)
            work += 2.0 * n * weight.numel()
    return work / seconds


def needed_work(backbone: Backbone, batch: Sequence[Encoded], before: int, *, rows: int) -> float:
    """Count the floating-point operations that a step must do.

    Linear layers and visible pairs, forward and for the activations' gradient, and logits at
    targets; of the last block keys and values of all tokens and the rest of those that are read; of
    the first no gradient of the text that enters it. Of the rows ``before`` every text so many run
    through the network as ``rows`` says.
    """
    config = backbone.model.config.get_text_config()
    row = pack(batch)
    tokens, reads = len(row.tokens) + rows, len(row.read)
    blocks, key_value = _linear(backbone)
    block, enters = (sum(w.numel() for w in part) for part in (blocks, key_value))
    linear = 2 * 2.0 * block * tokens * (len(backbone.blocks) - 1)
    linear += 2 * 2.0 * (enters * tokens + (block - enters) * reads)
    linear -= 2.0 * enters * len(row.tokens)
    head = 2 * 2.0 * backbone.model.get_output_embeddings().weight.numel() * reads
    pairs = int(tree_of(row, shift=before).seen.sum()) + before * len(row.tokens)
    width = config.num_attention_heads * (
        getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    )
    attention = pairs * width * (2 * 2.0 + 4 * 2.0) * (len(backbone.blocks) - 1)
    return linear + head + attention


def _linear(backbone: Backbone) -> tuple[Sequence[torch.Tensor], Sequence[torch.Tensor]]:
    """Weights of one block's linear layers, and of those the ones that make keys and values."""
    named = [(n, p) for n, p in backbone.blocks[1].named_parameters() if p.ndim == 2]
    kv = [p for n, p in named if n.endswith(("k_proj.weight", "v_proj.weight"))]
    return [p for _, p in named], kv


def _time(call: Callable[[], object], rounds: int = 7) -> float:
    """Median seconds of a call, after one that warms up."""
    found = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        call()
        found.append(time.perf_counter() - began)
    return statistics.median(found[1:])
