"""Prompts: drawn from priors, inserted by modes, with their loss and their answers."""

from promptpriors.prompts.draw import draw_prompt
from promptpriors.prompts.generation import generate
from promptpriors.prompts.losses import TokenLosses, loss, root_rows, token_losses
from promptpriors.prompts.modes import MODES, Mode, check_mode
from promptpriors.prompts.prompt import Prompt

__all__ = [
    "MODES",
    "Mode",
    "Prompt",
    "TokenLosses",
    "check_mode",
    "draw_prompt",
    "generate",
    "loss",
    "root_rows",
    "token_losses",
]
