"""Commands that say nothing of code, however they end: they only tell, list, try or tidy up.

Also what counts as nothing of a command that ran: it could not be run, a signal ended it, or no
test was among what it did. Where only a part of the tests was asked for and nothing says how many
ran, that it passed says nothing either.
"""

from __future__ import annotations

import re

from qi_learn.capture.command_words import CommandWords

NO_VERDICT = 126
"""From this exit code on the shell tells that a command could not be run, or which signal ended
it. That says nothing of the code.
"""
PYTEST = ("pytest", "py.test")
PYTEST_NO_VERDICT = (3, 4, 5)
"""pytest's exit codes for an internal error, a usage error, and no tests collected."""
PYTEST_INTERRUPTED = 2
"""pytest's exit code for Ctrl-C, and for a module that could not be imported."""
_ANYWHERE = frozenset(("--version", "--help", "--dry-run", "--just-print", "--recon"))
_ONLY_TELL: dict[str, frozenset[str]] = {
    "pytest": frozenset(
        (
            *("--collect-only", "--co", "--collectonly", "--fixtures", "--funcargs", "--markers"),
            *("--fixtures-per-test", "--setup-only", "--setup-plan", "--cache-show", "-h", "-V"),
        )
    ),
    "cargo": frozenset(("--no-run", "--list", "-h", "-V", "--build-plan", "--unit-graph")),
    "go": frozenset(("-list", "-n", "-h", "-c")),
    "jest": frozenset(("--listTests", "--showConfig", "-h", "-v", "--clearCache", "--init")),
    "vitest": frozenset(("-h", "-v", "--clearCache")),
    "playwright": frozenset(("--list", "-h", "-V")),
    "mocha": frozenset(("-h", "-V", "--list-files", "--list-reporters")),
    "tsc": frozenset(("--init", "--showConfig", "--listFilesOnly", "--clean", "--dry", "-h", "-v")),
    "mypy": frozenset(("-h", "-V", "--install-types")),
    "make": frozenset(("-n", "-q", "--question", "-t", "--touch", "-h", "-v", "-p")),
    "ninja": frozenset(("-n", "-t", "-h")),
    "ctest": frozenset(("-N", "--show-only", "-h", "--print-labels")),
    "tox": frozenset(("-l", "--listenvs", "-a", "--listenvs-all", "--notest", "-h")),
    "nox": frozenset(("-l", "--list", "--list-sessions", "--install-only", "-h")),
    "mvn": frozenset(("-v", "-h")),
    "gradle": frozenset(("-m", "-v", "-h", "-x", "--exclude-task")),
    "dotnet": frozenset(("-t", "--list-tests", "-h")),
    "ansible-playbook": frozenset(
        ("--check", "-C", "--syntax-check", "--list-tasks", "--list-hosts", "--list-tags", "-h")
    ),
    "bazel": frozenset(("--nobuild", "-h")),
    "rspec": frozenset(("-h", "-v")),
    "hyperfine": frozenset(("-h", "-V")),
    **dict.fromkeys(("npm", "pnpm", "yarn", "bun"), frozenset(("-h", "-v", "--listTests"))),
}
_ONLY_TELL |= {
    "py.test": _ONLY_TELL["pytest"],
    "gmake": _ONLY_TELL["make"],
    "mvnw": _ONLY_TELL["mvn"],
    "gradlew": _ONLY_TELL["gradle"],
}
_SUBCOMMANDS_TELL = {
    ("cargo", "nextest", "list"),
    ("vitest", "list"),
    ("kubectl", "rollout", "history"),
    ("kubectl", "rollout", "undo"),
    ("kubectl", "rollout", "pause"),
    ("terraform", "apply", "-refresh-only"),
    ("vercel", "dev"),
    ("vercel", "env"),
    ("vercel", "logs"),
    ("vercel", "ls"),
    ("vercel", "list"),
    ("vercel", "login"),
    ("vercel", "inspect"),
    ("vercel", "link"),
    ("vercel", "pull"),
    ("vercel", "rollback"),
    ("vercel", "whoami"),
    ("vercel", "build"),
}
"""How commands begin that only tell of what there is, or take it back."""
_NARROW: dict[str, frozenset[str]] = {
    "pytest": frozenset(
        ("-k", "--lf", "--last-failed", "--sw", "--stepwise", "--deselect", "--nf", "--picked")
    ),
    "go": frozenset(("-run", "-skip")),
    "jest": frozenset(("-t", "--testNamePattern", "-o", "--onlyChanged", "--passWithNoTests")),
    "vitest": frozenset(("-t", "--testNamePattern", "--changed", "--passWithNoTests")),
    "mocha": frozenset(("-g", "--grep", "-f", "--fgrep")),
    "playwright": frozenset(("-g", "--grep", "--pass-with-no-tests")),
    "rspec": frozenset(("-e", "--example", "--tag", "-t", "--only-failures")),
    "ctest": frozenset(("-R", "-E", "-L", "-LE", "--rerun-failed")),
    "dotnet": frozenset(("--filter",)),
    "gradle": frozenset(("--tests",)),
    "mvn": frozenset(("-Dtest", "-Dit.test")),
    "phpunit": frozenset(("--filter", "--group")),
    "swift": frozenset(("--filter", "--skip")),
}
_NARROW |= {"py.test": _NARROW["pytest"], "gradlew": _NARROW["gradle"], "mvnw": _NARROW["mvn"]}
"""Options by which a part of the tests is chosen by name, perhaps none."""
_MAKE_TELLS = re.compile(r"-[BdeikprRsSwL]*[nqt][BdeikprRsSwLnqt]*")
_SKIPS_TESTS = frozenset(("-DskipTests", "-Dmaven.test.skip", "-DskipITs"))
_REAL = re.compile(r"--dry-run=(?:none|false)")


def only_tells(words: CommandWords) -> bool:
    """Whether the command says nothing of the code: it lists, shows, tries, or tidies up."""
    if any(words.words[: len(form)] == form for form in _SUBCOMMANDS_TELL):
        return True
    if not words.tool:
        return True
    told = _ANYWHERE | _ONLY_TELL.get(words.tool, frozenset())
    given = [w for w in words.words[1:] if w.startswith("-") and not _REAL.fullmatch(w)]
    if any(w.partition("=")[0] in told for w in given):
        return True
    if words.tool in ("make", "gmake"):  # letters of one dash stand together: `-kn`
        return any(_MAKE_TELLS.fullmatch(word) for word in given)
    return False


def may_run_nothing(words: CommandWords) -> bool:
    """Whether the command chooses tests by name, and ends well also if there is none."""
    if words.tool == "cargo":
        return bool(words.named)
    narrow = _NARROW.get(words.tool, frozenset())
    return any(option in narrow for option in words.options)


def says_nothing(
    words: CommandWords,
    kind: str,
    exit_code: int,
    counts: tuple[int | None, int | None],
    *,
    interrupted: bool | None = None,
) -> bool:
    """Whether one run of a command says nothing. `counts`: failed and passed, if they are known."""
    failed, passed = counts
    if exit_code >= NO_VERDICT or exit_code < 0 or interrupted or only_tells(words):
        return True
    if kind == "test" and failed is not None and passed is not None and failed + passed == 0:
        return exit_code == 0 or words.tool in PYTEST
    if kind == "test" and _SKIPS_TESTS & set(words.options):
        return True
    if words.tool in PYTEST:
        if exit_code in PYTEST_NO_VERDICT:
            return True
        if exit_code == PYTEST_INTERRUPTED:
            return not failed
    return kind == "test" and exit_code == 0 and passed is None and may_run_nothing(words)
