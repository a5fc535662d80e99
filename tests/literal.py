"""What the engine must equal: padded batches in which every prompt row literally stands in place.

Written for Llamas, block by block, with Hugging Face's own layers and masks of ones and zeros, and
without anything of the engine.
"""

import torch
from transformers import DynamicCache

from promptpriors.packing import pad
from promptpriors.prompts.losses import TokenLosses, padded_losses
from promptpriors.prompts.modes import split_keys


def literal_losses(backbone, prompt, encoded):
    """Losses of a batch under a prompt of any mode."""
    if prompt.mode in {"none", "soft"}:
        return padded_losses(backbone, prompt, encoded)
    box = pad(encoded)
    states = (cached if prompt.mode == "kv" else layered)(backbone, prompt, box)
    logits = backbone.model.lm_head(backbone.model.model.norm(states))
    log_probs = logits[box.line, box.read].log_softmax(-1)
    nats = -log_probs[torch.arange(len(box.targets)), box.targets]
    return TokenLosses(nats, nats > 0, box.line, box.tokens.numel())


def layered(backbone, prompt, box):
    """Hidden states of the text after the last block, in the modes deep and deep-cut."""
    inner, length = backbone.model.model, prompt.length
    hidden = backbone.embed(box.tokens)
    inside = 0
    for i, layer in enumerate(inner.layers):
        names = [f"block.{i}", *(["embed"] if i == 0 else [])]
        rows = next((prompt.values[name] for name in names if name in prompt.values), None)
        if rows is not None:
            rows = rows.expand(len(hidden), -1, -1)
            hidden, inside = torch.cat([rows, hidden[:, inside:]], dim=1), length
        size = hidden.shape[1]
        positions = torch.arange(size)[None] + length - inside
        there = torch.cat([torch.ones(len(hidden), inside, dtype=torch.bool), box.mask], dim=1)
        mask = torch.ones(size, size, dtype=torch.bool).tril() & there[:, None, None, :]
        mask = mask | torch.eye(size, dtype=torch.bool)  # a padded row sees itself, else NaN
        hidden = layer(
            hidden,
            attention_mask=mask,
            position_ids=positions,
            position_embeddings=inner.rotary_emb(hidden, positions),
        )
        if prompt.mode == "deep-cut":
            hidden, inside = hidden[:, inside:], 0
    return hidden[:, inside:]


def cached(backbone, prompt, box):
    """The same in the mode kv on every block: Hugging Face's cache holds the prompt."""
    batch = len(box.tokens)
    cache = DynamicCache()
    for i, value in enumerate(prompt.values.values()):
        keys, values = (x.expand(batch, -1, -1, -1) for x in split_keys(value, backbone))
        cache.update(keys, values, i)
    there = torch.cat([torch.ones(batch, prompt.length, dtype=torch.bool), box.mask], dim=1)
    found = []
    hook = backbone.model.model.norm.register_forward_pre_hook(lambda _, a: found.append(a[0]))
    try:
        backbone.model(
            inputs_embeds=backbone.embed(box.tokens),
            attention_mask=there.long(),
            position_ids=torch.arange(box.tokens.shape[1])[None] + prompt.length,
            past_key_values=cache,
        )
    finally:
        hook.remove()
    return found[0]
