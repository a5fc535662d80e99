"""The two ways in which a command can end badly, notes, and how names are suggested and shown."""

import warnings
from collections.abc import Iterable

SHOWN = 80
"""Characters of a value that a message shows."""
KEPT = "\n\t\u200c\u200d"
"""Not printable and still shown: line ends, tabs, and the joiners of Persian and Indic scripts."""


class InputError(ValueError):
    """The user's input is wrong: what was expected, what was found, what to do (exit status 2)."""


class WorkError(RuntimeError):
    """The input was fine and the work failed all the same (exit status 1)."""


class Interrupted(Exception):
    """The user, or a signal, stopped the work; says how it goes on, and the exit status."""

    def __init__(self, how: str, status: int = 130) -> None:
        super().__init__(how)
        self.status = status


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
        f"unknown {kind} {brief(str(name))}.{suggest(name, names)} Available: {', '.join(names)}."
    )


def suggest(name: object, known: Iterable[str]) -> str:
    """A sentence with the closest known name, or nothing.

    >>> suggest("covarince", ["covariance"])
    " Did you mean 'covariance'?"
    """
    from difflib import get_close_matches  # before a command has begun every import counts

    close = get_close_matches(str(name)[:SHOWN], list(known), n=1, cutoff=0.6)
    return f" Did you mean {close[0]!r}?" if close else ""


def brief(value: object) -> str:
    """A value as Python writes it, with the middle left out where it is long.

    >>> brief("a"), brief([1, 2]), len(brief("a" * 5000))
    ("'a'", '[1, 2]', 80)
    """
    try:
        return clipped(repr(value), SHOWN)
    except ValueError:  # an integer of thousands of digits
        return "a number of thousands of digits"


def clipped(text: str, most: int = 30) -> str:
    """Text of at most ``most`` characters, with the middle left out.

    >>> clipped("text: Answer the question.", 15)
    'text: A…estion.'
    """
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}…{text[len(text) - (most - half - 1) :]}"


def harmless(text: str) -> str:
    r"""Text without characters that steer a terminal, or turn the direction of writing.

    >>> harmless("red: \x1b[31m, 漢\tand\n")
    'red: \\x1b[31m, 漢\tand\n'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in KEPT else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    from unicodedata import category

    kept = category(character) in {"Zs", "Co", "Cn"}  # spaces, and what a font may know
    return character if kept else character.encode("unicode_escape").decode("ascii")
