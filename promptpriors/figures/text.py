"""Strings from models and data sets, made fit to be read: whitespace shown, markup disarmed."""

import html
import unicodedata

SHOWN = {" ": "␣", "\n": "↵", "\t": "⇥"}


def visible(token: str) -> str:
    r"""A token string with nothing invisible in it.

    >>> visible(" the"), visible("\n\n"), visible("\u202e"), visible("")
    ('␣the', '↵↵', '\\u202e', '(empty)')
    """
    return "".join(SHOWN.get(c) or (_code(c) if _hidden(c) else c) for c in token) or "(empty)"


def escape(text: object) -> str:
    """Text for plotly, which reads names, labels and hover texts as HTML.

    >>> escape("<b>")
    '&lt;b&gt;'
    """
    return html.escape(str(text), quote=False)


def _hidden(character: str) -> bool:
    """Whether it is a control, formatting, unassigned or separating character."""
    return unicodedata.category(character)[0] in "CZ"


def _code(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
