"""The package's modules import each other without circles, and no room or module outgrows it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import promptpriors

PACKAGE = Path(promptpriors.__file__).parent
ROOM = 0.15
"""Share of the package's lines that one room may have."""
MODULE = 300
"""Lines of a module."""


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}
LINES = {name: len(path.read_text().splitlines()) for name, path in MODULES.items()}


def imported(module: str) -> Iterator[str]:
    """Modules of ours that a module imports: at the top, in functions, for types."""
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module in MODULES:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            yield from inner & set(MODULES)
            if inner - set(MODULES):  # names of the module itself
                yield node.module


def circles(graph: dict[str, set[str]]) -> list[set[str]]:
    """Sets of modules of which each reaches every other."""
    reached = {}
    for start in graph:
        found, todo = set(), [start]
        while todo:
            new = graph[todo.pop()] - found
            found |= new
            todo += new
        reached[start] = found
    return [
        {other for other in reached[name] if name in reached[other]}
        for name in graph
        if name in reached[name]
    ]


def test_a_circle_is_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == [{"b", "c"}, {"b", "c"}]


@pytest.mark.slow
def test_no_module_is_in_an_import_circle():
    assert circles({name: set(imported(name)) - {name} for name in MODULES}) == []


def test_no_room_is_a_house_of_its_own():
    rooms: dict[str, int] = {}
    for name, lines in LINES.items():
        room = ".".join(name.split(".")[:2])
        rooms[room] = rooms.get(room, 0) + lines
    assert {room: n for room, n in rooms.items() if n > ROOM * sum(LINES.values())} == {}


def test_no_module_is_too_long():
    assert {name: lines for name, lines in LINES.items() if lines > MODULE} == {}
