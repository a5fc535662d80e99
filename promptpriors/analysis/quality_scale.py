"""The scale of quality between no prompt and the ceiling."""

from typing import NamedTuple

from promptpriors.errors import InputError

MIN_SHARE = 0.2  # of the way; below, even the best arm shows that nothing is decided here


class Scale(NamedTuple):
    """Floor, without a prompt, and ceiling, of what is known to learn."""

    floor: float
    ceiling: float

    def share(self, value: float) -> float:
        """Share of the way from floor to ceiling; below 0 and above 1 outside.

        >>> Scale(floor=3.0, ceiling=1.0).share(2.5)
        0.25
        """
        return (self.floor - value) / (self.floor - self.ceiling)

    def margin(self, share: float) -> float:
        """Share of the way in the unit of the values.

        >>> Scale(floor=3.0, ceiling=1.0).margin(0.05)
        0.1
        """
        return share * abs(self.ceiling - self.floor)


def scale_between(floor: float, ceiling: float, *, lower_is_better: bool = True) -> Scale:
    """The scale of a floor and a ceiling.

    Raises:
        InputError: if the ceiling is no better than the floor.
    """
    if not (ceiling < floor if lower_is_better else ceiling > floor):
        raise InputError(
            f"the ceiling ({ceiling:.4g}) is no better than the floor ({floor:.4g}), so there is "
            "no scale between them; give the ceiling more steps or other rates"
        )
    return Scale(floor, ceiling)


def decides(share: float) -> bool:
    """True where an arm goes far enough for a comparison of arms to decide anything."""
    return share >= MIN_SHARE
