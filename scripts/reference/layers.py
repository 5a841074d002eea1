"""The table of what each package may import, from the test that holds it.

Read, not imported: the documentation is built without pytest.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .markdown import table as markdown_table

NAME = "MAY_IMPORT"
_BUILTINS = {"set": set, "frozenset": frozenset, "dict": dict}


def table(root: Path) -> str:
    """A row a package. Raises LookupError if there is no such test."""
    files = sorted((root / "tests").rglob("test_layers.py"))
    if not files:
        raise LookupError("no test_layers.py, which holds what each package may import")
    rules = table_of(files[0].read_text(encoding="utf-8"))
    if not rules:
        return "The direction of imports is held by `test_layers.py`."
    rows = []
    for package, allowed in rules.items():
        rows.append(
            (f"`{package}`", ", ".join(f"`{name}`" for name in sorted(allowed)) or "nothing")
        )
    return markdown_table(("package", "may import"), rows)


def table_of(source: str) -> dict[str, set[str]]:
    """`MAY_IMPORT` of a module, made from its constants; empty if it has none."""
    known: dict[str, Any] = {}
    for name, value in _constants(source):
        try:
            code = compile(ast.Expression(value), NAME, "eval")
            known[name] = eval(code, {"__builtins__": _BUILTINS}, dict(known))
        except (NameError, AttributeError, TypeError):
            continue  # made from more than constants, so the table does not need it
    return {package: set(allowed) for package, allowed in known.get(NAME, {}).items()}


def _constants(source: str) -> Iterator[tuple[str, ast.expr]]:
    for node in ast.parse(source).body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                yield name, value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                yield name, value
            case _:
                pass
