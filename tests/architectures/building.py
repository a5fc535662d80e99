"""Tiny random models of every architecture that transformers maps to a language model.

A configuration class is made small by the names of its settings, so that a new one is covered as
soon as it is mapped. Windows, indices, chunks and original contexts are 20 to 64 positions, so that
texts of a hundred tokens pass them.
"""

import copy
import re
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
)

from promptpriors.models.tiny import byte_tokenizer

VOCABULARY, CONTEXT, LARGEST = 264, 512, 30e6


def _rows(value: Any, *names: str) -> dict[str, Any]:
    return dict.fromkeys(names, value)


SMALL: dict[str, Any] = {
    **_rows(
        VOCABULARY,
        *("vocab_size", "decoder_vocab_size", "unpadded_vocab_size", "vocab_size_per_layer_input"),
    ),
    **_rows(
        64,
        *("hidden_size", "d_model", "n_embd", "emb_dim", "embedding_size", "attention_hidden_size"),
        *("word_embed_proj_dim", "embedding_dim", "input_embedding_size", "output_embedding_size"),
        *("lru_width", "dim_model_base", "projection_dim", "backbone_hidden_size"),
    ),
    **_rows(4, "num_hidden_layers", "n_layer", "n_layers", "num_layers", "num_blocks"),
    **_rows(
        2,
        *("encoder_layers", "decoder_layers", "num_encoder_layers", "num_decoder_layers"),
        *("num_key_value_heads", "num_kv_heads", "num_query_groups", "swa_num_key_value_heads"),
        *("num_layers_per_stack", "centroid_intermediate_top_k", "type_vocab_size"),
        *("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_k"),
        *("linear_num_key_heads", "n_mamba_heads", "index_n_heads", "index_topk_blocks"),
    ),
    **_rows(
        4,
        *("num_attention_heads", "n_head", "n_heads", "num_heads", "encoder_attention_heads"),
        *("decoder_attention_heads", "num_encoder_attention_heads", "attention_heads"),
        *("num_decoder_attention_heads", "swa_num_attention_heads", "linear_num_value_heads"),
        *("linear_num_heads", "num_experts", "n_routed_experts", "num_local_experts"),
        *("moe_num_experts", "mamba_dt_rank", "time_step_rank"),
    ),
    **_rows(
        16,
        *("head_dim", "attention_head_dim", "dim_head", "d_head", "d_kv", "kv_channels"),
        *("swa_head_dim", "attention_head_size", "global_head_dim", "v_head_dim", "qk_head_dim"),
        *("kv_lora_rank", "index_head_dim", "linear_key_head_dim", "linear_value_head_dim"),
        *("linear_head_dim", "mamba_d_head", "mamba_head_dim", "mamba_headdim", "chunk_size"),
        *("mamba_chunk_size", "query_pre_attn_scalar", "hidden_size_per_layer_input"),
        *("o_lora_rank", "d_rel", "ple_embed_dim", "num_centroids"),
    ),
    **_rows(
        8,
        *("qk_rope_head_dim", "qk_nope_head_dim", "index_block_size", "mamba_d_state"),
        *("mamba_n_heads", "mamba_num_heads", "ssm_state_size", "state_size", "rotary_dim"),
        *("laurel_rank", "adapter_rank", "hc_lowrank", "gated_norm_rank"),
    ),
    **_rows(24, "q_lora_rank"),
    **_rows(
        96,
        *("intermediate_size", "n_inner", "ffn_dim", "encoder_ffn_dim", "decoder_ffn_dim", "d_ff"),
        *("dff", "dim_ff", "d_inner", "ffn_hidden_size", "dense_intermediate_size"),
        *("intermediate_size_mlp", "feed_forward_size"),
    ),
    **_rows(
        32,
        *("moe_intermediate_size", "shared_expert_intermediate_size", "shared_intermediate_size"),
        *("shared_experts_intermediate_size", "expert_ffn_hidden_size", "router_hidden_size"),
        *("moe_shared_expert_intermediate_size", "floor_scale", "log_scaling_n_floor"),
    ),
    **_rows(
        24,
        *("sliding_window", "sliding_window_size", "attention_window_size", "window_size"),
        *("local_attention", "keep_window_size", "attention_chunk_size"),
    ),
    **_rows(20, "index_topk"),
    **_rows(64, "original_max_position_embeddings"),
    **_rows(128, "mamba_d_ssm"),
    **_rows(
        CONTEXT,
        *("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "model_max_length"),
        *("context_length", "max_source_positions", "max_target_positions"),
        *("max_encoder_position_embeddings", "max_decoder_position_embeddings"),
    ),
    **_rows(
        1,
        *("n_group", "topk_group", "n_shared_experts", "num_shared_experts", "num_expert_group"),
        *("first_k_dense_replace", "num_dense_layers", "index_local_blocks", "mamba_n_groups"),
        *("mamba_ngroups", "n_groups", "num_mem_blocks"),
    ),
    **_rows(
        0,
        *("num_nextn_predict_layers", "num_kv_shared_layers", "zero_expert_num"),
        *("max_window_layers", "chunk_size_feed_forward"),
    ),
    **_rows(257, "ngram_vocab_size_base"),
    **_rows(0.15, "initializer_range", "init_std"),  # lively enough for faults to show
    **_rows(1.5, "initializer_factor"),
}
"""Settings by name, where a default configuration has them as numbers."""

TRIALS: list[dict[str, Any]] = [{}, {"head_dim": 8}, {"num_key_value_heads": 4}]
"""What is tried in turn, until a model can be built and called."""

SPECIAL: dict[str, dict[str, Any]] = {
    "bamba": {"attn_layer_indices": [1, 3]},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"] * 2},
    "bailing_hybrid": {"layer_group_size": 2},
    "kimi_linear": {"layer_types": ["linear_attention", "full_attention"] * 2},
    "deepseek_v2": {"num_experts_per_tok": 2, "n_routed_experts": 4},
    "gpt_neo": {"attention_types": [[["global", "local"], 2]]},
    "mamba2": {"num_heads": 8},
    "zaya": {"num_experts_per_tok": 1},
    "nemotron": {"num_key_value_heads": 4},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2},
    "dots1": {"n_routed_experts": 4},
    "encoder-decoder": {"decoder": {"is_decoder": True, "add_cross_attention": True}},
    "xmod": {"default_language": "en_XX"},
}
"""What can't be told from names."""
TOKEN = re.compile(r"(token_id|token_index|_id|_index)$")

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "phi3, LongRoPE": (
        "phi3",
        {
            "rope_parameters": {
                "rope_type": "longrope",
                "rope_theta": 1e4,
                "short_factor": [1.0] * 8,
                "long_factor": [4.0] * 8,
                "original_max_position_embeddings": 64,
            },
            "original_max_position_embeddings": 64,
            "sliding_window": None,
        },
    ),
    "llama, dynamic": (
        "llama",
        {
            "rope_parameters": {
                "rope_type": "dynamic",
                "rope_theta": 1e4,
                "factor": 2.0,
                "original_max_position_embeddings": 64,
            }
        },
    ),
    "llama, YaRN": (
        "llama",
        {
            "rope_parameters": {
                "rope_type": "yarn",
                "rope_theta": 1e4,
                "factor": 4.0,
                "original_max_position_embeddings": 64,
            }
        },
    ),
    "llama4_text, no chunks": ("llama4_text", {"attention_chunk_size": CONTEXT}),
    "bamba, no attention": ("bamba", {"attn_layer_indices": []}),
}
"""Settings of their own beside the defaults: by a name, an architecture and what differs."""


def kinds() -> list[tuple[str, bool]]:
    """Names of architectures and variants, each with whether it is an encoder–decoder."""
    decoders = [*MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, *VARIANTS]
    return [(kind, False) for kind in decoders] + [
        (kind, True) for kind in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES
    ]


def save(kind: str, *, seq2seq: bool, folder: Path) -> None:
    """Build a tiny model with a byte tokenizer, and save both as a model folder.

    Raises:
        Exception: of any kind, where it can't be built, is too large, or can't be called.
    """
    name, more = VARIANTS.get(kind, (kind, {}))
    auto = AutoModelForSeq2SeqLM if seq2seq else AutoModelForCausalLM
    reasons = []
    for trial in TRIALS:
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                model = _build(auto, _config(name, trial | SPECIAL.get(name, {}) | more))
            if seq2seq and getattr(model.config, "decoder_start_token_id", None) is None:
                model.config.decoder_start_token_id = 0
            _try(model, seq2seq=seq2seq)
        except Exception as error:  # each architecture fails in its own way
            reasons.append(error)
            continue
        model.save_pretrained(folder)
        byte_tokenizer().save_pretrained(folder)
        return
    raise reasons[0]


def _build(auto: Any, config: Any) -> Any:
    with torch.device("meta"):
        size = sum(p.numel() for p in auto.from_config(copy.deepcopy(config)).parameters())
    if size > LARGEST:
        raise ValueError(f"it has {size / 1e6:.0f} M weights at its smallest")
    return auto.from_config(config).eval()


@torch.no_grad()
def _try(model: Any, *, seq2seq: bool) -> None:
    ids = torch.arange(60, 160)[None]
    more = {"decoder_input_ids": ids[:, :40]} if seq2seq else {}
    model(input_ids=ids, use_cache=False, **more)


def _config(kind: str, more: dict[str, Any]) -> Any:
    cls = CONFIG_MAPPING[kind]
    settings = _settings(cls)
    for key in getattr(cls, "sub_configs", {}):
        part = getattr(cls(), key, None)
        if part is not None:
            settings[key] = _settings(type(part)) | (more if key == "text_config" else {})
    for key, value in more.items():
        nested = isinstance(value, dict) and key in settings
        settings[key] = settings[key] | value if nested else value
    return cls(**settings)


def _settings(cls: Any) -> dict[str, Any]:
    """Small values for the settings of a configuration class."""
    found: dict[str, Any] = {}
    known = cls().to_dict()
    for name, value in known.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            continue
        if name in SMALL:
            found[name] = SMALL[name]
        elif TOKEN.search(name) and value >= VOCABULARY:
            found[name] = 1
    if known.get("num_key_value_heads") == known.get("num_attention_heads"):
        found.pop("num_key_value_heads", None)
        found |= {"num_key_value_heads": 4} if "num_key_value_heads" in known else {}
    if isinstance(known.get("use_sliding_window"), bool):
        found |= {"use_sliding_window": True, "sliding_window": 24}
    found |= {"pad_token_id": 0, "bos_token_id": 257, "eos_token_id": 256}
    if "decoder_start_token_id" in known:
        found["decoder_start_token_id"] = 0
    return found
