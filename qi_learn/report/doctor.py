"""`qi-learn doctor`: one check for each known cause of trouble, with what to do.

It changes nothing, and if one check cannot be made it goes on to the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain

from qi_learn.errors import QiError
from qi_learn.paths import Paths
from qi_learn.report.asking import at_once
from qi_learn.report.check_files import database, model, permissions, projects, spool
from qi_learn.report.check_home import home
from qi_learn.report.check_parts import (
    backend,
    disk,
    git,
    hooks,
    languages,
    parts,
    sandbox,
    secrets,
    sqlite,
)
from qi_learn.report.check_running import daemon, recording, server, service, watching
from qi_learn.report.finding import Finding
from qi_learn.report.running import Running, look_quietly
from qi_learn.settings import Settings
from qi_learn.settings_file import load_settings, retired_keys

Check = Callable[[Paths, Settings], Iterator[Finding]]
CheckOfRunning = Callable[[Paths, Settings, Running], Iterator[Finding]]
CHECKS: tuple[Check, ...] = (
    home,
    service,
    model,
    database,
    spool,
    parts,
    secrets,
    languages,
    backend,
    git,
    sandbox,
    sqlite,
    disk,
    permissions,
    hooks,
)
"""In the order in which they are shown, those of what runs after the first."""
CHECKS_OF_RUNNING: tuple[CheckOfRunning, ...] = (daemon, server, recording, projects, watching)


def examine(paths: Paths) -> tuple[Finding, ...]:
    """The findings of every check, in order; none of them raises.

    Settings that cannot be used are a finding, and the other checks go by the defaults.
    """
    try:
        settings = load_settings(paths.settings_file)
        said = " ".join(("can be used.", *retired_keys(paths.settings_file)))
        first = Finding("settings", True, f"The settings ({paths.settings_file}) {said}")
    except QiError as error:
        settings = Settings()
        first = Finding("settings", False, error.what, error.hint)
    except OSError as error:
        settings = Settings()
        first = _not_looked_at("settings", error)
    of_running, (before, *after) = at_once(
        lambda: _of_running(paths, settings),  # what hangs is waited for: meanwhile the others
        lambda: [_of(check, paths, settings) for check in CHECKS],
    )
    return (first, *before, *of_running, *chain.from_iterable(after))


def _of(check: Check, paths: Paths, settings: Settings) -> list[Finding]:
    return _findings(check.__name__, lambda: check(paths, settings))


def _of_running(paths: Paths, settings: Settings) -> list[Finding]:
    """The findings on what runs, which is asked once."""
    try:
        now = look_quietly(paths, settings)
    except OSError as error:
        return [_not_looked_at("daemon", error)]
    return [
        found
        for check in CHECKS_OF_RUNNING
        for found in _findings(check.__name__, partial(check, paths, settings, now))
    ]


def _findings(name: str, check: Callable[[], Iterator[Finding]]) -> list[Finding]:
    try:
        return list(check())
    except QiError as error:
        return [Finding(name, False, error.what, error.hint)]
    except (OSError, ValueError) as error:
        return [_not_looked_at(name, error)]


def _not_looked_at(name: str, error: Exception) -> Finding:
    hint = "Check who owns it, and that the disk is healthy."
    return Finding(name, False, f"It cannot be looked at: {error}", hint)


def as_text(finding: Finding) -> str:
    """A finding for a person."""
    hint = f"\n   -> {finding.hint}" if finding.hint else ""
    return f"{'ok  ' if finding.ok else 'MEND'}  {finding.what}{hint}"
