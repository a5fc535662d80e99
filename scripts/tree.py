"""The list of rooms and modules in docs/tree.md, made from the modules' docstrings.

    python scripts/tree.py

`--check` changes nothing and fails where the file is not up to date.
"""

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "tree.md"
HEADER = """# The tree

Rooms of the package from top to bottom; a room imports only what stands below it. Each line is the
first line of a module's docstring. Made by `python scripts/tree.py`.
"""
BESIDE = """
## Beside the package

| folder | holds |
|---|---|
| `tests/` | tests, laid out like the package; `test_contracts.py` holds the laws over all tables |
| `benchmarks/` | one script a question of speed or calibration |
| `scripts/` | what makes pages of the documentation |
| `configs/` | runs to start from: only differences from the defaults |
| `docs/` | `tour.md` first; `configuration.md`, `errors.md`, `log.md`, `decisions/`, `results/` |
"""


def main(arguments: list[str]) -> int:
    """Write the page, or check it; the exit status."""
    text = page()
    if "--check" in arguments:
        return int(not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text)
    PAGE.write_text(text, encoding="utf-8")
    return 0


def page() -> str:
    """The page's text."""
    lines = [HEADER]
    package = ROOT / "promptpriors"
    for room in rooms():
        file, folder = package / f"{room}.py", package / room
        if file.exists():
            lines += [f"## {room}.py", "", first_line(file), ""]
            continue
        lines += [
            f"## {room}/",
            "",
            first_line(folder / "__init__.py"),
            "",
            "| module | |",
            "|---|---|",
        ]
        modules = sorted(path for path in folder.rglob("*.py") if path.name != "__init__.py")
        lines += [f"| `{path.relative_to(folder)}` | {first_line(path)} |" for path in modules]
        lines.append("")
    return "\n".join(lines) + BESIDE


def rooms() -> list[str]:
    """The rooms in the order of the import contract."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = project["tool"]["importlinter"]["contracts"]
    return [room.strip() for layer in contract["layers"] for room in layer.split("|")]


def first_line(path: Path) -> str:
    """First line of a module's docstring, as a table shows it."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0].replace("``", "`").replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
