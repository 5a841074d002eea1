"""What kind of command a command line is, told by its words.

What is not known is `other`, which is evidence of nothing. A linter is `other`: its findings are no
failure to compile. The type checkers are `compile`. Of `make` the targets tell: to clean up is
`other`, and so is a target of a name that says nothing.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Literal

from qi_learn.capture.command_words import ASSIGNMENT, CommandWords, read_words
from qi_learn.capture.silent_commands import only_tells

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
        "cargo (build|check|clippy), go (build|vet), make, cmake --build, ninja, meson compile",
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
_KINDS = {kind: re.compile(rf"({'|'.join(forms)})(\s|$)") for kind, forms in FORMS.items()}
_BUILDS = re.compile(
    r"all|build|compile|default|release|debug|libs?|bins?|binary|shared|static|modules|exe"
    r"|build[-_].*|.*[-_]build|.*\.(?:o|a|so|ko|elf|exe|wasm|bin)"
)
_TESTS = re.compile(r"tests?|checks?|unittests?|(?:test|check)[-_].*|.*[-_](?:tests?|check)")
_MAKES = ("make", "gmake", "ninja")


def kind_of(argv: Sequence[str]) -> CommandKind:
    """The kind of a command, told by its words."""
    return _listed(argv) or "other"


def listed_kind(command: str) -> CommandKind | None:
    """The kind of a command as it was typed, behind assignments; None if the table has it not."""
    words = command.split()
    return _listed([*itertools.dropwhile(ASSIGNMENT.fullmatch, words)])


def _listed(argv: Sequence[str]) -> CommandKind | None:
    words = read_words(argv)
    if words.tool == "manage.py":
        return "test" if words.words[1:2] == ("test",) else None
    line = " ".join(words.words)
    kind = next((kind for kind, forms in _KINDS.items() if forms.match(line)), None)
    if words.tool in _MAKES or (words.tool == "cmake" and kind is not None):
        return _of_targets(words)
    return kind


def _of_targets(words: CommandWords) -> CommandKind:
    """The kind of what is to be made; without a word of it, what a build makes by itself."""
    targets = words.named
    if words.tool == "cmake":
        at = [i for i, word in enumerate(words.words) if word in ("--target", "-t")]
        targets = words.words[at[0] + 1 :] if at else ()
    elif only_tells(words):
        return "other"
    if any(_TESTS.fullmatch(target) for target in targets):
        return "test"
    for kind in ("deploy", "bench"):
        if kind in targets:
            return kind
    if all(_BUILDS.fullmatch(target) for target in targets):
        return "compile"
    return "other"
