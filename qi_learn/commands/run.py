"""`qi-learn run -- CMD`: the command runs unchanged, and its exit code comes back.

Its outcome goes to the spool.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import get_args, get_type_hints

from qi_learn.capture.outcome import run_command
from qi_learn.errors import NotFound, QiError, SettingsError
from qi_learn.outside.boot_clock import boot_clock
from qi_learn.paths import Paths, refuse_unusable_home
from qi_learn.records import CommandResult
from qi_learn.rundir.recording_pause import PauseFile, pause_now, read_pauses, until_text
from qi_learn.spool import Spool
from qi_learn.workspace.registry import project_of

KINDS: tuple[str, ...] = get_args(get_type_hints(CommandResult)["kind"])
_RECORDED = (
    *("kind", "command", "exit_code", "seconds", "failed", "passed", "commit", "value", "cwd"),
    *("interrupted", "tests", "loaded", "failing", "covered"),
)
"""Fields of the result that the event carries."""


def run(
    paths: Paths | QiError, command: Sequence[str], *, kind: str | None, directory: Path
) -> tuple[int, str]:
    """Run the command; return its exit code, and what went wrong with its outcome.

    The second is filled if the outcome could not be written down: whatever is wrong with the home
    (full, read-only, another user's, damaged) changes nothing for the command. `paths`: the home,
    or why there can be none.

    Raises SettingsError for an unknown kind, NotFound (with a shell's exit code) if there is no
    such command.
    """
    if kind is not None and kind not in KINDS:
        raise SettingsError(f"{kind!r} is not a kind of command.", f"Kinds: {', '.join(KINDS)}.")
    if isinstance(paths, QiError):
        project, problem = str(directory), _problem(paths)
    else:
        project, problem = _project(paths, directory)
    result, _ = run_command(command, project=project, kind=kind, cwd=directory)
    if problem or isinstance(paths, QiError):
        return result.exit_code, problem
    return result.exit_code, record_outcome(paths, result)


def _project(paths: Paths, directory: Path) -> tuple[str, str]:
    """The project around a directory, else itself, and why the projects cannot be looked up."""
    try:
        refuse_unusable_home(paths)
        return str(project_of(paths, directory) or directory), ""
    except (QiError, OSError) as error:
        return str(directory), _problem(error)


def record_outcome(paths: Paths, result: CommandResult, *, source: str = "run") -> str:
    """Write the outcome to the spool; what went wrong, or an empty text."""
    body = {name: value for name in _RECORDED if (value := getattr(result, name)) is not None}
    if not paths.data.exists():  # never set up, or taken away by `uninstall`
        return _problem(NotFound(f"There is no home at {paths.data}.", "`qi-learn init` makes it."))
    now = time.time()
    if pause := pause_now(read_pauses(paths.pause), now, boot_clock()):
        return f"Recording is paused {until_text(pause)}: the outcome was not written down."
    if PauseFile(paths.pause, mark=boot_clock).between(now - result.seconds, now):
        return "Recording was paused while it ran: the outcome was not written down."
    try:
        spool = Spool(paths.ensure().spool, source)
        try:
            spool.append("outcome", body, author="person", project=result.project)
        finally:
            spool.close()
    except (QiError, OSError) as error:
        return _problem(error)
    return ""


def _problem(error: QiError | OSError) -> str:
    """In one sentence, with what to do."""
    if isinstance(error, QiError):
        what, hint = error.what, f" {error.hint}" if error.hint else ""
    else:
        what, hint = f"{error.filename}: {error.strerror}", ""
    return f"The outcome of the command could not be written down. {what}{hint}"
