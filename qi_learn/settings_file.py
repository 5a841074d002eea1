"""The commented `config.toml` that `qi-learn init` writes, from the docstrings under the fields of
`settings.py`.
"""

from __future__ import annotations

import ast
import inspect
import json
from dataclasses import fields
from typing import Any

from qi_learn import settings as module
from qi_learn.settings import Settings, settings_table


def commented_defaults() -> str:
    """The text of a fresh `config.toml`: every key, commented out, with its default and what it
    means.
    """
    lines = [
        "# qi-learn: every key with its default, and above it what it means.",
        "# Take the # away to change one; `qi-learn config` shows what holds, and from where.",
    ]
    for section, (_, keys) in documented().items():
        lines += ["", f"[{section}]"]
        for key, words in keys.items():
            lines += [
                *(f"# {line}" for line in words.splitlines()),
                f"# {key} = {_toml(_default(section, key))}",
            ]
    return "\n".join(lines) + "\n"


def documented() -> dict[str, tuple[str, dict[str, str]]]:
    """By section: what it is about, and the docstring under each of its keys."""
    classes = {
        node.name: node
        for node in ast.parse(inspect.getsource(module)).body
        if isinstance(node, ast.ClassDef)
    }
    nodes = {f.name: classes[type(getattr(Settings(), f.name)).__name__] for f in fields(Settings)}
    return {
        section: (ast.get_docstring(node) or "", _field_docs(node))
        for section, node in nodes.items()
    }


def _field_docs(node: ast.ClassDef) -> dict[str, str]:
    found: dict[str, str] = {}
    for field, after in zip(node.body, [*node.body[1:], None], strict=True):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            words = (
                after.value.value
                if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
                else ""
            )
            found[field.target.id] = inspect.cleandoc(str(words))
    return found


def _default(section: str, key: str) -> Any:
    return settings_table(Settings())[section][key]


def _toml(value: Any) -> str:
    """A setting's value as TOML: its texts, numbers, truth values and lists of texts are written as
    in JSON.
    """
    return json.dumps(value, ensure_ascii=False)
