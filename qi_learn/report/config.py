"""`qi-learn config`: every setting with its value and its origin.

The words on each setting are the docstrings under the fields of `settings.py`, their one home.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping

from qi_learn.paths import Paths
from qi_learn.settings import Settings, settings_table
from qi_learn.settings_file import PREFIX, retired_keys, to_toml


def as_text(paths: Paths, settings: Settings, env: Mapping[str, str] = os.environ) -> str:
    """One line for each key: the value, and its origin if that is not the default."""
    exists = paths.settings_file.exists()
    in_file = tomllib.loads(paths.settings_file.read_text(encoding="utf-8")) if exists else {}
    in_environment = {name.upper() for name in env}
    lines = [f"# {paths.settings_file}" + ("" if exists else " (not there: defaults)")]
    lines += [f"# {sentence}" for sentence in retired_keys(paths.settings_file, env)]
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
