"""What the settings are, where each value comes from, the commented file that `qi-learn init` writes, and `docs/settings.md`.

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

_HEAD = """# Settings

`config.toml` in the configuration directory (`qi-learn config` shows where, and every value with its origin). `qi-learn init` writes the file with every
key commented out. The environment wins over the file: `QI_LEARN__SECTION__KEY`, for example `QI_LEARN__TRAIN__MIN_INTERACTIONS=60`. An unknown key or a
value out of range is an error that names every problem at once. `QI_LEARN_HOME` moves everything into one directory.

This page is written by `scripts/settings_docs.py` from the docstrings in `qi_learn/settings.py`.
"""


def as_text(paths: Paths, settings: Settings, env: Mapping[str, str] = os.environ) -> str:
    """One line a key: value, and its origin where that is not the default."""
    there = paths.settings_file.exists()
    in_file = tomllib.loads(paths.settings_file.read_text(encoding="utf-8")) if there else {}
    in_environment = {name.upper() for name in env}
    lines = [f"# {paths.settings_file}" + ("" if there else " (not there: defaults)")]
    for section, values in settings_table(settings).items():
        lines += ["", f"[{section}]"]
        for key, value in values.items():
            origin = "environment" if f"{PREFIX}{section}__{key}".upper() in in_environment else "file" if key in in_file.get(section, {}) else ""
            lines.append(f"{key} = {_toml(value)}" + (f"  # from the {origin}" if origin else ""))
    return "\n".join(lines)


def commented_defaults() -> str:
    """The text of a fresh `config.toml`: every key, commented out, with its default and what it means."""
    lines = ["# qi-learn: every key with its default; take the # away to change one. Docs: docs/settings.md"]
    for section, (_, keys) in documented().items():
        lines += ["", f"[{section}]"]
        for key, words in keys.items():
            lines += [*(f"# {line}" for line in words.splitlines()), f"# {key} = {_toml(_default(section, key))}"]
    return "\n".join(lines) + "\n"


def as_markdown() -> str:
    """The text of `docs/settings.md`."""
    lines = [_HEAD.rstrip()]
    for section, (about, keys) in documented().items():
        lines += ["", f"## {section}", "", about, "", "| key | default | meaning |", "|---|---|---|"]
        lines += [f"| `{key}` | `{_toml(_default(section, key))}` | {' '.join(words.split())} |" for key, words in keys.items()]
    return "\n".join(lines) + "\n"


def documented() -> dict[str, tuple[str, dict[str, str]]]:
    """By section: what it is about, and the docstring under each of its keys."""
    classes = {node.name: node for node in ast.parse(inspect.getsource(module)).body if isinstance(node, ast.ClassDef)}
    nodes = {f.name: classes[type(getattr(Settings(), f.name)).__name__] for f in fields(Settings)}
    return {section: (ast.get_docstring(node) or "", _field_docs(node)) for section, node in nodes.items()}


def _field_docs(node: ast.ClassDef) -> dict[str, str]:
    found: dict[str, str] = {}
    for field, after in zip(node.body, [*node.body[1:], None], strict=True):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            words = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else ""
            found[field.target.id] = inspect.cleandoc(str(words))
    return found


def _default(section: str, key: str) -> Any:
    return settings_table(Settings())[section][key]


def _toml(value: Any) -> str:
    """A setting's value as TOML: its texts, numbers, truth values and lists of texts are written as in JSON."""
    return json.dumps(value, ensure_ascii=False)
