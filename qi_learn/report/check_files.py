"""Checks of what was written: the journal of versions, database, spool, permissions, projects."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path

from qi_learn.deploy.journal import load_deployment
from qi_learn.paths import Paths
from qi_learn.report.finding import Finding
from qi_learn.report.running import Running
from qi_learn.report.words import counted
from qi_learn.settings import Settings
from qi_learn.spool import bad_lines
from qi_learn.store import audit, turns
from qi_learn.store.database import open_store
from qi_learn.workspace.qi_learn_ignore import NAME, QiLearnIgnore
from qi_learn.workspace.registry import load_projects


def model(paths: Paths, settings: Settings) -> Iterator[Finding]:
    """The journal of versions."""
    deployment = load_deployment(paths)
    yield Finding("model", True, f"{deployment.alias} is version {deployment.live}.")


def database(paths: Paths, settings: Settings) -> Iterator[Finding]:
    """The database: every text has the hash it was stored by."""
    if not paths.database.exists():
        yield Finding("database", True, "There is no database yet; the daemon makes it.")
        return
    with open_store(paths.database, readonly=True) as store:
        broken = str(store.rows("PRAGMA quick_check(1)")[0][0])
        wrong = [broken] if broken != "ok" else [*turns.verify(store), *audit.verify(store)]
    if not wrong:
        sound = "The database is sound: every text has the hash it was stored by."
        yield Finding("database", True, sound)
        return
    more = f" (and {len(wrong) - 3} more)" if len(wrong) > 3 else ""
    yield Finding(
        "database",
        False,
        f"The database is not as it was written: {'; '.join(wrong[:3])}{more}.",
        f"Keep a copy of {paths.database}; moved away, the daemon begins a new one. The live model "
        "and `qi-learn rollback` need none.",
    )


def spool(paths: Paths, settings: Settings) -> Iterator[Finding]:
    """Lines of the spool that were set aside."""
    if lines := bad_lines(paths.spool):
        yield Finding(
            "spool",
            False,
            f"{counted(lines, 'line')} not understood, set aside in {paths.spool / 'bad'}.",
            "Look at them, then delete those files.",
        )


def permissions(paths: Paths, settings: Settings) -> Iterator[Finding]:
    """What is recorded belongs to the user, and only he can read it."""
    existing = [
        p
        for p in (paths.config, paths.data, paths.state, paths.spool, paths.database)
        if p.exists()
    ]
    strange = [str(p) for p in existing if p.stat().st_uid != os.getuid()]
    wide = [str(p) for p in existing if p.stat().st_mode & 0o077]
    if strange:
        yield Finding(
            "permissions",
            False,
            f"Belongs to another user: {', '.join(strange)}.",
            f'Make it your own: `sudo chown -R "$USER" {shlex.join(strange)}`.',
        )
    if wide:
        yield Finding(
            "permissions",
            False,
            f"Others can read {', '.join(wide)}.",
            f"`chmod -R go= {shlex.join(wide)}`",
        )
    if not strange and not wide:
        yield Finding("permissions", True, "What is recorded is readable by you alone.")


def projects(paths: Paths, settings: Settings, now: Running) -> Iterator[Finding]:
    """The registered projects are there."""
    registered = load_projects(paths)
    gone = [str(p) for p in registered if not p.is_dir()]
    if not registered:
        yield Finding(
            "projects",
            False,
            "No project is registered: what becomes of suggestions is not seen.",
            "`qi-learn init PATH`",
        )
    elif gone:
        yield Finding(
            "projects",
            False,
            f"Registered but gone: {', '.join(gone)}.",
            f"`{shlex.join(['qi-learn', 'init', '--remove', gone[0]])}`",
        )
    else:
        plural = "s" if len(registered) > 1 else ""
        counted = f"{len(registered)} project{plural}"
        if why := _unwatched(now):
            yield Finding("projects", True, f"{counted} registered and not watched: {why}.")
        else:
            yield Finding("projects", True, f"{counted} watched.")
    yield from _rules(project for project in registered if str(project) not in gone)


def _rules(registered: Iterable[Path]) -> Iterator[Finding]:
    """The projects' own rules do what they say."""
    for rules in (QiLearnIgnore(str(project)) for project in registered):
        file = os.path.join(rules.root, NAME)
        if not rules.readable:
            what = f"{file} cannot be understood: nothing of that project is looked at."
            yield Finding("projects", False, what, "Write it in UTF-8, as a `.gitignore`.")
        for number, line in rules.without_effect():
            yield Finding(
                "projects",
                False,
                f"{file}, line {number}: `{line}` takes nothing back, for a directory above it is "
                "left out as a whole.",
                "Take that directory back first (`!directory/`), or leave out what is in it "
                "(`directory/*`).",
            )


def _unwatched(now: Running) -> str:
    """Why no project is watched in this moment; empty if the daemon does it."""
    if now.daemon is None:
        return "the daemon is not running"
    return "" if now.daemon_answers else "the daemon does not answer"
