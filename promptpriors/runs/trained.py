"""A finished run's prompt and the model that it was trained on."""

import warnings
from pathlib import Path

from promptpriors.errors import InputError, Note
from promptpriors.models import Backbone, load_model
from promptpriors.prompts import Prompt
from promptpriors.runs.folder import find_run
from promptpriors.runs.run import Run


def load_prompt(folder: str | Path) -> Prompt:
    """Load the trained prompt of a finished run.

    Args:
        folder: the run's; of a packed run the folder that it would have.

    Raises:
        InputError: if it is not a finished run, one of an adapter, which is not kept, or one that
            was packed without its vectors.
    """
    return _prompt(find_run(str(folder), Path()))


def load_trained(run: Run, device: str | None = None) -> tuple[Backbone, Prompt]:
    """Load a run's model and prompt.

    Warns when the model is not the one that the prompt was trained on. ``device`` is where the
    model runs, by default where the run did.

    Raises:
        InputError: if the model can't be loaded or the prompt's file is damaged.
    """
    settings = run.config["device"]
    place = device or settings["name"]
    backbone = load_model(run.config["model"], dtype=settings["dtype"], device=place)
    warn_of_revision(run, backbone)
    return backbone, _prompt(run)


def warn_of_revision(run: Run, backbone: Backbone) -> None:
    """Warn if a run's prompt was trained on another revision of the model."""
    known = run.metadata().get("model")
    if known != backbone.revision:
        warnings.warn(
            f"model {backbone.name!r} is at {backbone.revision}, the prompt was trained at {known}",
            Note,
            stacklevel=3,
        )


def _prompt(run: Run) -> Prompt:
    if run.config["train"].get("lora") is not None:
        raise InputError(
            f"run {run.id} trained an adapter of rank {run.config['train']['lora']}, a ceiling to "
            "measure prompts by; it left no prompt"
        )
    tensors = run.tensors()
    settings = run.config["prompt"]
    values = {site: tensors[f"final/{site}"] for site in settings["sites"]}
    return Prompt(settings["mode"], values, bos=settings.get("bos", False))
