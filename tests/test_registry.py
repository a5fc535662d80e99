"""Configs are checked against signatures, and errors say what to do."""

from typing import Annotated

import pytest

from promptpriors.errors import InputError
from promptpriors.registry import Choice, Field, choose


def fit(*, generator, size: Annotated[int, Field(ge=1)] = 3, share: float = 0.5, on: bool = False):
    """A method."""


TABLE = {"method": fit}


def test_defaults_are_filled_in_from_the_signature():
    expected = Choice("method", {"size": 3, "share": 0.5, "on": False})
    assert choose("thing", TABLE, "method") == expected
    assert expected.plain() == {"name": "method", "size": 3, "share": 0.5, "on": False}


def test_supplied_defaults_stand_above_the_signatures_and_below_the_configs():
    assert choose("thing", TABLE, "method", defaults={"size": 7, "other": 1}).params["size"] == 7
    given = {"name": "method", "size": 9}
    assert choose("thing", TABLE, given, defaults={"size": 7}).params["size"] == 9


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("methud", "unknown thing 'methud'. Did you mean 'method'? Available: method."),
        ({}, "needs a name, one of: method"),
        ({"name": "method", "sise": 1}, "has no parameter 'sise'. Did you mean 'size'?"),
        ({"name": "method", "generator": 1}, "It takes: size, share, on."),
        ({"name": "method", "size": 0}, "size = 0: input should be greater than or equal to 1"),
        ({"name": "method", "size": 1.5}, "size = 1.5"),
        ({"name": "method", "size": True}, "size = True"),
        ({"name": "method", "on": 1}, "on = 1"),
        ({"name": "method", "share": float("nan")}, "share = nan"),
        ({"name": "method", "share": float("inf")}, "share = inf"),
        ({"name": "method", "share": "x", "size": "y", "on": "z"}, "(and 1 more)"),
    ],
)
def test_a_bad_config_is_refused(config, message):
    with pytest.raises(InputError) as error:
        choose("thing", TABLE, config)
    assert message in str(error.value)


def test_a_whole_number_is_fine_where_a_real_one_is_expected():
    assert choose("thing", TABLE, {"name": "method", "share": 1}).params["share"] == 1.0
