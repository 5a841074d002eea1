"""What kind of command a command line is, told by its words.

What is not known is `other`, which is evidence of nothing. A linter is `other`: its findings are no
failure to compile. The type checkers are `compile`.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

CommandKind = Literal["compile", "test", "deploy", "bench", "other"]


def _forms(*lines: str) -> tuple[str, ...]:
    return tuple(form for line in lines for form in line.split(", "))


_NODE = "(npm|pnpm|yarn|bun)"
FORMS: dict[CommandKind, tuple[str, ...]] = {
    "bench": _forms(
        r"cargo bench, go test .*-bench.*, (pytest|py\.test) .*--benchmark-only, hyperfine, asv",
        rf"{_NODE} (run )?bench, make bench",
    ),
    "deploy": _forms(
        "kubectl (apply|rollout), docker (push|stack deploy), terraform apply, vercel",
        "helm (install|upgrade), fly(ctl)? deploy, netlify deploy, serverless deploy",
        "ansible-playbook, twine upload, cargo publish, gcloud .*deploy",
        rf"{_NODE} (publish|(run )?deploy), make deploy, cap [A-Za-z0-9_]+ deploy",
    ),
    "test": _forms(
        r"pytest, py\.test, tox, nox, unittest, doctest, cargo (test|nextest), go test",
        rf"{_NODE} (run )?(test|t), deno test, ctest, jest, vitest, mocha, playwright test",
        "rspec, rake (test|spec), rails test, phpunit, gradlew? .*(test|check)",
        "mvnw? .*(test|verify), dotnet test, bazel test, mix test, swift test, zig (build )?test",
        "stack test, cabal test, sbt .*test, make (test|check), just test, meson test",
    ),
    "compile": _forms(
        "py_compile, compileall, tsc, mypy, pyright, basedpyright, ty check",
        "cargo (build|check|clippy), go (build|vet), make, cmake, ninja, meson compile",
        r"(gcc|g\+\+|clang|clang\+\+|cc|c\+\+)(-[0-9.]+)?, rustc, javac, kotlinc, swiftc",
        "swift build, zig build, ghc, gradlew? .*(build|assemble|compile).*",
        "mvnw? .*(compile|package), dotnet build, bazel build, mix compile",
        rf"{_NODE} (run )?(build|compile|typecheck), nvcc, stack build, cabal build",
        "sbt .*compile",
    ),
    "other": _forms("ruff, flake8, pylint, eslint"),
}
"""How the commands of each kind begin, the first kind that fits; the one table of them.

`scripts/hook_patterns` writes the first words of it into the shells' hooks, so a form begins with
plain words, `(a|b)` and `?`. Words are one space apart. Of what is typed in a shell that which is
listed as `other` is recorded, and what is not listed is not.
"""
WRAPPERS = (
    *("env", "time", "nice", "nohup", "sudo", "xvfb-run", "exec", "run", "npx", "bunx", "uvx"),
    *("uv", "pipx", "poetry", "pdm", "hatch", "pipenv", "rye", "bundle", "coverage"),
)
"""Words that may stand before a command."""
PYTHON = r"(python|pypy)[0-9.]*w?(\.exe)?"
"""An interpreter: its `-m` names the command."""
_KINDS = {kind: re.compile(rf"({'|'.join(forms)})(\s|$)") for kind, forms in FORMS.items()}
_PYTHON = re.compile(PYTHON)
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=.*", re.DOTALL)
_JUNIT_IN = (
    *("pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml", "pyproject.toml", "tox.ini"),
    "setup.cfg",
)


def kind_of(argv: Sequence[str]) -> CommandKind:
    """The kind of a command, told by its words."""
    return _listed(argv) or "other"


def listed_kind(command: str) -> CommandKind | None:
    """The kind of a command as it was typed, behind assignments; None if the table has it not."""
    words = command.split()
    return _listed([*itertools.dropwhile(_ASSIGNMENT.fullmatch, words)])


def _listed(argv: Sequence[str]) -> CommandKind | None:
    start = _own_words_at(argv)
    line = " ".join([*map(os.path.basename, argv[start : start + 1]), *argv[start + 1 :]])
    return next((kind for kind, forms in _KINDS.items() if forms.match(line)), None)


def pytest_options_at(argv: Sequence[str], cwd: Path) -> int | None:
    """The index at which an option for pytest may be put into a command line.

    None if it is not pytest, or a JUnit file is asked for or forbidden already.
    """
    start = _own_words_at(argv)
    if start >= len(argv) or os.path.basename(argv[start]) not in ("pytest", "py.test"):
        return None
    options = [*argv[start + 1 :], os.environ.get("PYTEST_ADDOPTS", "")]
    if any("junit" in word for word in options) or any(
        _mentions_junit(cwd / name) for name in _JUNIT_IN
    ):
        return None
    return start + 1


def _own_words_at(argv: Sequence[str]) -> int:
    """The index of the command itself, after `env X=1`, `uv run`, `coverage run -m` and the like.

    `python -m` is passed over too.
    """
    at = 0
    while at < len(argv):
        word = os.path.basename(argv[at])
        if _PYTHON.fullmatch(word):
            module = next(
                (
                    i
                    for i in range(at + 1, len(argv))
                    if argv[i] == "-m" or not argv[i].startswith("-")
                ),
                len(argv),
            )
            return module + 1 if module < len(argv) and argv[module] == "-m" else at
        if not (
            word in WRAPPERS
            or (at > 0 and (_ASSIGNMENT.fullmatch(word) or word.startswith("-") or word.isdigit()))
        ):
            return at
        at += 1
    return at


def _mentions_junit(file: Path) -> bool:
    try:
        return "junit" in file.read_text("utf-8", "replace")
    except OSError:
        return False
