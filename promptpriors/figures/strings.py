"""Strings from models and data sets, made readable and harmless."""

import html
import unicodedata

VISIBLE = {" ": "␣", "\n": "↵", "\t": "⇥"}


def visible(token: str) -> str:
    r"""Token string without invisible characters.

    >>> visible(" the"), visible("\n\n"), visible("\u202e"), visible("")
    ('␣the', '↵↵', '\\u202e', '(empty)')
    """

    def shown(character: str) -> str:
        # control, format, unassigned and separating characters
        hidden = unicodedata.category(character)[0] in "CZ"
        return character.encode("unicode_escape").decode("ascii") if hidden else character

    return "".join(VISIBLE.get(c) or shown(c) for c in token) or "(empty)"


def escape(text: object) -> str:
    """Text escaped for plotly, which reads names and labels as HTML.

    >>> escape("<b>")
    '&lt;b&gt;'
    """
    return html.escape(str(text), quote=False)


def signed(value: float, decimals: int) -> str:
    """A difference with a sign.

    >>> signed(0.012, 3), signed(-3.0, 1), signed(-0.0001, 2)
    ('+0.012', '−3.0', '0.00')
    """
    text = f"{value:+.{decimals}f}"
    return text.replace("-", "−") if float(text) else text[1:]
