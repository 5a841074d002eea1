"""Which files a command can speak for: those it could see.

A command speaks for the files below the directory in which it worked, in the languages that its
tool understands, within what it was told to look at. If it is known which files took part (a
report of tests, what was imported, coverage), it speaks for those alone. Otherwise it is unknown,
which is nothing. Places are compared as they are written: links are not followed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import PurePosixPath

from qi_learn.capture.command_words import CommandWords


def _are(suffixes: str) -> frozenset[str]:
    return frozenset(f".{suffix}" for suffix in suffixes.split())


PYTHON = _are("py pyi pyx ipynb")
JAVASCRIPT = _are("js jsx mjs cjs ts tsx mts cts vue svelte")
TYPESCRIPT = _are("ts tsx mts cts vue")
RUST, GO, C = _are("rs"), _are("go"), _are("c cc cpp cxx h hh hpp hxx m mm cu cuh s")
JVM = _are("java kt kts groovy scala")
COMPILED = C | RUST | GO | JVM | _are("f f90 zig swift hs ml mli ex erl cs fs vb d nim pas ada adb")
CODE = (
    COMPILED | PYTHON | JAVASCRIPT | _are("rb php lua pl sh bash zig exs clj dart jl r R css scss")
)
_LANGUAGES: dict[str, frozenset[str]] = {
    **dict.fromkeys(
        ("pytest", "py.test", "tox", "nox", "unittest", "doctest", "manage.py"), PYTHON
    ),
    **dict.fromkeys(("mypy", "pyright", "basedpyright", "ty", "py_compile", "compileall"), PYTHON),
    **dict.fromkeys(("ruff", "flake8", "pylint", "asv", "twine"), PYTHON),
    **dict.fromkeys(("npm", "pnpm", "yarn", "bun", "deno", "jest", "vitest", "mocha"), JAVASCRIPT),
    **dict.fromkeys(("playwright", "eslint"), JAVASCRIPT),
    "tsc": TYPESCRIPT,
    **dict.fromkeys(("cargo", "rustc"), RUST),
    "go": GO,
    **dict.fromkeys(("gcc", "g++", "clang", "clang++", "cc", "c++", "nvcc", "ctest"), C),
    **dict.fromkeys(("javac", "kotlinc", "mvn", "mvnw", "gradle", "gradlew", "sbt"), JVM),
    **dict.fromkeys(("rspec", "rake", "rails"), _are("rb erb")),
    "phpunit": _are("php"),
    "dotnet": _are("cs fs vb"),
    "mix": _are("ex exs"),
    "swift": _are("swift"),
    "swiftc": _are("swift"),
    "zig": _are("zig"),
    **dict.fromkeys(("stack", "cabal", "ghc"), _are("hs")),
}
"""By tool: the files that it understands. A tool that is not here runs what others are."""
_TEST_FILE = re.compile(
    r"(?:^|/)(?:test_[^/]*\.py|[^/]*_test\.(?:py|go|rb|exs|cc|cpp)|conftest\.py"
    r"|[^/]*\.(?:test|spec)\.[cm]?[jt]sx?|[^/]*(?:Test|Tests|Spec)\.(?:java|kt|scala|cs))$"
)
_NAME_TESTS = ("pytest", "py.test", "go", "cargo")
_TESTS = re.compile(r"tests?|specs?|__tests__|testing")
_PACKAGE = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")


def speaks_for(
    file: str,
    words: CommandWords,
    kind: str,
    cwd: str | None,
    tests: Collection[str] | None = None,
    loaded: Collection[str] | None = None,
) -> bool:
    """Whether a command that ran in `cwd` can say something of a file (both absolute).

    `tests`: the files of the tests that ran, `loaded`: the other files that took part, both seen
    from `cwd`; None if that is unknown. False if it cannot, or if that is not known.
    """
    if cwd is None or not understands(file, words, kind, cwd):
        return False
    base = _base(words, cwd)
    if kind == "deploy":
        return _within_parts(file, base, words.parts)
    if loaded is not None:
        return _is_among(file, cwd, (*loaded, *(tests or ())))
    if tests is not None and _TEST_FILE.search(file):
        return _is_among(file, cwd, tests)
    if not _within_parts(file, base, words.parts):
        return False
    if kind == "bench" and words.tool not in _NAME_TESTS:
        return True  # what it names is the program that is measured
    named = tests if tests is not None and words.named else words.named
    start = cwd if named is tests else base
    return not words.named or any(_means(words, name, start, file, kind) for name in named or ())


def understands(file: str, words: CommandWords, kind: str, cwd: str) -> bool:
    """Whether a file lies below the directory of a command, and its tool knows the language."""
    if not _is_below(file, _base(words, cwd)):
        return False
    return kind == "deploy" or PurePosixPath(file).suffix in _understood(words.tool, kind)


def _base(words: CommandWords, cwd: str) -> str:
    """The directory in which a command that ran in `cwd` worked."""
    return os.path.normpath(os.path.join(cwd, words.place))


def _understood(tool: str, kind: str) -> frozenset[str]:
    """The suffixes of the files that a tool understands."""
    compiler = re.sub(r"-[0-9.]+$", "", tool)
    own = _LANGUAGES.get(compiler)
    if own is None:
        return COMPILED if kind == "compile" else CODE
    return own


def _is_below(file: str, directory: str) -> bool:
    return file == directory or file.startswith(directory.rstrip("/") + "/")


def _is_among(file: str, cwd: str, places: Collection[str]) -> bool:
    return os.path.relpath(file, cwd) in places or file in places


def _within_parts(file: str, base: str, parts: Collection[str]) -> bool:
    """Whether a file lies in a directory with the name of one of the parts, if there are any."""
    if not parts:
        return True
    within = os.path.dirname(os.path.relpath(file, base))
    directories = [directory.replace("_", "-") for directory in within.split("/")]
    names = (os.path.basename(part.strip("./")).replace("_", "-") for part in parts)
    return any(name in directories for name in names)


def _means(words: CommandWords, name: str, base: str, file: str, kind: str) -> bool:
    """Whether a name that a command was given means a file, or a test that is of that file."""
    if words.tool == "cargo":  # it is a part of the tests' own names
        steps = os.path.relpath(file, base).removesuffix(".rs").split("/")
        return any(step in steps for step in name.split("::"))
    if words.tool in ("make", "gmake", "ninja", "cmake", "mvn", "mvnw", "gradle", "gradlew", "mix"):
        return True  # it is a target
    if words.tool in ("npm", "pnpm", "yarn", "bun", "just", "tox", "nox", "rake", "manage.py"):
        return "/" not in name or _holds(words, name, base, file)
    if words.tool in ("unittest", "doctest") and _PACKAGE.fullmatch(name):
        name = name.replace(".", "/")
    if _holds(words, name, base, file):
        return True
    return kind == "test" and (_is_test_of(name, file) or _are_tests_of(name, base, file))


def _holds(words: CommandWords, name: str, base: str, file: str) -> bool:
    """Whether a file is what is named, or below it."""
    name = name.partition("::")[0]
    place = os.path.normpath(os.path.join(base, name.removesuffix("/...")))
    if words.tool == "go" and not name.endswith("..."):
        return os.path.dirname(file) == place or file == place
    return _is_below(file, place) or file == f"{place}.py"


def _are_tests_of(name: str, base: str, file: str) -> bool:
    """Whether a directory of tests is that of a file: `tests` of all, `tests/store` of `store`."""
    above, step = os.path.split(os.path.normpath(os.path.join(base, name)))
    if _TESTS.fullmatch(step):
        return _is_below(file, above)
    below = os.path.relpath(above, base).split("/")
    if PurePosixPath(step).suffix or not any(_TESTS.fullmatch(each) for each in below):
        return False
    return step in os.path.relpath(os.path.dirname(file), base).split("/")


def _is_test_of(name: str, file: str) -> bool:
    """Whether a file of tests is called after another file: `tests/test_mean.py`, `mean.py`."""
    stem = PurePosixPath(name.partition("::")[0]).name.partition(".")[0]
    own = PurePosixPath(file).name.partition(".")[0]
    bare = re.sub(r"^test_|_test$|_spec$|Tests?$|Spec$", "", stem)
    return bare == own and bare != ""
