"""The program in the sandbox: run code, evaluate expressions and write their values.

The expressions are evaluated with what the code defined.

It knows nothing that is worth stealing: the values that are *expected* never enter the sandbox, and
what it writes is only ever compared with them as text, outside. So code that patches builtins,
leaves early, reads this program's memory or writes to its output can spoil its own result and
nothing else. It needs the standard library alone, and sets the limits that it is given before any
of the code runs.
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
"""The first line: from here on every fault is the code's own."""


def main() -> None:
    """Read one request, set its limits, and write a line for each of its checks."""
    request = json.load(sys.stdin)
    for name, value in request["limits"].items():
        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))
    results, nothing = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)  # what the code prints is not looked at
    _write(results, BEGUN)
    for line in evaluate(request["code"], request["checks"]):
        _write(results, line)


def evaluate(code: str, checks: list[str]) -> Iterator[str]:
    """One line a check: the value of its last expression as `written` has it, or `raises <name>`.

    Empty if the code itself fails.
    """
    # dataclasses look their module up in sys.modules
    module = sys.modules["candidate"] = ModuleType("candidate")
    try:
        exec(compile(code, "candidate", "exec", dont_inherit=True), module.__dict__)
    except BaseException:  # noqa: BLE001 -- SystemExit too: the code is not ours
        return
    for check in checks:
        yield _value(check, module.__dict__)


def _value(check: str, names: Mapping[str, Any]) -> str:
    scope = dict(names)
    try:
        *before, last = ast.parse(check).body
        value: ast.expr = last.value  # type: ignore[attr-defined] # a check ends in an expression
        exec(compile(ast.Module(before, []), "check", "exec", dont_inherit=True), scope)
        code = compile(ast.Expression(value), "check", "eval", dont_inherit=True)
        return written(eval(code, scope))
    except BaseException as error:  # noqa: BLE001 -- whatever the code raises is its value
        builtin = next(c for c in type(error).__mro__ if c.__module__ == "builtins")
        return f"raises {builtin.__name__}"


def written(value: Any) -> str:
    """A plain value as text, in one line, equal values alike.

    2 and 2.0 are written alike too, and so are equal sets or dictionaries in any order. Floats have
    nine digits, so that the order of a sum does not matter. A value that is not plain is written as
    its type.
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
        pairs = sorted(f"{written(k)}: {written(v)}" for k, v in value.items())
        return "{" + ", ".join(pairs) + "}"
    return f"<{type(value).__name__}>"


def _write(file: int, line: str) -> None:
    os.write(file, line.encode("utf-8", "backslashreplace") + b"\n")


if __name__ == "__main__":
    main()
