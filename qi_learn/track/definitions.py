"""The functions, classes and types of a source file, by its syntax tree.

What is covered: Python, and with their grammars JavaScript, TypeScript, Go, Rust, Java, C and C++.
A file of another language, or one that does not parse, has none known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from qi_learn.syntax import language_of, tree

if TYPE_CHECKING:
    from tree_sitter import Node

_NAMED = {
    *("function_definition", "class_definition", "function_declaration", "method_definition"),
    *("generator_function_declaration", "class_declaration", "abstract_class_declaration"),
    *("interface_declaration", "type_alias_declaration", "enum_declaration", "internal_module"),
    *("method_declaration", "type_spec", "function_item", "struct_item", "enum_item", "union_item"),
    *("trait_item", "impl_item", "macro_definition", "constructor_declaration"),
    *("record_declaration", "annotation_type_declaration", "namespace_definition"),
}
"""Nodes that define what they name."""
_WITH_BODY = {"mod_item", "struct_specifier", "class_specifier", "enum_specifier"}
"""Nodes that do so only with a body."""
_WITH_CODE = {"variable_declarator", "public_field_definition", "field_definition"}
"""Nodes that do so if their value is a function or class."""
_CODE = {"arrow_function", "function_expression", "generator_function", "class"}
_WRAPPERS = {
    *("decorated_definition", "export_statement", "template_declaration", "lexical_declaration"),
    *("variable_declaration", "expression_statement", "type_declaration", "ambient_declaration"),
}
"""Nodes that belong to the one definition in them."""
_ABOVE = {"attribute_item", "decorator"}
"""Nodes that belong to the definition below them."""


@dataclass(frozen=True, slots=True)
class Definition:
    """A function, class or type.

    Its lines are `start` up to `end` with its decorators, and `line` is that of its name.
    """

    name: str
    start: int
    line: int
    end: int


@lru_cache(maxsize=4)
def definitions(text: str, file: str) -> tuple[Definition, ...] | None:
    """The definitions of a file, outer ones first.

    None if it does not parse or its language is not known here. The last few files are remembered:
    each of the suggestions in a file asks.
    """
    root = tree(text, language_of(None, file))
    return None if root is None or root.has_error else tuple(_definitions(root))


def _definitions(root: Node) -> Iterator[Definition]:
    """All definitions, in the order of the file.

    A stack of our own, not recursion: generated code is nested thousands deep.
    """
    waiting: list[tuple[Node, str, Node | None]] = [(root, "", None)]
    while waiting:
        node, holder, outer = waiting.pop()
        inside, wrapper = holder, None
        if (name := _name(node)) is not None:
            whole = outer or node
            full = holder + _receiver(node) + _text(name)
            yield Definition(full, _first(whole), name.start_point.row, _end(whole))
            inside = f"{full}."
        elif node.type in _WRAPPERS and sum(c.is_named for c in node.children) <= 2:
            wrapper = outer or node
        waiting += [(child, inside, wrapper) for child in reversed(node.children)]


def _name(node: Node) -> Node | None:
    """The name of what a node defines; None if it defines nothing."""
    kind, field = node.type, node.child_by_field_name
    if kind in _WITH_BODY and field("body") is None:
        return None
    if kind in _WITH_CODE:
        value = field("value")
        if value is None or value.type not in _CODE:
            return None
    elif kind not in _NAMED and kind not in _WITH_BODY:
        return None
    if kind == "impl_item":
        return field("type")
    return field("name") or field("property") or _declared(node)


def _declared(node: Node) -> Node | None:
    """What a declarator of C names, behind pointers, references and parameters."""
    inner = node.child_by_field_name("declarator")
    while inner is not None and inner.type not in ("identifier", "field_identifier"):
        if inner.type in ("qualified_identifier", "destructor_name", "operator_name"):
            break
        deeper = inner.child_by_field_name("declarator")
        inner = deeper or next((c for c in inner.children if c.type.endswith("_declarator")), None)
    return inner


def _receiver(node: Node) -> str:
    """`Table.` for a method of Go, whose type stands in front of its name."""
    waiting = [r] if (r := node.child_by_field_name("receiver")) is not None else []
    while waiting:
        each = waiting.pop(0)
        if each.type == "type_identifier":
            return f"{_text(each)}."
        waiting += each.children
    return ""


def _text(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "replace")


def _first(node: Node) -> int:
    """The first line of a node with the attributes above it."""
    above = node.prev_named_sibling
    while above is not None and above.type in _ABOVE:
        node, above = above, above.prev_named_sibling
    return node.start_point.row


def _end(node: Node) -> int:
    """The line after the node's last one. A node may end at the beginning of a line."""
    return node.end_point.row + (1 if node.end_point.column else 0)
