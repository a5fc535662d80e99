"""What all tests and doctests need before anything of the package is imported."""

import tests.shape_checks  # noqa: F401 its import hook checks types and shapes
