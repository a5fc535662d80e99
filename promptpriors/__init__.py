r"""PromptPriors: choose a tuned prompt's prior, train it, see where it went, know if it mattered.

>>> import promptpriors as pp
>>> backbone = pp.load_model("tiny")
>>> prior = pp.fit_prior("gaussian", pp.vocabulary(backbone))
>>> prompt = pp.draw_prompt(prior, length=4, seed=0)
>>> examples = [pp.Example(id="1", source=("Question: 2 + 2?\nAnswer:",), targets=("4",))]
>>> bool(pp.loss(backbone, prompt, examples) > 0)
True
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from promptpriors.activations import load_space
    from promptpriors.errors import InputError, WorkError
    from promptpriors.models import load_model, vocabulary
    from promptpriors.priors import diagnose, fit_prior, load_prior, save_prior
    from promptpriors.prompts import Prompt, draw_prompt, generate, loss, peft
    from promptpriors.runs import load_prompt
    from promptpriors.training import evaluate, regularise, train
    from promptpriors.types import Density, Example, Prior, Site, Space, Task

__version__ = "0.1.0"

_HOMES = {
    "promptpriors.activations": ("load_space",),
    "promptpriors.errors": ("InputError", "WorkError"),
    "promptpriors.models": ("load_model", "vocabulary"),
    "promptpriors.priors": ("diagnose", "fit_prior", "load_prior", "save_prior"),
    "promptpriors.prompts": ("Prompt", "draw_prompt", "generate", "loss"),
    "promptpriors.runs": ("load_prompt",),
    "promptpriors.training": ("evaluate", "regularise", "train"),
    "promptpriors.types": ("Density", "Example", "Prior", "Site", "Space", "Task"),
}
"""Public names by module. They are imported on first use, so that commands start quickly."""

__all__ = [
    "Density",
    "Example",
    "InputError",
    "Prior",
    "Prompt",
    "Site",
    "Space",
    "Task",
    "WorkError",
    "diagnose",
    "draw_prompt",
    "evaluate",
    "fit_prior",
    "generate",
    "load_model",
    "load_prior",
    "load_prompt",
    "load_space",
    "loss",
    "peft",
    "regularise",
    "save_prior",
    "train",
    "vocabulary",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name == "peft":
        return import_module("promptpriors.prompts.peft")
    if name in __all__:
        home = next(module for module, names in _HOMES.items() if name in names)
        return getattr(import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Names for completion in an interactive session."""
    return sorted([*globals(), *__all__])
