"""Numbers formatted for people; a missing value is an en dash."""

import math

MISSING = "–"


def fixed(value: float | None, digits: int = 3) -> str:
    """A number with a fixed count of decimals.

    >>> fixed(2.34567), fixed(None), fixed(float("nan"))
    ('2.346', '–', '–')
    """
    return MISSING if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def significant(value: float | None, digits: int = 3) -> str:
    """A number with three significant digits, trailing zeros kept.

    >>> significant(0.0140), significant(123.4), significant(12345.6), significant(None)
    ('0.0140', '123', '12,346', '–')
    """
    if value is None or not math.isfinite(value):
        return MISSING
    return f"{value:,.0f}" if abs(value) >= 10**digits else f"{value:#.{digits}g}".rstrip(".")


def whole(value: float | None) -> str:
    """A count with thousands separated.

    >>> whole(1234567), whole(None)
    ('1,234,567', '–')
    """
    return MISSING if value is None else f"{value:,.0f}"


def duration(seconds: float | None) -> str:
    """A time in the largest fitting units.

    >>> duration(8.25), duration(75), duration(3700), duration(None)
    ('8.2 s', '1 min 15 s', '1 h 1 min', '–')
    """
    if seconds is None:
        return MISSING
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
