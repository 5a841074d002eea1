"""What the settings are, where each value comes from, and the commented file that `qi-learn init` writes.

The words come from the docstrings under the fields of `settings.py`, so that there is one place to keep them.
"""

from __future__ import annotations

import ast
import inspect
import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from qi_learn import settings as module
from qi_learn.paths import Paths
from qi_learn.settings import PREFIX, Settings, settings_table


def as_table(settings: Settings) -> dict[str, dict[str, Any]]:
    """The settings as nested plain values."""
    return settings_table(settings)


def as_text(paths: Paths, settings: Settings, env: Mapping[str, str] = os.environ) -> str:
    """One line a key: value, and its origin (default, file, environment)."""
    in_file = tomllib.loads(paths.settings_file.read_text(encoding="utf-8")) if paths.settings_file.exists() else {}
    lines = [f"# {paths.settings_file}" + ("" if in_file or paths.settings_file.exists() else " (not there: defaults)")]
    for section, values in settings_table(settings).items():
        lines.append(f"\n[{section}]")
        for key, value in values.items():
            origin = "environment" if f"{PREFIX}{section}__{key}".upper() in env else "file" if key in in_file.get(section, {}) else "default"
            lines.append(f"{key} = {_toml(value)}" + ("" if origin == "default" else f"  # from the {origin}"))
    return "\n".join(lines)


def commented_defaults() -> str:
    """The text of a fresh `config.toml`: every key, commented out, with its default and what it means."""
    words = documented()
    lines = ["# qi-learn: every key with its default; take the # away to change one. Docs: docs/settings.md"]
    for section in fields(Settings):
        lines += ["", f"[{section.name}]"]
        defaults = getattr(Settings(), section.name)
        for field in fields(defaults):
            lines += [f"# {line}" for line in words[section.name].get(field.name, "").splitlines()]
            lines.append(f"# {field.name} = {_toml(getattr(defaults, field.name))}")
    return "\n".join(lines) + "\n"


def documented() -> dict[str, dict[str, str]]:
    """The docstring under each field, by section and key."""
    classes = {node.name: node for node in ast.parse(inspect.getsource(module)).body if isinstance(node, ast.ClassDef)}
    return {f.name: _field_docs(classes[type(getattr(Settings(), f.name)).__name__]) for f in fields(Settings)}


def _field_docs(node: ast.ClassDef) -> dict[str, str]:
    found: dict[str, str] = {}
    for field, after in zip(node.body, [*node.body[1:], None], strict=True):
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and isinstance(after.value.value, str):
            found[field.target.id] = inspect.cleandoc(after.value.value)
    return found


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)
