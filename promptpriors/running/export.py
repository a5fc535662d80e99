"""Export of a run's trained prompt for other software."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from promptpriors.errors import InputError, unknown
from promptpriors.models import MODELS, Backbone
from promptpriors.prompts import Prompt, peft, root_rows
from promptpriors.prompts.exports import EMBEDDINGS, MARK, check_free, new_folder, write_export
from promptpriors.runs import Run, find_run
from promptpriors.runs.trained import load_trained

QUESTION = "Question: What is 17 + 25?\nAnswer:"
"""What the snippets ask."""


class Exported(NamedTuple):
    """Files of a run's export, and code that uses them.

    ``use`` is Python code by the software that it is for; each continues the one before.
    """

    run: str
    folder: Path
    files: tuple[str, ...]
    use: dict[str, str]

    def text(self) -> str:
        """The code for people, with a comment for each software."""
        parts = [f"# {name}\n{code}" for name, code in self.use.items()]
        return "\n".join([f"# written to {self.folder}: {', '.join(self.files)}\n", *parts])


def export(run_name: str, runs: Path, to: str, out: Path, model: str | None = None) -> Exported:
    """Write the trained prompt of a finished run for other software, in one of ``FORMATS``.

    ``model`` is where the run's model is now, if not where the run recorded it.
    An earlier export in the folder is replaced. Warns when the model is not the one that the prompt
    was trained on.

    Raises:
        InputError: for an unknown format, no such finished run, a prompt that the format can't
            hold, or a folder that holds something else.
    """
    if to not in FORMATS:
        raise unknown("format", to, FORMATS)
    run = find_run(run_name, runs)
    check_free(out)
    backbone, prompt = load_trained(run, "cpu", model)
    use = FORMATS[to](run, prompt, backbone, out)
    return Exported(run.id, out, tuple(sorted(path.name for path in out.iterdir())), use)


def _peft(run: Run, prompt: Prompt, backbone: Backbone, out: Path) -> dict[str, str]:
    peft.save(prompt, out, backbone=backbone)
    return {"PEFT": PEFT.format(**_words(run, backbone, out))}


def _embeddings(run: Run, prompt: Prompt, backbone: Backbone, out: Path) -> dict[str, str]:
    """The rows that stand before the text, a first token's included where the prompt has one."""
    if prompt.mode != "soft":
        raise InputError(
            f"mode {prompt.mode!r} is no rows at the input, so there are no embeddings to export\n"
            "Exported can be: mode 'soft' (--to embeddings, --to peft) and mode 'kv' on all blocks "
            "(--to peft)"
        )
    metadata = {
        MARK: "embeddings",
        "first_token": prompt.bos,
        "model": backbone.name,
        "revision": backbone.revision,
        "run": run.id,
    }
    rows = root_rows(backbone, prompt)
    with new_folder(out) as place:
        write_export(place / EMBEDDINGS, "prompt", rows, metadata)
    words = _words(run, backbone, out / EMBEDDINGS)
    use = {"transformers": TRANSFORMERS.format(**words)}
    if not backbone.seq2seq:
        ours = backbone.name in MODELS
        use["vLLM"] = (VLLM_OURS if ours else "") + VLLM.format(**words)
    return use


FORMATS: dict[str, Callable[[Run, Prompt, Backbone, Path], dict[str, str]]] = {
    "embeddings": _embeddings,
    "peft": _peft,
}
"""By the name that ``--to`` takes: writes the folder and returns code that uses it."""


def _words(run: Run, backbone: Backbone, path: Path) -> dict[str, str]:
    """What the snippets differ in, as Python code."""
    name, dtype = backbone.name, run.config["device"]["dtype"]
    load = OURS if name in MODELS else THEIRS
    seq2seq = backbone.seq2seq
    auto = f"AutoModelFor{'Seq2Seq' if seq2seq else 'Causal'}LM"
    return {
        "load": load.format(auto=auto, name=repr(name), dtype=repr(dtype)),
        "path": repr(str(path)),
        "name": "'model'" if name in MODELS else repr(name),
        "dtype": repr(dtype),
        "question": repr(QUESTION) + (" + tokenizer.eos_token" if seq2seq else ""),
        "answer": "written[0]" if seq2seq else "written[0, ids.shape[1] :]",
    }


OURS = """\
import promptpriors as pp

backbone = pp.load_model({name}, dtype={dtype})
model, tokenizer = backbone.model, backbone.tokenizer"""
THEIRS = """\
from transformers import {auto}, AutoTokenizer

model = {auto}.from_pretrained({name}, dtype={dtype})
tokenizer = AutoTokenizer.from_pretrained({name})"""
PEFT = """\
from peft import PeftModel
{load}
model = PeftModel.from_pretrained(model, {path})
text = tokenizer({question}, add_special_tokens=False, return_tensors="pt")
ids, mask = text["input_ids"], text["attention_mask"]
written = model.generate(input_ids=ids, attention_mask=mask, do_sample=False, max_new_tokens=16)
print(tokenizer.decode({answer}, skip_special_tokens=True))
"""
TRANSFORMERS = """\
import torch
from safetensors.torch import load_file
{load}
prompt = load_file({path})["prompt"].to(model.dtype)
ids = tokenizer({question}, add_special_tokens=False, return_tensors="pt")["input_ids"]
rows = torch.cat([prompt, model.get_input_embeddings()(ids)[0]]).detach()
mask = torch.ones(1, len(rows), dtype=torch.long)
written = model.generate(
    inputs_embeds=rows[None], attention_mask=mask, do_sample=False, max_new_tokens=16
)
print(tokenizer.decode(written[0], skip_special_tokens=True))
"""
VLLM_OURS = """\
model.save_pretrained("model")
tokenizer.save_pretrained("model")
"""
VLLM = """\
from vllm import LLM, SamplingParams

llm = LLM(model={name}, dtype={dtype}, enable_prompt_embeds=True)
greedy = SamplingParams(temperature=0, max_tokens=16)
print(llm.generate({{"prompt_embeds": rows}}, greedy)[0].outputs[0].text)
"""
