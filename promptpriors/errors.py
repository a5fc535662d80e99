"""The two ways in which a command can end badly, notes, and how names are suggested."""

import warnings
from collections.abc import Iterable
from difflib import get_close_matches


class InputError(ValueError):
    """The user's input is wrong: what was expected, what was found, what to do (exit status 2)."""


class WorkError(RuntimeError):
    """The input was fine and the work failed all the same (exit status 1)."""


class Note(UserWarning):
    """Something that the user should know and that stops nothing."""


def note(text: str) -> None:
    """Warn the user of something that is left out, as a ``Note``."""
    warnings.warn(text, Note, stacklevel=2)


def unknown(kind: str, name: object, known: Iterable[str]) -> InputError:
    """An error for a name that matches nothing, listing what exists.

    >>> print(unknown("prior", "gausian", ["gaussian", "xavier"]))
    unknown prior 'gausian'. Did you mean 'gaussian'? Available: gaussian, xavier.
    """
    names = sorted(known)
    return InputError(
        f"unknown {kind} {str(name)!r}.{suggest(name, names)} Available: {', '.join(names)}."
    )


def suggest(name: object, known: Iterable[str]) -> str:
    """A sentence with the closest known name, or nothing.

    >>> suggest("covarince", ["covariance"])
    " Did you mean 'covariance'?"
    """
    close = get_close_matches(str(name), list(known), n=1, cutoff=0.6)
    return f" Did you mean {close[0]!r}?" if close else ""
