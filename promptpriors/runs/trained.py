"""A finished run's prompt and the model that it was trained on."""

import warnings
from typing import NamedTuple

from promptpriors.errors import Note
from promptpriors.models import Backbone, load_model
from promptpriors.prompts import Prompt
from promptpriors.runs import Run, load_prompt


class Trained(NamedTuple):
    """What a run left, ready for use."""

    backbone: Backbone
    prompt: Prompt


def load_trained(run: Run, device: str | None = None) -> Trained:
    """Load a run's model and prompt.

    Warns when the model is not the one that the prompt was trained on.

    Args:
        run: a finished run.
        device: where the model runs; None: where the run did.

    Raises:
        InputError: if the model can't be loaded or the prompt's file is damaged.
    """
    settings = run.config["device"]
    place = device or settings["name"]
    backbone = load_model(run.config["model"], dtype=settings["dtype"], device=place)
    warn_of_revision(run, backbone)
    return Trained(backbone, load_prompt(run.folder))


def warn_of_revision(run: Run, backbone: Backbone) -> None:
    """Warn if a run's prompt was trained on another revision of the model."""
    known = run.about().get("model")
    if known != backbone.revision:
        warnings.warn(
            f"model {backbone.name!r} is at {backbone.revision}, the prompt was trained at {known}",
            Note,
            stacklevel=3,
        )
