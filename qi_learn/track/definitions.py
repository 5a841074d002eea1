"""The functions and classes of a source file, by tree-sitter.

What is covered: Python. A file of another language, or one that does not parse, has none known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache

import tree_sitter_python
from tree_sitter import Language, Node, Parser


@dataclass(frozen=True, slots=True)
class Definition:
    """A function or class.

    Its lines are `start` up to `end` with its decorators, and `line` is that of its `def` or
    `class`.
    """

    name: str
    start: int
    line: int
    end: int


@lru_cache(maxsize=4)
def definitions(text: str, file: str) -> tuple[Definition, ...] | None:
    """The functions and classes of a file, outer ones first.

    None if it does not parse or its language is not known here. The last few files are remembered:
    each of the suggestions in a file asks.
    """
    if not file.endswith((".py", ".pyi")):
        return None
    root = Parser(_python()).parse(text.encode("utf-8", "replace")).root_node
    return None if root.has_error else tuple(_definitions(root))


@cache
def _python() -> Language:
    return Language(tree_sitter_python.language())


def _definitions(root: Node) -> Iterator[Definition]:
    """All definitions, in the order of the file.

    A stack of our own, not recursion: generated code is nested thousands deep.
    """
    waiting = [(child, "") for child in reversed(root.children)]
    while waiting:
        node, holder = waiting.pop()
        inner = (
            node.child_by_field_name("definition") if node.type == "decorated_definition" else node
        )
        if inner is None or inner.type not in ("function_definition", "class_definition"):
            waiting += [(child, holder) for child in reversed(node.children)]
            continue
        name = inner.child_by_field_name("name")
        full = holder + (
            name.text.decode("utf-8") if name is not None and name.text is not None else ""
        )
        yield Definition(full, node.start_point.row, inner.start_point.row, _end(node))
        waiting += [(child, f"{full}.") for child in reversed(inner.children)]


def _end(node: Node) -> int:
    """The line after the node's last one. A node may end at the beginning of a line."""
    return node.end_point.row + (1 if node.end_point.column else 0)
