"""How a study's arms are drawn: each in its prior's colour where that tells it from the others."""

from collections import Counter
from collections.abc import Collection, Mapping
from typing import NamedTuple

from promptpriors.figures.canvas import NEUTRAL
from promptpriors.figures.look import DASHES, PALETTE, SYMBOLS, Look, Style

DOTTED = "dot"
"""The line of controls, which no arm has."""

LINES = tuple(dash for dash in DASHES if dash != DOTTED)


class ArmStyle(NamedTuple):
    """An arm's colour, marker and line; the triple is unique for the first dozens of arms."""

    colour: str
    symbol: str
    dash: str = "solid"


PLAIN = ArmStyle(NEUTRAL, "circle")


def arm_styles(
    priors: Mapping[str, str], look: Look, controls: Collection[str] = ()
) -> dict[str, ArmStyle]:
    """Choose how each arm is drawn.

    The first arm of a prior has the prior's colour and marker; further arms of that prior have what
    the others leave free. A control has the colour of its prior's first arm, a dotted line and a
    hollow marker.

    Args:
        priors: the prior of each arm, controls among them, in the order of the study.
        look: of the page.
        controls: which of them are controls.
    """
    own: dict[str, Style] = {}
    owner: dict[str, str] = {}
    for arm, prior in priors.items():
        if arm not in controls and prior in look.styles and prior not in owner:
            own[arm], owner[prior] = look.styles[prior], arm
    for arm in priors:
        if arm not in own and arm not in controls:
            own[arm] = _free(own, look)
    lines: Counter[str] = Counter()
    found = {}
    for arm, prior in priors.items():
        if arm in controls:
            colour, symbol = own.get(owner.get(prior, ""), look.styles.get(prior, PLAIN[:2]))
            found[arm] = ArmStyle(colour, f"{symbol}-open", DOTTED)
            continue
        colour, symbol = own[arm]
        found[arm] = ArmStyle(colour, symbol, LINES[lines[colour] % len(LINES)])
        lines[colour] += 1
    return found


def _free(own: Mapping[str, Style], look: Look) -> Style:
    """The colour and the marker that fewest have, other priors of the page counted after arms."""
    used = Counter(style.colour for style in own.values())
    page = Counter(style.colour for style in look.styles.values())
    colour = min(PALETTE, key=lambda c: (used[c], page[c]))
    marks = Counter(style.symbol for style in own.values() if style.colour == colour)
    marks_all = Counter(style.symbol for style in own.values())
    return Style(colour, min(SYMBOLS, key=lambda s: (marks[s], marks_all[s])))
