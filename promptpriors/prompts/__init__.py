"""Prompts: drawn from priors, inserted by modes, with their loss and their answers."""

from promptpriors.prompts.draw import as_keys, draw_prompt
from promptpriors.prompts.generation import generate
from promptpriors.prompts.insertion import insert, root_rows
from promptpriors.prompts.losses import check_way, loss, token_losses
from promptpriors.prompts.modes import MODES, check_mode, sites_of
from promptpriors.prompts.prompt import Prompt
from promptpriors.prompts.readout import TokenLosses
from promptpriors.prompts.trunk import Trunk, trunk_of

__all__ = [
    "MODES",
    "Prompt",
    "TokenLosses",
    "Trunk",
    "as_keys",
    "check_mode",
    "check_way",
    "draw_prompt",
    "generate",
    "insert",
    "loss",
    "root_rows",
    "sites_of",
    "token_losses",
    "trunk_of",
]
