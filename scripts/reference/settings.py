"""The tables of settings, from the docstrings under the fields of `qi_learn/settings.py`."""

from __future__ import annotations

import json
from pathlib import Path

from qi_learn.settings import Settings, settings_table
from qi_learn.settings_file import documented

from .markdown import paragraphs, table


def tables(_root: Path) -> str:
    """A section each: what it is about, then key, default and meaning."""
    defaults = settings_table(Settings())
    parts = []
    for section, (about, keys) in documented().items():
        rows = [
            (f"`{key}`", f"`{_toml(defaults[section][key])}`", words) for key, words in keys.items()
        ]
        parts.append(
            f"## {section}\n\n{paragraphs(about)}\n\n{table(('key', 'default', 'meaning'), rows)}"
        )
    return "\n\n".join(parts)


def _toml(value: object) -> str:
    """A setting's value as TOML: text, numbers, truth values and lists of text are as in JSON."""
    return json.dumps(value, ensure_ascii=False)
