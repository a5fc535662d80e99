"""Colours, markers and lines of runs and of a study's arms, and signs of verdicts."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from promptpriors.figures.canvas import NEUTRAL
from promptpriors.runs import Run
from promptpriors.runs.labels import BASELINE, labels_of, prior_of
from promptpriors.runs.study_results import Verdict

PALETTE = (
    "#3399dd", "#ee4466", "#889900", "#994499", "#007744", "#dd6699", "#776611", "#6655cc",
)  # fmt: skip
"""Colours that stay apart under the three kinds of colour blindness, on white and on black."""

SYMBOLS = ("circle", "square", "diamond", "triangle-up", "hexagon", "triangle-down", "star")
DASHES = ("solid", "dot", "dash", "dashdot", "longdash")
DOTTED = "dot"  # the line of controls, which no arm has
LINES = tuple(dash for dash in DASHES if dash != DOTTED)


class Style(NamedTuple):
    """Colour and marker of a prior, unique for the first 56 priors."""

    colour: str
    symbol: str


@dataclass(frozen=True)
class RunStyles:
    """Colours, names and lines of the runs of a page.

    Attributes:
        styles: by prior; its seeds share them.
        names: by run id: the prior and what tells the run from that prior's others.
        dashes: lines by run id; settings of one prior differ, seeds do not.
    """

    styles: Mapping[str, Style]
    names: Mapping[str, str]
    dashes: Mapping[str, str]

    def style(self, run: Run) -> Style:
        """Colour and marker of a run's prior."""
        return self.styles[prior_of(run)]


def run_styles(runs: Sequence[Run]) -> RunStyles:
    """Colours, names and lines for runs that are shown together."""
    priors = sorted({prior_of(run) for run in runs} - {BASELINE})
    styles = {
        prior: Style(PALETTE[i % len(PALETTE)], SYMBOLS[i % len(SYMBOLS)])
        for i, prior in enumerate(priors)
    } | {BASELINE: Style(NEUTRAL, "circle")}
    labels = labels_of(runs)
    names = {run_id: label.name for run_id, label in labels.items()}
    dashes = {run_id: DASHES[label.variant % len(DASHES)] for run_id, label in labels.items()}
    return RunStyles(styles, names, dashes)


class ArmStyle(NamedTuple):
    """Colour, marker and line of an arm."""

    colour: str
    symbol: str
    dash: str = "solid"


PLAIN = ArmStyle(NEUTRAL, "circle")


def arm_styles(
    priors: Mapping[str, str], page: RunStyles, controls: Collection[str] = ()
) -> dict[str, ArmStyle]:
    """Choose colour, marker and line of each arm.

    The first arm of a prior has the prior's colour and marker; further arms of that prior have what
    the others leave free. A control has the colour of its prior's first arm, a dotted line and a
    hollow marker.

    Args:
        priors: the prior of each arm, controls among them, in the order of the study.
        page: styles of the page's runs.
        controls: which of them are controls.
    """
    own: dict[str, Style] = {}
    owner: dict[str, str] = {}
    for arm, prior in priors.items():
        if arm not in controls and prior in page.styles and prior not in owner:
            own[arm], owner[prior] = page.styles[prior], arm
    for arm in priors:
        if arm not in own and arm not in controls:
            own[arm] = _free(own, page)
    lines: Counter[str] = Counter()
    found = {}
    for arm, prior in priors.items():
        if arm in controls:
            colour, symbol = own.get(owner.get(prior, ""), page.styles.get(prior, PLAIN[:2]))
            found[arm] = ArmStyle(colour, f"{symbol}-open", DOTTED)
            continue
        colour, symbol = own[arm]
        found[arm] = ArmStyle(colour, symbol, LINES[lines[colour] % len(LINES)])
        lines[colour] += 1
    return found


def _free(own: Mapping[str, Style], page: RunStyles) -> Style:
    """The colour and the marker that fewest have, other priors of the page counted after arms."""
    styles = list(own.values())
    used = Counter(style.colour for style in styles)
    shown = Counter(style.colour for style in page.styles.values())
    colour = min(PALETTE, key=lambda c: (used[c], shown[c]))
    symbols = Counter(style.symbol for style in styles)
    return Style(colour, min(SYMBOLS, key=lambda s: (styles.count(Style(colour, s)), symbols[s])))


class Mark(NamedTuple):
    """Sign of a verdict, so that none is known by its colour alone, and the tone of that."""

    sign: str
    tone: str


MARKS: Mapping[str, Mark] = {
    "none": Mark("∅", "none"),
    "missing": Mark("∅", "none"),
    "not testable": Mark("∅", "blank"),
    "undecided": Mark("?", "undecided"),
    "different": Mark("≠", "different"),
    "lower": Mark("↓", "different"),
    "higher": Mark("↑", "different"),
    "equal": Mark("≈", "equal"),
    "no": Mark("✕", "no"),
    "failed": Mark("✕", "no"),
    "refuted": Mark("✕", "no"),
    "yes": Mark("✓", "yes"),
    "passed": Mark("✓", "yes"),
    "confirmed": Mark("✓", "yes"),
}
"""Mark of each state of a study's verdicts and of a claim's."""

WIDTH = 22  # characters of a verdict in a figure


def verdict_label(verdict: Verdict) -> str:
    """Label a verdict in a figure: its sign and text; of a long one the state alone.

    >>> verdict_label(Verdict(state="equal"))
    '≈ equal'
    >>> verdict_label(Verdict(state="none", reason="2 of 8 are missing"))
    '∅ none'
    """
    text = verdict.text if len(verdict.text) <= WIDTH else verdict.state
    return f"{MARKS[verdict.state].sign} {text}"
