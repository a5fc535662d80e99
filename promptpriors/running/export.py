"""Export of a run's trained prompt for other software."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from textwrap import TextWrapper
from typing import NamedTuple

from promptpriors.data import ASKED, jsonl
from promptpriors.errors import InputError, unknown
from promptpriors.models import MODELS, Backbone
from promptpriors.prompts import Prompt, peft, root_rows
from promptpriors.prompts.cards import card, notes
from promptpriors.prompts.exports import (
    EMBEDDINGS,
    MARK,
    MODEL,
    README,
    check_free,
    new_folder,
    write_export,
    write_model,
)
from promptpriors.runs import Run, find_run
from promptpriors.runs.trained import load_trained

Done = tuple[dict[str, str], tuple[str, ...]]
"""Code that uses an export, by software, and what its users must know."""


class Exported(NamedTuple):
    """Files of a run's export, and code that uses them.

    ``use`` is Python code by the software that it is for; each continues the one before. ``notes``
    is what its users must know.
    """

    run: str
    folder: Path
    files: tuple[str, ...]
    use: dict[str, str]
    notes: tuple[str, ...]

    def text(self) -> str:
        """The code for people, with a comment for each software, and with the notes."""
        written = f"written to {self.folder}: {', '.join(self.files)}"
        lines = TextWrapper(98, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)
        told = [lines.fill(note) for note in self.notes]
        parts = [f"# {name}\n{code}" for name, code in self.use.items()]
        return "\n".join([f"# {written}\n", *(f"{note}\n" for note in told), *parts])


def export(
    run_name: str,
    runs: Path,
    to: str,
    out: Path,
    *,
    with_model: bool = False,
    model: str | None = None,
) -> Exported:
    """Write the trained prompt of a finished run for other software, in one of ``FORMATS``.

    ``model`` is where the run's model is now, if not where the run recorded it.
    An earlier export in the folder is replaced. Warns when the model is not the one that the prompt
    was trained on. ``with_model`` writes that model too, into ``out/model``.

    Raises:
        InputError: for an unknown format, no such finished run, a prompt that the format can't
            hold, or a folder that holds something else.
    """
    if to not in FORMATS:
        raise unknown("format", to, FORMATS)
    run = find_run(run_name, runs)
    check_free(out)
    backbone, prompt = load_trained(run, "cpu", model)
    order = Order(run, prompt, backbone, out, with_model)
    use, told = FORMATS[to](order)
    return Exported(run.id, out, tuple(sorted(path.name for path in out.iterdir())), use, told)


class Order(NamedTuple):
    """What is to be exported, and where to."""

    run: Run
    prompt: Prompt
    backbone: Backbone
    out: Path
    with_model: bool

    def notes(self, kind: str) -> tuple[str, ...]:
        """What the users of an export of this kind must know."""
        return notes(kind, self.backbone, self.out, with_model=self.with_model)


def _peft(order: Order, *, as_prefix: bool = False) -> Done:
    use = {"PEFT": PEFT.format(**_words(order, order.out))}
    peft.save(
        order.prompt,
        order.out,
        backbone=order.backbone,
        as_prefix=as_prefix,
        with_model=order.with_model,
        use=use,
    )
    return use, order.notes("soft" if order.prompt.mode == "soft" and not as_prefix else "prefix")


def _embeddings(order: Order) -> Done:
    """The rows that stand before the text, a first token's included where the prompt has one."""
    run, prompt, backbone, out, with_model = order
    if prompt.mode != "soft":
        raise InputError(
            f"mode {prompt.mode!r} is no rows at the input, so there are no embeddings to export\n"
            "Exported can be: mode 'soft' (--to embeddings, --to peft), mode 'kv' on all blocks "
            "(--to peft), and whatever has keys and values in all blocks (--to peft-prefix)"
        )
    about = {"model": backbone.name, "revision": backbone.revision, "run": run.id}
    rows, told = root_rows(backbone, prompt), order.notes("embeddings")
    words = _words(order, out / EMBEDDINGS)
    use = {"transformers": TRANSFORMERS.format(**words)}
    if not backbone.seq2seq:
        unwritten = backbone.name in MODELS and not with_model
        use["vLLM"] = (VLLM_OURS if unwritten else "") + VLLM.format(**words)
    text = card(f"Embeddings of a prompt, {len(rows)} rows", about, told, use)
    with new_folder(out) as place:
        if with_model:
            write_model(backbone, place / MODEL)
        (place / README).write_text(text, encoding="utf-8")
        metadata = {MARK: "embeddings", "first_token": prompt.bos, **about}
        write_export(place / EMBEDDINGS, "prompt", rows, metadata)
    return use, told


FORMATS: dict[str, Callable[[Order], Done]] = {
    "embeddings": _embeddings,
    "peft": _peft,
    "peft-prefix": partial(_peft, as_prefix=True),
}
"""By the name that ``--to`` takes: writes the folder and returns code that uses it, and notes."""


def _words(order: Order, path: Path) -> dict[str, str]:
    """What the snippets differ in, as Python code."""
    name, dtype = order.backbone.name, order.run.config["device"]["dtype"]
    if order.with_model:
        name = str(order.out / MODEL)
    load = OURS if name in MODELS else THEIRS
    seq2seq = order.backbone.seq2seq
    sample = sample_of(order.run)
    spells = order.backbone.encode(sample) != order.backbone.encode(sample, control=True)
    as_text = spells and not order.run.config["task"].get("control_tokens")
    if as_text and seq2seq:  # its end token is spelled too
        sample = ASKED["jsonl"].sample
    auto = f"AutoModelFor{'Seq2Seq' if seq2seq else 'Causal'}LM"
    return {
        "load": load.format(auto=auto, name=repr(name), dtype=repr(dtype)),
        "path": repr(str(path)),
        "name": "'model'" if name in MODELS else repr(name),
        "dtype": repr(dtype),
        "question": repr(sample) + (" + tokenizer.eos_token" if seq2seq else ""),
        "options": ", split_special_tokens=True" * as_text,
        "side": "'right'" if seq2seq else "'left'",
        "answer": "written[0]" if seq2seq else "written[0, ids.shape[1] :]",
    }


def sample_of(run: Run) -> str:
    """A text such as the run's task has, for the snippets: of own data its first one.

    Without the data file a sentence that says what belongs there.
    """
    task = run.config["task"]
    usual = ASKED[task["name"]].sample if task["name"] in ASKED else "a text as the run's task has"
    if task["name"] != "jsonl":
        return usual
    with suppress(InputError):
        return "".join(jsonl.first_source(task["path"], task.get("source_field", "source")))
    return usual


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
text = tokenizer({question}, add_special_tokens=False{options}, return_tensors="pt")
ids, mask = text["input_ids"], text["attention_mask"]
written = model.generate(input_ids=ids, attention_mask=mask, do_sample=False, max_new_tokens=16)
print(tokenizer.decode({answer}, skip_special_tokens=True))
"""
TRANSFORMERS = """\
import torch
from safetensors.torch import load_file
from torch.nn.utils.rnn import pad_sequence
{load}
prompt = load_file({path})["prompt"].to(model.dtype)
texts = [{question}]  # or more, of any length
tokens = [tokenizer(text, add_special_tokens=False{options})["input_ids"] for text in texts]
embed = model.get_input_embeddings()
rows = [torch.cat([prompt, embed(torch.tensor(ids))]).detach() for ids in tokens]
known = [torch.ones(len(row), dtype=torch.long) for row in rows]
written = model.generate(
    inputs_embeds=pad_sequence(rows, batch_first=True, padding_side={side}),
    attention_mask=pad_sequence(known, batch_first=True, padding_side={side}),
    do_sample=False,
    max_new_tokens=16,
)
for answer in tokenizer.batch_decode(written, skip_special_tokens=True):
    print(answer)
"""
VLLM_OURS = """\
model.save_pretrained("model")
tokenizer.save_pretrained("model")
"""
VLLM = """\
from vllm import LLM, SamplingParams

llm = LLM(model={name}, dtype={dtype}, enable_prompt_embeds=True)
greedy = SamplingParams(temperature=0, max_tokens=16)
for answer in llm.generate([{{"prompt_embeds": row}} for row in rows], greedy):
    print(answer.outputs[0].text)
"""
