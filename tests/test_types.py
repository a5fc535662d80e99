"""Examples are checked however they are made."""

import copy
import pickle

import pytest

import promptpriors as pp
from promptpriors.errors import InputError

GOOD = pp.Example("1", ("q",), ("a", "b"), " a", ends=False)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"targets": "42"}, r"example '1': targets must be a tuple of texts; found '42' .*\('42',"),
        ({"source": "…"}, "example '1': source must be a tuple of texts; found '…'"),
        ({"targets": ()}, "example '1': targets is empty; give at least one answer"),
        ({"targets": []}, "targets is empty"),
        ({"targets": None}, r"targets must be a tuple of texts; found None \(NoneType\)"),
        ({"targets": (42,)}, r"targets must be a tuple of texts; found 42 \(int\) in it"),
        ({"targets": {"a"}}, "targets must be a tuple of texts"),
        ({"source": ("q", None)}, r"source must be a tuple of texts; found None .* in it"),
        ({"source": (("q",),)}, r"source must be a tuple of texts; found \('q',\) .* in it"),
        ({"source": b"q"}, "source must be a tuple of texts; found b'q'"),
        ({"id": ""}, "an example's id must be a text, and not empty; found ''"),
        ({"id": 1}, "an example's id must be a text, and not empty; found 1"),
        ({"continuation": 3}, r"continuation must be a text or None; found 3 \(int\)"),
        ({"ends": "no"}, "ends must be True or False; found 'no'"),
    ],
)
def test_a_field_of_another_type_is_refused_however_an_example_is_made(change, problem):
    fields = GOOD._asdict() | change
    for make in (
        lambda: pp.Example(**fields),
        lambda: pp.Example(*fields.values()),
        lambda: pp.Example._make(fields.values()),
        lambda: GOOD._replace(**change),
    ):
        with pytest.raises(InputError, match=problem):
            make()


def test_lists_of_texts_are_taken_as_tuples_and_may_be_hashed():
    found = pp.Example("1", ["c", "q"], ["a"])
    assert found == ("1", ("c", "q"), ("a",), None, True)
    assert hash(found) == hash(tuple(found))


def test_an_example_stays_what_it_is_when_it_is_copied_or_sent():
    for same in (copy.deepcopy(GOOD), pickle.loads(pickle.dumps(GOOD)), GOOD._replace(id="1")):
        assert type(same) is pp.Example
        assert same == GOOD
    assert repr(GOOD).startswith("Example(id='1', source=('q',)")


def test_the_fields_and_their_order_are_those_of_a_plain_tuple():
    assert pp.Example._fields == ("id", "source", "targets", "continuation", "ends")
    assert tuple(GOOD) == ("1", ("q",), ("a", "b"), " a", False)
    assert pp.Example("1", (), ("a",)).ends is True
