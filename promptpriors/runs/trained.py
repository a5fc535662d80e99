"""A finished run's prompt and the model that it was trained on."""

import warnings
from pathlib import Path

from promptpriors.errors import InputError, Note
from promptpriors.models import Backbone, load_model
from promptpriors.prompts import Prompt
from promptpriors.runs.folder import find_run
from promptpriors.runs.places import config_of, not_found
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


def load_trained(
    run: Run, device: str | None = None, model: str | None = None
) -> tuple[Backbone, Prompt]:
    """Load a run's model and prompt.

    Warns when the model is not the one that the prompt was trained on. A folder that the run names
    is looked for in the working folder and in those above the run.

    Args:
        run: a finished one.
        device: where the model runs, by default where the run did.
        model: where it is now, if not where the run recorded it.

    Raises:
        InputError: if the model can't be loaded, with where it was looked for, or the prompt's file
            is damaged.
    """
    settings = {"name": "cpu", "dtype": "float32"} | run.config.get("device", {})
    name, place = config_of(run, model)["model"], device or settings["name"]
    try:
        backbone = load_model(name, dtype=settings["dtype"], device=place)
    except InputError as error:
        raise not_found(run, name, error) from None
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
