"""Checks of types and shapes at run time: what the package's annotations say, in every test.

The import hook of jaxtyping checks every function as one that names shapes, which takes 6 µs a
call, and over a millisecond whenever a function within a function is made: more than half the time
of all tests. Here only functions that name a shape are jaxtyping's, the others are beartype's alone
(under 1 µs a call), and functions within functions are left to the type checker.
"""

import ast
import sys
from collections.abc import Iterator
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType
from typing import Any

from beartype import BeartypeConf, beartype
from jaxtyping import jaxtyped

PACKAGE = "promptpriors"

typed = beartype(conf=BeartypeConf(is_pep484_tower=True))


def shaped(function: Any) -> Any:
    """A function or dataclass of which the shapes are checked too."""
    return jaxtyped(function, typechecker=typed)


class Decorate(ast.NodeTransformer):
    """A module in which every function and dataclass is checked."""

    def visit_Module(self, node):
        self.shapes = set()
        for part in node.body:
            if isinstance(part, ast.ImportFrom) and part.module == "jaxtyping":
                self.shapes |= {name.name for name in part.names}
            elif isinstance(part, ast.Assign) and _names(part.value) & self.shapes:
                self.shapes |= set().union(*map(_names, part.targets))
        self.generic_visit(node)
        imported = ast.ImportFrom("tests", [ast.alias("shape_checks", "_checks")], 0)
        node.body.insert(ast.get_docstring(node) is not None, imported)
        return ast.fix_missing_locations(node)

    def visit_ClassDef(self, node):
        self.generic_visit(node)
        if any("dataclass" in _names(decorator) for decorator in node.decorator_list):
            node.decorator_list.insert(0, _check("shaped", node))
        return node

    def visit_FunctionDef(self, node):
        names = set().union(*map(_names, _hints(node)))
        if names:
            node.decorator_list.append(_check("shaped" if names & self.shapes else "typed", node))
        return node


class Loader(SourceFileLoader):
    """A module's loader that decorates it; nothing of it is kept."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        tree = Decorate().visit(ast.parse(self.get_data(path)))
        return compile(tree, path, "exec", dont_inherit=True)


class Finder(MetaPathFinder):
    """The package's modules, each with such a loader."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if fullname.partition(".")[0] != PACKAGE:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = Loader(fullname, spec.loader.path)
        return spec


def _hints(node: ast.FunctionDef) -> Iterator[ast.AST]:
    """Annotations of a function's parameters and of what it returns."""
    yield from (
        arg.annotation for arg in ast.walk(node.args) if isinstance(arg, ast.arg) and arg.annotation
    )
    if node.returns:
        yield node.returns


def _names(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def _check(name: str, node: ast.AST) -> ast.AST:
    return ast.copy_location(ast.parse(f"_checks.{name}", mode="eval").body, node)


if not any(isinstance(finder, Finder) for finder in sys.meta_path):
    sys.meta_path.insert(0, Finder())
