"""`qi-learn config`: every setting with its value and its origin; and the text of
`docs/settings.md`.

The words on each setting are the docstrings under the fields of `settings.py`, their one home.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping

from qi_learn.paths import Paths
from qi_learn.settings import Settings, settings_table
from qi_learn.settings_file import PREFIX, default_of, documented, to_toml

_HEAD = """# Settings

`config.toml` in the configuration directory (`qi-learn config` shows where, and every value with
its origin). `qi-learn init` writes the file with every key commented out. The environment wins over
the file: `QI_LEARN__SECTION__KEY`, for example `QI_LEARN__TRAIN__MIN_INTERACTIONS=60`. An unknown
key or a value out of range is an error that names every problem at once. `QI_LEARN_HOME` moves
everything into one directory.

This page is written by `scripts/settings_docs.py` from the docstrings in `qi_learn/settings.py`.
"""


def as_text(paths: Paths, settings: Settings, env: Mapping[str, str] = os.environ) -> str:
    """One line a key: the value, and its origin if that is not the default."""
    exists = paths.settings_file.exists()
    in_file = tomllib.loads(paths.settings_file.read_text(encoding="utf-8")) if exists else {}
    in_environment = {name.upper() for name in env}
    lines = [f"# {paths.settings_file}" + ("" if exists else " (not there: defaults)")]
    for section, values in settings_table(settings).items():
        lines += ["", f"[{section}]"]
        for key, value in values.items():
            origin = (
                "environment"
                if f"{PREFIX}{section}__{key}".upper() in in_environment
                else "file"
                if key in in_file.get(section, {})
                else ""
            )
            lines.append(f"{key} = {to_toml(value)}" + (f"  # from the {origin}" if origin else ""))
    return "\n".join(lines)


def as_markdown() -> str:
    """The text of `docs/settings.md`."""
    lines = [_HEAD.rstrip()]
    for section, (about, keys) in documented().items():
        lines += [
            "",
            f"## {section}",
            "",
            " ".join(about.split()),
            "",
            "| key | default | meaning |",
            "|---|---|---|",
        ]
        lines += [
            f"| `{key}` | `{to_toml(default_of(section, key))}` | {' '.join(words.split())} |"
            for key, words in keys.items()
        ]
    return "\n".join(lines) + "\n"
