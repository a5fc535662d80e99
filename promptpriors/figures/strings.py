"""Strings from models and data sets, made fit to be read: whitespace shown, markup disarmed."""

import html
import unicodedata

VISIBLE = {" ": "␣", "\n": "↵", "\t": "⇥"}


def visible(token: str) -> str:
    r"""A token string with nothing invisible in it.

    >>> visible(" the"), visible("\n\n"), visible("\u202e"), visible("")
    ('␣the', '↵↵', '\\u202e', '(empty)')
    """
    return "".join(VISIBLE.get(c) or (_code(c) if _hidden(c) else c) for c in token) or "(empty)"


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


def clipped(text: str, most: int = 30) -> str:
    """Text no longer than ``most`` characters, its middle left out.

    >>> clipped("text: Answer the question.", 15)
    'text: A…estion.'
    """
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}…{text[len(text) - (most - half - 1) :]}"


def signed(value: float, decimals: int) -> str:
    """A difference with its sign.

    >>> signed(0.012, 3), signed(-3.0, 1), signed(-0.0001, 2)
    ('+0.012', '−3.0', '0.00')
    """
    text = f"{value:+.{decimals}f}"
    return text.replace("-", "−") if float(text) else text[1:]
