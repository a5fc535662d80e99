"""Priors for tuned prompts: choose, train, see, know."""

__version__ = "0.1.0"
