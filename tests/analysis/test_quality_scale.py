"""The scale of quality has two ends and a fifth that an arm must cover."""

import pytest

from promptpriors.analysis.quality_scale import Scale, decides, scale_between
from promptpriors.errors import InputError


def test_floor_and_ceiling_are_none_and_all_of_the_way_for_losses_and_for_scores():
    for floor, ceiling in ((3.0, 1.0), (0.2, 0.7)):
        scale = Scale(floor, ceiling)
        assert [scale.share(x) for x in (floor, ceiling, 2 * ceiling - floor)] == pytest.approx(
            [0, 1, 2]
        )
        assert scale.margin(0.05) == pytest.approx(0.05 * abs(floor - ceiling))


def test_a_fifth_of_the_way_decides_and_less_does_not():
    assert decides(0.2)
    assert not decides(0.199)
    assert not decides(float("nan"))


def test_a_ceiling_that_is_no_better_gives_no_scale():
    assert scale_between(3.0, 1.0).share(2.0) == 0.5
    assert scale_between(0.2, 0.7, lower_is_better=False).share(0.7) == 1
    for ceiling, lower in ((3.0, True), (4.0, True), (2.0, False), (float("nan"), True)):
        with pytest.raises(InputError, match="no better than the floor"):
            scale_between(3.0, ceiling, lower_is_better=lower)
