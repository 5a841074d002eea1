"""The words of a command line: whose command it is, where it works, what it names.

Only words are read, never a disk. A word that is not understood is a name of something, so that
more is unknown, and nothing is made up.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

WRAPPERS = (
    *("env", "time", "nice", "nohup", "sudo", "xvfb-run", "exec", "run", "npx", "bunx", "uvx"),
    *("uv", "pipx", "poetry", "pdm", "hatch", "pipenv", "rye", "bundle", "coverage"),
)
"""Words that may stand before a command."""
PYTHON = r"(python|pypy)[0-9.]*w?(\.exe)?"
"""An interpreter: its `-m` names the command."""
ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=.*", re.DOTALL)
_PYTHON = re.compile(PYTHON)
_WRAPPERS_TAKE = frozenset(
    (
        *("--with", "--with-requirements", "--with-editable", "--extra", "--group", "--package"),
        *("--env-file", "--python", "-p", "--project", "--directory", "--from", "--source"),
        *("--rcfile", "--data-file", "--omit", "--include", "-u", "--unset", "-C", "--chdir"),
    )
)
"""Options of wrappers with a word behind them that is no command."""
_NODE = frozenset(("npm", "pnpm", "yarn", "bun"))
_PLACES: dict[str, frozenset[str]] = {
    **dict.fromkeys(_NODE, frozenset(("--prefix", "-C", "--dir", "--cwd"))),
    **dict.fromkeys(("make", "gmake", "ninja", "meson"), frozenset(("-C", "--directory"))),
    "go": frozenset(("-C",)),
    "cargo": frozenset(("-C", "--manifest-path")),
    **dict.fromkeys(("mvn", "mvnw"), frozenset(("-f", "--file"))),
    **dict.fromkeys(("gradle", "gradlew"), frozenset(("-p", "--project-dir"))),
    **dict.fromkeys(("jest", "vitest"), frozenset(("--rootDir", "--root", "--dir"))),
    **dict.fromkeys(("tsc",), frozenset(("-p", "--project"))),
    "cmake": frozenset(("--build",)),
    "ctest": frozenset(("--test-dir",)),
}
"""Options that say in which directory a tool works, or which file of it says what is to be done."""
_PARTS: dict[str, frozenset[str]] = {
    **dict.fromkeys(_NODE, frozenset(("-w", "--workspace", "--filter", "-F"))),
    "cargo": frozenset(("-p", "--package")),
    **dict.fromkeys(("mvn", "mvnw"), frozenset(("-pl", "--projects"))),
}
"""Options that name a part of a project, which has a directory of about that name."""
_TAKES: dict[str, frozenset[str]] = {
    "pytest": frozenset(
        (
            *("-k", "-m", "-p", "-n", "-c", "-o", "-W", "-r", "--maxfail", "--rootdir", "--tb"),
            *("--durations", "--numprocesses", "--dist", "--junitxml", "--junit-xml", "--basetemp"),
            *("--confcutdir", "--override-ini", "--color", "--cov-report", "--cov-config"),
            *("--timeout", "--ignore", "--ignore-glob", "--deselect", "--import-mode", "--capture"),
            *("--log-level", "--log-file", "--reruns", "--randomly-seed", "--splits", "--group"),
        )
    ),
    "mypy": frozenset(
        (
            *("--config-file", "--python-version", "--platform", "--cache-dir", "--exclude"),
            *("--python-executable", "--junit-xml", "--output", "-O", "-n", "--follow-imports"),
        )
    ),
    "ruff": frozenset(
        ("--output-format", "--config", "--select", "--ignore", "--exclude", "-o", "--output-file")
    ),
    "pyright": frozenset(("-p", "--project", "--pythonversion", "--level", "--pythonpath")),
    "tsc": frozenset(("-t", "--target", "-m", "--module", "--outDir", "--lib", "--jsx")),
    "eslint": frozenset(("-c", "--config", "-f", "--format", "-o", "--output-file", "--ext")),
    "jest": frozenset(
        (
            *("-t", "--testNamePattern", "-c", "--config", "--outputFile", "--maxWorkers", "-w"),
            *("--reporters", "--coverageReporters", "--env", "--coverageDirectory"),
        )
    ),
    "vitest": frozenset(
        ("-t", "--testNamePattern", "-c", "--config", "--reporter", "--outputFile", "--project")
    ),
    "go": frozenset(
        (
            *("-run", "-skip", "-count", "-timeout", "-tags", "-cpu", "-parallel", "-p", "-o"),
            *("-coverprofile", "-coverpkg", "-covermode", "-bench", "-benchtime", "-ldflags"),
            *("-gcflags", "-mod", "-exec", "-list", "-fuzz", "-fuzztime", "-shuffle", "-vet"),
        )
    ),
    "cargo": frozenset(
        (
            *("--features", "-F", "--target", "--bin", "--test", "--example", "--bench", "-j"),
            *("--jobs", "--profile", "--target-dir", "--exclude", "--color", "--message-format"),
            *("--config", "-Z", "-E", "--test-threads"),
        )
    ),
    "make": frozenset(("-f", "--file", "-o", "-W", "-I", "-l", "-j", "--jobs")),
}
"""Options with a word behind them that is no name of a file, by tool."""
_TAKES |= {"py.test": _TAKES["pytest"], "gmake": _TAKES["make"], "basedpyright": _TAKES["pyright"]}
_SUBCOMMANDS = {
    **dict.fromkeys(_NODE, 1),
    **dict.fromkeys(("go", "cargo", "ruff", "dotnet", "deno", "zig", "swift", "vitest"), 1),
}


@dataclass(frozen=True, slots=True)
class CommandWords:
    """A command line that was read."""

    tool: str
    """The command itself, without its directory and what stands before it; empty if none."""
    words: tuple[str, ...]
    """The tool and what follows it; options that say where it works are left out."""
    place: str = ""
    """Where it works, seen from where it was run; empty if that is the same."""
    parts: tuple[str, ...] = ()
    """The parts of the project that it is told to work on, by name; none if it is the whole."""
    named: tuple[str, ...] = ()
    """What it names besides options: mostly files and directories."""

    @property
    def options(self) -> tuple[str, ...]:
        """The words that begin with `-`, without what is given to them."""
        return tuple(w.partition("=")[0] for w in self.words[1:] if w.startswith("-"))


def own_words_at(argv: Sequence[str]) -> int:
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
            or (at > 0 and (ASSIGNMENT.fullmatch(word) or word.startswith("-") or word.isdigit()))
            or (at > 0 and argv[at - 1] in _WRAPPERS_TAKE)
        ):
            return at
        at += 1
    return at


@lru_cache(maxsize=4096)
def read_command(command: str) -> CommandWords:
    """The words of a command line as a shell takes it; empty if it cannot be taken apart."""
    try:
        words = shlex.split(command)
    except ValueError:
        return CommandWords("", ())
    first = next((i for i, word in enumerate(words) if not ASSIGNMENT.fullmatch(word)), len(words))
    return read_words(words[first:])


def read_words(argv: Sequence[str]) -> CommandWords:
    """The words of a command line that was taken apart."""
    own = list(argv[own_words_at(argv) :])
    if not own:
        return CommandWords("", ())
    tool = os.path.basename(own[0]).removesuffix(".exe")
    if _PYTHON.fullmatch(tool) and os.path.basename(own[1] if own[1:] else "") == "manage.py":
        own, tool = own[1:], "manage.py"
    kept, places, parts = _without_places(tool, own[1:])
    words = (tool, *_plain(tool, kept))
    return CommandWords(tool, words, os.path.join(*places) if places else "", parts, _named(words))


def _without_places(
    tool: str, words: Sequence[str]
) -> tuple[list[str], tuple[str, ...], tuple[str, ...]]:
    """The words without the options that say where the tool works, the places, and the parts."""
    kept: list[str] = []
    places: list[str] = []
    parts: list[str] = []
    at = 0
    while at < len(words):
        option, equals, value = words[at].partition("=")
        found = next(
            (
                into
                for into, known in ((places, _PLACES), (parts, _PARTS))
                if option in known.get(tool, ())
            ),
            None,
        )
        if found is None or (not equals and at + 1 >= len(words)):
            kept.append(words[at])
        else:
            if option == "--build":
                kept.append(option)
            found.append(value if equals else words[at + 1])
            at += 0 if equals else 1
        at += 1
    return kept, tuple(map(_directory, places)), tuple(parts)


def _directory(place: str) -> str:
    """The directory of a place that may be the file that says what is to be done there."""
    file = re.search(r"(?:^|/)[^/]*\.(?:json|toml|xml|gradle|kts)$", place)
    return os.path.dirname(place) if file else place


def _plain(tool: str, words: list[str]) -> list[str]:
    """The words as they are most often written: `cargo +nightly test` as `cargo test`."""
    if tool == "cargo" and words and words[0].startswith("+"):
        return words[1:]
    if tool in _NODE:
        rest = [word for word in words if word not in ("-s", "--silent", "--if-present")]
        if rest[:1] == ["run"] and rest[1:]:
            return ["run", rest[1].partition(":")[0], *rest[2:]]
        return rest
    return words


def _named(words: Sequence[str]) -> tuple[str, ...]:
    tool, rest = words[0], list(words[1:])
    takes = _TAKES.get(tool, frozenset())
    skipped = _SUBCOMMANDS.get(tool, 0) + (rest[:1] == ["run"] and tool in _NODE)
    found: list[str] = []
    at = 0
    while at < len(rest):
        word = rest[at]
        if word == "--" and tool in ("cargo", "go"):
            break  # what follows is the test program's
        if word in takes and not (word in ("-j", "--jobs") and not rest[at + 1 : at + 2]):
            at += 1 if word not in ("-j", "--jobs") or rest[at + 1].isdigit() else 0
        elif word.startswith("-") or (tool in ("make", "gmake") and "=" in word):
            pass
        elif skipped:
            skipped -= 1
        else:
            found.append(word)
        at += 1
    return tuple(found)
