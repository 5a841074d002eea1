"""The table of what each package may import, from the test that holds it.

Read, not imported: the documentation is built where pytest is not installed.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from .markdown import table as markdown_table

NAME = "MAY_IMPORT"


def table_of(path: Path) -> dict[str, set[str]]:
    """`MAY_IMPORT` of a test file: its constants are evaluated in order, each with those before it.

    Empty if the file has no such table.
    """
    known: dict[str, Any] = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0] if isinstance(node, ast.Assign) else None
        if not isinstance(target, ast.Name) or not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            continue
        try:
            value = compile(ast.Expression(node.value), str(path), "eval")
            known[target.id] = eval(value, {"__builtins__": {"set": set, "frozenset": frozenset}}, dict(known))
        except (NameError, AttributeError, TypeError):
            continue  # it needs more than the constants before it, so the table does not need it
    return {package: set(allowed) for package, allowed in known.get(NAME, {}).items()}


def table(root: Path) -> str:
    """A row a package; the vocabulary, which everything may import, is left out."""
    files = sorted((root / "tests").rglob("test_layers.py"))
    rules = table_of(files[0]) if files else {}
    if not rules:
        return "The rule is held by `test_layers.py`."
    rows = [(f"`{package}`", ", ".join(f"`{name}`" for name in sorted(allowed)) or "nothing") for package, allowed in rules.items()]
    return markdown_table(("package", "may import"), rows)
