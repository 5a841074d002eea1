"""`config.toml`: read, with the environment over it, into the settings.

Also the commented one that `qi-learn init` writes.

Settings are defaults < `config.toml` < environment (`QI_LEARN__SECTION__KEY`). An unknown key is an
error that names the closest one, and all problems are reported at once; one that older versions had
counts for nothing, and `retired_keys` says so. What a key means is the
docstring under its field in `settings.py`, here and in docs/reference/settings.md.
"""

from __future__ import annotations

import ast
import errno
import inspect
import json
import math
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from qi_learn import settings as module
from qi_learn.codec import field_types
from qi_learn.errors import SettingsError
from qi_learn.settings import (
    Record,
    Settings,
    settings_table,
)
from qi_learn.settings_rules import RETIRED, out_of_range

PREFIX = "QI_LEARN__"
COUNT_AT_ONCE = ("gateway.record", "capture.unregistered")
"""The settings that the gateway reads again when they change."""


def load_settings(path: Path | None, env: Mapping[str, str] = os.environ) -> Settings:
    """The settings from the file (may be absent) and the environment.

    Raises SettingsError with every problem: unreadable file, unknown section or key, wrong type,
    value out of range.
    """
    problems: list[str] = []
    table = _read(path, problems) if path is not None else {}
    _put_environment(table, env)
    sections = {f.name: field_types(Settings)[f.name] for f in fields(Settings)}
    built: dict[str, Any] = {}
    for section, values in table.items():
        if section not in sections:
            by = _by_variables(section, values)
            problems.append(f"unknown section [{section}]{_closest(section, sections)}{by}")
        elif not isinstance(values, dict):
            problems.append(f"[{section}] must be a table, not {type(values).__name__}")
        else:
            kind = sections[section]
            built[section] = kind(**_section(section, kind, values, problems))
    settings = Settings(**built)
    problems += [_by_variable(problem, table) for problem in out_of_range(settings)]
    if problems:
        from qi_learn.settings_lines import unusable  # most settings can be used

        raise unusable(path, problems)
    return settings


def changed_in_file(path: Path) -> dict[str, Any]:
    """What the file sets to another value than the default, by `section.key`.

    That is what a process says it was started with, so that it is seen when the file has changed
    since: without what counts at once. The environment is left out, because each shell has its own.
    Empty for a file that cannot be used.
    """
    try:
        table = settings_table(load_settings(path, env={}))
    except SettingsError:
        return {}
    defaults = settings_table(Settings())
    return {
        f"{section}.{key}": list(value) if isinstance(value, tuple) else value
        for section, values in table.items()
        for key, value in values.items()
        if value != defaults[section][key] and f"{section}.{key}" not in COUNT_AT_ONCE
    }


def retired_keys(path: Path | None, env: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """What is set and counts for nothing any more, a sentence each."""
    table = _read(path, []) if path is not None else {}
    _put_environment(table, env)
    return tuple(
        f"{name} counts for nothing any more: {instead}."
        for name, instead in RETIRED.items()
        if _is_set(table, *name.split("."))
    )


def _is_set(table: Mapping[str, Any], section: str, key: str) -> bool:
    values = table.get(section)
    return isinstance(values, dict) and key in values


class _Variable(str):
    """A value out of the environment, which is always text."""


def _put_environment(table: dict[str, Any], env: Mapping[str, str]) -> None:
    """Put the variables over the file's values; a section that is no table is left as it is."""
    for name, value in env.items():
        if name.startswith(PREFIX):
            section, _, key = name[len(PREFIX) :].lower().partition("__")
            if isinstance(given := table.setdefault(section, {}), dict):
                given[key] = _Variable(value)


def _read(path: Path, problems: list[str]) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        if getattr(error, "errno", 0) in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return {}  # there is none
        problems.append(f"the file cannot be read as TOML: {error}")
        return {}


def _section(
    section: str, kind: type, values: Mapping[str, Any], problems: list[str]
) -> dict[str, Any]:
    """The section's values in their types; what is wrong goes to `problems`."""
    hints = field_types(kind)
    out: dict[str, Any] = {}
    for key, value in values.items():
        if f"{section}.{key}" in RETIRED:
            continue
        if key not in hints:
            by = _by_variables(section, {key: value})
            problems.append(f"unknown key {section}.{key}{_closest(key, hints)}{by}")
            continue
        try:
            read = _from_variable if isinstance(value, _Variable) else _from_file
            out[key] = read(hints[key], value)
        except (TypeError, ValueError):
            problems.append(_wrong_type(section, key, hints[key], value))
    return out


def _from_file(kind: Any, value: Any) -> Any:
    """The file's value in its type; nothing is guessed. Raises TypeError or ValueError."""
    if kind is bool or kind is str:
        if not isinstance(value, kind):
            raise TypeError
        return value
    if kind == Record:
        if not isinstance(value, bool) and value != "metadata":
            raise TypeError
        return value
    if kind in (int, float):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TypeError
        return _number(kind, value)
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise TypeError
    return tuple(value)


def _from_variable(kind: Any, value: str) -> Any:
    """A variable's text, read as its type. Raises ValueError."""
    if kind == Record and value.lower() == "metadata":
        return "metadata"
    if kind in (bool, Record):
        if value.lower() not in ("true", "false", "1", "0", "yes", "no"):
            raise ValueError
        return value.lower() in ("true", "1", "yes")
    if kind is str:
        return str(value)
    if kind in (int, float):
        return _number(kind, float(value) if kind is float else int(value))
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _number(kind: Any, value: float) -> Any:
    """A number in its type. Raises ValueError for one that is not finite or not whole."""
    if not math.isfinite(value) or (kind is int and not float(value).is_integer()):
        raise ValueError
    return kind(value)


def _by_variables(section: str, values: Any) -> str:
    """The variables that alone set these values, in brackets; empty if the file sets one."""
    if not isinstance(values, dict) or not values:
        return ""
    if not all(isinstance(value, _Variable) for value in values.values()):
        return ""
    return f" ({', '.join(f'{PREFIX}{section}__{key}'.upper() for key in values)})"


def _by_variable(problem: str, table: Mapping[str, Any]) -> str:
    """A problem of values with the variable that sets the first of them, if one does."""
    for section, key in re.findall(r"\b([a-z_0-9]+)\.([a-z_0-9]+)\b", problem):
        values = table.get(section)
        if isinstance(values, dict) and isinstance(values.get(key), _Variable):
            return f"{problem}{_by_variables(section, {key: values[key]})}"
    return problem


def _wrong_type(section: str, key: str, kind: Any, value: Any) -> str:
    """What is wrong with a value, and what to write instead of it."""
    if isinstance(value, _Variable):
        by = _by_variables(section, {key: value})
        return f"{section}.{key} = {str(value)!r} is not a {_type_name(kind)}{by}"
    meant = _meant(kind, value)
    example = to_toml(default_of(section, key)) if meant is None else meant
    return (
        f"{section}.{key} = {value!r} is not a {_type_name(kind)}: write `{key} = {example}` "
        f"under [{section}]"
    )


def _meant(kind: Any, value: Any) -> str | None:
    """What a text that was written in place of a value means; None if that is not clear."""
    if kind in (bool, Record):
        said = str(value).lower()
        if said in ("yes", "on", "true", "1"):
            return "true"
        return "false" if said in ("no", "off", "false", "0") else None
    try:
        return to_toml(_from_variable(kind, value)) if isinstance(value, str) else None
    except ValueError:
        return None


def _type_name(kind: Any) -> str:
    names: dict[Any, str] = {bool: "true or false", int: "whole number", float: "number"}
    names |= {str: "text", Record: 'true, false or "metadata"'}
    return names.get(kind, "list of texts")


def _closest(name: str, names: Mapping[str, Any]) -> str:
    import difflib

    close = difflib.get_close_matches(name, list(names), n=1)
    return f" (did you mean `{close[0]}`?)" if close else f" (known: {', '.join(sorted(names))})"


def commented_defaults() -> str:
    """The text of a fresh `config.toml`.

    It holds every key, commented out, with its default and what it means.
    """
    lines = [
        "# qi-learn: every key with its default, and above it what it means.",
        "# Take the # away to change one; `qi-learn config` shows what holds, and from where.",
    ]
    for section, (_, keys) in documented().items():
        lines += ["", f"[{section}]"]
        for key, words in keys.items():
            lines += [
                *(f"# {line}".rstrip() for line in words.strip().splitlines()),
                f"# {key} = {to_toml(default_of(section, key))}",
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
    docs: dict[str, str] = {}
    for field, after in zip(node.body, [*node.body[1:], None], strict=True):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            words = (
                after.value.value
                if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
                else ""
            )
            docs[field.target.id] = inspect.cleandoc(str(words))
    return docs


def default_of(section: str, key: str) -> Any:
    """The default of a key."""
    return settings_table(Settings())[section][key]


def to_toml(value: Any) -> str:
    """A setting's value as TOML: texts, numbers, truth values and lists of texts are as in JSON."""
    return json.dumps(value, ensure_ascii=False)
