"""The program in the sandbox: runs a piece of code, evaluates expressions with what it defined, and
writes down their values.

It knows nothing that is worth stealing: the values that are *expected* never enter the sandbox, and
what it writes is only ever compared with them as text, outside. So code that patches builtins,
leaves early, reads this program's memory or writes to its output can spoil its own result and
nothing else. It runs with the standard library alone, before any of it with the limits that it is
given.
"""

from __future__ import annotations

import ast
import json
import os
import resource
import sys
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

BEGUN = "begun"
"""The first line: from here on whatever goes wrong is the code's doing."""


def main() -> None:
    given = json.load(sys.stdin)
    for name, value in given["limits"].items():
        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))
    results, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)  # what the code prints is not looked at
    _write(results, BEGUN)
    for line in evaluate(given["code"], given["checks"]):
        _write(results, line)


def evaluate(code: str, checks: list[str]) -> Iterator[str]:
    """One line a check: the value of its last expression as `written` has it, or `raises <name>`.

    Nothing where the code itself fails.
    """
    module = sys.modules["candidate"] = ModuleType(
        "candidate"
    )  # dataclasses look their module up there
    try:
        exec(compile(code, "candidate", "exec", dont_inherit=True), module.__dict__)
    except BaseException:  # noqa: BLE001 -- also SystemExit: the code of a stranger
        return
    for check in checks:
        yield _value(check, module.__dict__)


def _value(check: str, names: Mapping[str, Any]) -> str:
    scope = dict(names)
    try:
        *before, last = ast.parse(check).body
        exec(compile(ast.Module(before, []), "check", "exec", dont_inherit=True), scope)
        return written(
            eval(compile(ast.Expression(last.value), "check", "eval", dont_inherit=True), scope)
        )  # type: ignore[attr-defined]
    except BaseException as error:  # noqa: BLE001
        return (
            f"raises {next(c.__name__ for c in type(error).__mro__ if c.__module__ == 'builtins')}"
        )


def written(value: Any) -> str:
    """A plain value as text, in one line: equal values are written alike (2 and 2.0 too), whatever
    the order of a set or a dictionary.

    Floats have nine digits, so that the order of a sum does not matter. What is not plain is
    written as its type.
    """
    if value is None or isinstance(value, (bool, str, bytes)):
        return repr(value)
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e9 else format(value, ".9g")
    if isinstance(value, (list, tuple)):
        inner = ", ".join(map(written, value))
        return f"[{inner}]" if isinstance(value, list) else f"({inner},)"
    if isinstance(value, (set, frozenset)):
        return "set(" + ", ".join(sorted(map(written, value))) + ")"
    if isinstance(value, dict):
        return (
            "{" + ", ".join(sorted(f"{written(k)}: {written(v)}" for k, v in value.items())) + "}"
        )
    return f"<{type(value).__name__}>"


def _write(file: int, line: str) -> None:
    os.write(file, line.encode("utf-8", "backslashreplace") + b"\n")


if __name__ == "__main__":
    main()
