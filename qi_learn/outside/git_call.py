"""How git is asked: one process a question, so that nobody's settings change its answer.

The invariant: a question reads the repository and nothing else. It takes no lock that git could do
without, and starts no pager, editor, hook, file monitor or helper for passwords. It never fetches:
what a partial clone does not have is missing, not on its way. Left as they are: which files the
person ignores, whose repositories the person trusts, and the filters of the person's attributes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from qi_learn.errors import NotFound
from qi_learn.outside.process import Finished, run

TIMEOUT = 30.0
MAX_OUTPUT = 256 * 1024 * 1024
"""Bytes of an answer: the names and ids of some two million files."""
_SETTINGS = (
    "core.fsmonitor=false",
    f"core.hooksPath={os.devnull}",
    "core.pager=cat",
    "core.editor=false",
    "core.askPass=false",
    "core.sshCommand=false",
    "core.quotePath=false",
    "credential.helper=",
    "gc.auto=0",
    "maintenance.auto=false",
    "color.ui=false",
    "color.grep=false",
    "diff.ignoreSubmodules=none",
    "diff.noprefix=false",
    "grep.lineNumber=false",
    "grep.column=false",
    "grep.fullName=false",
    "grep.fallbackToNoIndex=false",
    "log.showSignature=false",
    "log.mailmap=false",
    "i18n.logOutputEncoding=UTF-8",
    "submodule.recurse=false",
    "trace2.normalTarget=0",
    "trace2.perfTarget=0",
    "trace2.eventTarget=0",
)
"""Settings of which some change an answer, and others run a program of the person's."""
_ENVIRONMENT = {
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",  # before git 2.45 the one way to keep it from fetching
    "GIT_ASKPASS": "false",
    "SSH_ASKPASS": "false",
    "SSH_ASKPASS_REQUIRE": "never",
    "GIT_SSH_COMMAND": "false",
    "GIT_EDITOR": "false",
    "GIT_PAGER": "cat",
    "PAGER": "cat",
    "LC_ALL": "C",  # its words are shown next to English ones, and some are read
}
_PREFIX = ("git", "--no-pager", *(part for setting in _SETTINGS for part in ("-c", setting)))


def ask(directory: Path, *arguments: str, given: bytes = b"", check: bool = True) -> Finished:
    """Ask git a question in a directory.

    Raises NotFound if it took too long, or with `check` if git refuses; ToolMissing without git.
    """
    done = run(
        command(*arguments),
        cwd=directory,
        env=environment(),
        given=given,
        timeout=TIMEOUT,
        max_output=MAX_OUTPUT,
    )
    if done.timed_out or (check and done.exit_code != 0):
        raise refused(directory, done)
    return done


def command(*arguments: str) -> list[str]:
    """The command that asks git."""
    return [*_PREFIX, *arguments]


def environment() -> dict[str, str]:
    """The environment in which git is asked."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or name.startswith("GIT_CONFIG")
    }
    kept.pop("LANGUAGE", None)
    return kept | _ENVIRONMENT


def refused(directory: Path, done: Finished) -> NotFound:
    """The error that says in which words git refused, and how to try it."""
    reason = done.error_text or f"exit code {done.exit_code}"
    if done.timed_out:
        reason = "it took too long"
    return NotFound(
        f"git cannot answer in {directory}: {reason}",
        f"Try it yourself: git -C {directory} {' '.join(done.argv[len(_PREFIX) :])}",
    )


def names(done: Finished) -> tuple[str, ...]:
    """The names that an answer with `-z` lists, each once."""
    listed = done.output.decode("utf-8", "surrogateescape").split("\0")
    return tuple(dict.fromkeys(name for name in listed if name))


def listing(paths: Iterable[str]) -> bytes:
    """Names as git reads them with `-z --stdin`."""
    return "".join(f"{path}\0" for path in paths).encode("utf-8", "surrogateescape")
