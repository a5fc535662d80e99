"""What `list` reads from source is what the tables hold."""

import pytest

from promptpriors.cli.list import methods, read_methods
from promptpriors.data import TASKS
from promptpriors.priors import PRIORS


@pytest.mark.parametrize(
    ("package", "name", "table"), [("priors", "PRIORS", PRIORS), ("data", "TASKS", TASKS)]
)
def test_methods_read_from_source_are_those_of_the_table(package, name, table):
    assert read_methods(package, name) == methods(table)
