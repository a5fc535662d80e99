"""Checks of types and shapes: that they are there, and what they catch."""

import sys

import pytest
import torch
from beartype.roar import BeartypeCallHintParamViolation
from jaxtyping import TypeCheckError

from promptpriors.errors import clipped
from promptpriors.geometry import nearest_by_cosine
from promptpriors.priors.isotropic import Isotropic
from promptpriors.rng import generator
from tests.shape_checks import Loader


def test_every_module_of_the_package_is_checked():
    loaded = {name: m for name, m in sys.modules.items() if name.startswith("promptpriors")}
    assert len(loaded) > 20
    assert [n for n, m in loaded.items() if not isinstance(m.__spec__.loader, Loader)] == []


def test_a_wrong_type_is_refused():
    with pytest.raises(BeartypeCallHintParamViolation, match="text"):
        clipped(5)


def test_shapes_must_agree_with_each_other():
    with pytest.raises(TypeCheckError, match="dim"):
        nearest_by_cosine(torch.ones(3, 2), torch.ones(4, 5), k=1)


def test_a_dataclass_and_its_methods_are_checked():
    with pytest.raises(TypeCheckError, match="sigma"):
        Isotropic(4, "wide")
    with pytest.raises(TypeCheckError, match="two"):
        Isotropic(4, 0.1).sample("two", generator=generator(0))
