"""What users of an export must know, and the README in its folder."""

from collections.abc import Mapping
from pathlib import Path

from promptpriors.models import MODELS, Backbone
from promptpriors.prompts.exports import MODEL

SOFT = """\
Padding: PEFT puts the prompt before the padding, so a left-padded batch gets other answers than \
its texts one by one, and nothing says so. Generate one text at a time (lm_eval: --batch_size 1), \
or texts of one length together; losses are right in batches that are padded on the right. For \
left-padded batches export with --to peft-prefix, or with --to embeddings."""
PREFIX = """\
Padding: right in left-padded batches of generate with their attention mask, as \
lm-evaluation-harness makes them, and for losses of batches that are padded on the right; for \
those padded on the left give position_ids counted along the mask."""
WINDOW = """ This model's attention sees {window} tokens back: longer left-padded lines (prompt, \
padding, text and answer together) get other answers; generate those one at a time."""
EMBEDDINGS = """\
Padding: it goes before the prompt, as in the code, never between prompt and text."""
SEQ2SEQ = """\
Padding: on the right of the encoder's texts, with their attention mask."""


def notes(kind: str, backbone: Backbone, folder: Path, *, with_model: bool) -> tuple[str, ...]:
    """What the users of an export must know: about padding, and where its model is.

    Args:
        kind: ``soft`` or ``prefix``, of PEFT, or ``embeddings``.
        backbone: the model that the prompt is for.
        folder: the export's.
        with_model: whether the model is written beside it.
    """
    padding = {"soft": SOFT, "prefix": PREFIX, "embeddings": EMBEDDINGS}[kind]
    if kind == "prefix" and (window := _window(backbone)) is not None:
        padding += WINDOW.format(window=window)
    if with_model:
        place = f"The model is in {folder / MODEL}."
        moved = (
            " base_model_name_or_path in adapter_config.json names it by its absolute path, as "
            "PEFT needs; change it when the folder moves."
        )
        where = place if kind == "embeddings" else place + moved
    elif backbone.name in MODELS:
        where = (
            f"The model {backbone.name} is part of promptpriors and on no hub: to load it without "
            "promptpriors (AutoPeftModel, lm_eval, vLLM), export with --with-model."
        )
    else:
        where = f"The model is {base_name(backbone)}."
    return SEQ2SEQ if backbone.seq2seq else padding, where


def base_name(backbone: Backbone) -> str:
    """What PEFT can load a model from: its hub id, or its folder, absolute.

    For a model of ours, which is neither, an instruction: it can't be taken for the id of someone
    else's model, and PEFT quotes it where it fails.
    """
    if backbone.name in MODELS:
        return f"{backbone.name} of promptpriors: export with --with-model"
    local = Path(backbone.name).expanduser()
    return str(local.resolve()) if local.is_dir() else backbone.name


def card(
    title: str, about: Mapping[str, str], told: tuple[str, ...], use: Mapping[str, str]
) -> str:
    """The text of an export's README.md.

    Args:
        title: what was exported.
        about: facts, by their names.
        told: what users must know.
        use: code by the software that it is for; each continues the one before.
    """
    facts = "\n".join(f"- {name}: {value}" for name, value in about.items())
    code = [f"## {name}\n\n```python\n{text}```\n" for name, text in use.items()]
    return "\n".join([f"# {title}\n", facts + "\n", *(f"{note}\n" for note in told), *code])


def _window(backbone: Backbone) -> int | None:
    """How far attention sees in some block, counted in places of a line; None without such an end.

    Padding between a prefix and its text takes places.
    """
    config = backbone.model.config.get_text_config()
    slides = getattr(config, "use_sliding_window", True)
    limits = [getattr(config, "sliding_window", None) if slides else None]
    limits.append(getattr(config, "attention_chunk_size", None))
    return min((limit for limit in limits if isinstance(limit, int)), default=None)
