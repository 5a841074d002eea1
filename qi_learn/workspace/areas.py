"""Finding the areas of a project, and putting them under watch.

A working tree of git below the project is an area of its own, with its own repository: a submodule,
a linked working tree, any other repository. Those linked to the project's repository are areas too
where git ignores them or they lie outside the project.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from qi_learn.errors import NotFound, QiError, ToolMissing
from qi_learn.outside import git
from qi_learn.records.watching import Stood
from qi_learn.workspace.area import Area, skipped
from qi_learn.workspace.event_source import NoRoom
from qi_learn.workspace.files import Walked, walk
from qi_learn.workspace.missed import begun_at, known_commit, made_since, not_seen, read_first
from qi_learn.workspace.observer import Observation
from qi_learn.workspace.places import identity, is_at, outermost
from qi_learn.workspace.repository_state import RepositoryState
from qi_learn.workspace.watched_project import WatchedProject

logger = logging.getLogger(__name__)
ASK_SECONDS = 60.0
"""Seconds after which git is asked again about a repository that it did not open."""


class Areas:
    """Puts areas of projects under watch."""

    def __init__(self, observation: Observation) -> None:
        self._observation = observation

    def begin(self, project: WatchedProject) -> None:
        """Watch a project, with its texts as they are now."""
        self._observation.begin(project.root)
        project.identity = identity(project.root, follow=True)
        self.begin_area(project, project.root, fresh=False)
        project.not_seen = not_seen(project)
        project.failed, project.starting = None, False

    def begin_anew_if_another(self, project: WatchedProject) -> bool:
        """Watch what is in a project's place now, if its directory was made anew; whether it was.

        With a repository its texts count from what git has; else from those that it had before.
        """
        now = identity(project.root, follow=True)
        main = project.areas.get(project.root)
        if now is None or main is None or project.identity is None or main.refused is not None:
            return False
        if now == project.identity and self._observation.watches(project.root):
            return False
        logger.warning("%s was made anew; it is watched from now on", project.root)
        for area in tuple(project.areas.values()):
            self._observation.forget(area.top)
        project.areas.clear()
        had_git, kept = main.repository is not None, main.files
        self.begin(project)
        area = project.areas[project.root]
        if had_git or area.repository is not None:
            project.budget.take(-sum(history.size for _, history in kept.below()))
            if area.repository is not None:
                area.pending |= area.repository.unlike_head()
        else:
            project.budget.take(-sum(history.size for _, history in area.files.below()))
            area.pending |= {name for name, _ in (*kept.below(), *area.files.below())}
            area.files = kept
        return True

    def look_again(self, project: WatchedProject) -> None:
        """Have everything in a project looked at: events may have been lost."""
        for area in tuple(project.areas.values()):
            if area.refused is None:
                self.look_again_at(project, area)

    def appeared(self, project: WatchedProject, area: Area, names: Iterable[str]) -> None:
        """Watch directories that appeared in an area; what is in them is to be read."""
        asked = [name for name in names if not skipped(name)]
        for path in map(area.path_of, asked):
            for inner in [a for t, a in sorted(project.areas.items()) if is_at(t, path)]:
                self._came_back(project, inner)
        there = [name for name in asked if os.path.isdir(area.path_of(name))]
        tops = [n for n in there if not os.path.islink(area.path_of(n))]
        area.gone |= set(asked) - set(tops)
        tops = outermost(tops)
        left_out = area.ignored_directories(*tops) if tops else set()
        area.left_out = area.left_out - set(map(area.path_of, asked)) | left_out
        for name in tops:
            path = area.path_of(name)
            if path in left_out or path in project.areas:
                continue
            if os.path.lexists(f"{path}/.git"):
                self._begin_whole(project, path)
            else:
                self.watch_tree(project, area, path, fresh=True, left_out=left_out)

    def repository_changed(self, project: WatchedProject, top: str) -> None:
        """See what became of the repository of a working tree: it came, went, or has new trees."""
        area = project.areas.get(top)
        has_git = os.path.lexists(f"{top}/.git")
        if area is not None and self.drop_if_gone(project, area):
            return
        if area is None:
            if has_git and not os.path.islink(top):
                self.begin_area(project, top, fresh=True)
            return
        if area.refused is not None or (area.repository is None and has_git):
            self._ask_again(project, area)
            if area.repository is None and os.path.isdir(f"{top}/.git"):  # not made whole yet
                self._watch(project, git=top)(f"{top}/.git")
        elif area.repository is not None and not area.repository.git_dir.exists():
            self._lost_repository(project, area)
        elif area.repository is not None:
            self._watch_repository(project, area)
            self._linked(project, area, fresh=True)

    def drop_if_gone(self, project: WatchedProject, area: Area) -> bool:
        """Let go of an area below a project's top that is not what it was; whether it was not.

        Its directory is gone, another one is in its place, or it has no repository any more. What
        is there now is watched.
        """
        same = identity(area.top) == area.identity
        if area.top == project.root or (same and os.path.lexists(f"{area.top}/.git")):
            return False
        self._drop(project, area, fresh=not same)
        return True

    def ask_refused(self, project: WatchedProject) -> None:
        """Try again what could not be watched a while ago, for git or for anything else."""
        if project.failed is not None and time.monotonic() - project.tried_at > ASK_SECONDS:
            project.tried_at = time.monotonic()
            self.begin(project)
        for area in tuple(project.areas.values()):
            if area.refused is not None and time.monotonic() - area.asked_at > ASK_SECONDS:
                self._ask_again(project, area)

    def leave(self, project: WatchedProject, path: str) -> None:
        """Stop watching a directory that git leaves out now. Working trees linked there go on."""
        self._observation.forget(path)
        for area in [a for t, a in project.areas.items() if is_at(t, path)]:
            if area.top in project.areas[project.root].linked_tops():
                self.look_again_at(project, area)
            else:
                self._let_go(project, area)

    # --- one area ---------------------------------------------------------------------------------

    def _came_back(self, project: WatchedProject, area: Area) -> None:
        """Watch an area anew whose directory was away and is in its place again."""
        gone = self.drop_if_gone(project, area)
        if not gone and area.refused is None and not self._observation.watches(area.top):
            self.look_again_at(project, area)

    def look_again_at(self, project: WatchedProject, area: Area) -> None:
        """Watch an area's tree anew, and have all in it read."""
        if area.repository is not None:
            self._watch_repository(project, area)
        self.watch_tree(project, area, area.top, fresh=True)
        area.pending |= {name for name, _ in area.files.below()}
        if area.repository is not None:
            area.pending |= area.repository.unlike_head()

    def begin_area(self, project: WatchedProject, top: str, *, fresh: bool) -> None:
        """Watch an area. `fresh`: it appeared just now, so what git does not have is a save."""
        area = project.areas[top] = Area(top, project.added, own_rules=project.own_rules)
        area.identity = identity(top)
        area.outside = top != project.root and not top.startswith(project.root + "/")
        area.refused = self._find_repository(
            project, area, since=None, stood=None if fresh else project.stood, fresh=fresh
        )
        if self.drop_if_gone(project, area) or area.refused is not None:
            return
        if area.repository is not None:
            self._watch_repository(project, area)
            area.look_at_rules()  # what changes from now on is seen
        walked = self.watch_tree(project, area, top, fresh=fresh)
        if not fresh:
            read_first(project, area, walked.files)
        elif area.repository is not None:
            area.pending |= area.repository.unlike_head()
        if area.repository is not None:
            self._linked(project, area, fresh=fresh)
        self.drop_if_gone(project, area)  # it may have gone while it was looked at

    def _begin_whole(self, project: WatchedProject, top: str) -> None:
        """Watch an area that appeared; nothing of it if git does not answer. Raises QiError."""
        try:
            self.begin_area(project, top, fresh=True)
        except QiError:
            self._observation.forget(top)
            project.areas.pop(top, None)
            raise

    def _find_repository(
        self,
        project: WatchedProject,
        area: Area,
        *,
        since: float | None,
        stood: Stood | None,
        fresh: bool = False,
    ) -> str | None:
        """Find the repository of an area; returns why git does not open it, if it does not.

        With `stood` its moves of HEAD are told from where it stood, if git knows that commit, and
        all of them if it was made since. If it is `fresh`, from where git began it.
        """
        area.asked_at = time.monotonic()
        refused = None
        top = Path(area.top)
        try:
            git_dir = git.repository_of(top)
            if git_dir is not None:
                commit = None if stood is None else known_commit(top, stood.heads.get(area.top))
                made = stood is not None and made_since(project, area, git_dir, stood)
                if stood is not None and (commit is not None or made):
                    since = stood.at
                read = 0 if stood is None else stood.logs.get(area.top, 0)
                begun = begun_at(project, top, git_dir) if fresh else None
                if begun is not None:
                    since, commit, read = begun
                area.repository = RepositoryState(
                    top, git_dir, since=since, stood=commit, log_read=read
                )
        except (ToolMissing, NotFound) as error:
            refused = str(error)
        if refused is not None and refused != area.refused:
            logger.warning("%s is not watched: %s", area.top, refused)
        return refused

    def _ask_again(self, project: WatchedProject, area: Area) -> None:
        plain = area.refused is None
        since, stood = (area.since, None) if plain else (None, project.stood)
        refused = self._find_repository(project, area, since=since, stood=stood)
        if refused is not None:
            area.refused = refused
            return
        if area.repository is not None:
            self._watch_repository(project, area)
        if not plain:
            walked = self.watch_tree(project, area, area.top, fresh=False)
            read_first(project, area, walked.files)
        area.forget_ignored()
        area.rules_due = plain and area.repository is not None
        area.refused = None

    def _lost_repository(self, project: WatchedProject, area: Area) -> None:
        """Go on without a repository that is gone, with the files as they are now."""
        if area.top != project.root:
            self._drop(project, area, fresh=False)
            return
        area.repository = None
        area.forget_ignored()
        walked = self.watch_tree(project, area, area.top, fresh=False)
        read_first(project, area, walked.files)

    def _let_go(self, project: WatchedProject, area: Area) -> None:
        project.budget.take(-sum(history.size for _, history in area.files.below()))
        self._observation.forget(area.top)
        del project.areas[area.top]

    def _drop(self, project: WatchedProject, area: Area, *, fresh: bool) -> None:
        """Let go of an area. `fresh`: what is in its place now was put there just now."""
        self._let_go(project, area)
        if area.outside or not os.path.isdir(area.top) or os.path.islink(area.top):
            return
        if os.path.lexists(f"{area.top}/.git"):
            self.begin_area(project, area.top, fresh=fresh)
            return
        around = project.around(area.top)  # a plain directory of this one now
        self.watch_tree(project, around, area.top, fresh=fresh)
        around.pending |= {around.name_of(area.path_of(name)) for name in area.pending}

    def _watch_repository(self, project: WatchedProject, area: Area) -> None:
        repository = area.repository
        assert repository is not None
        places = [repository.git_dir, repository.git_dir / "logs"]
        places += [repository.common / "worktrees", repository.common / "info"]
        places += [repository.git_dir / "reftable", repository.common / "reftable"]
        if area.top == project.root:  # one that is moved is told in its own directory there
            places += repository.common.glob("worktrees/*")
        for place in places:
            if place.is_dir():
                self._watch(project, git=area.top)(str(place))

    def _watch(self, project: WatchedProject, *, git: str | None = None) -> Callable[[str], object]:
        return lambda directory: self._observation.watch(project.root, directory, git=git)

    def watch_tree(
        self,
        project: WatchedProject,
        area: Area,
        path: str,
        *,
        fresh: bool,
        left_out: set[str] | None = None,
    ) -> Walked:
        """Watch a directory with all below it; returns what was found there.

        `left_out`: what git leaves out of it. Raises NotFound if git is asked and does not answer.
        """
        if left_out is None:
            left_out = area.left_out = area.ignored_directories()
        try:
            walked = walk(path, left_out=left_out, enter=self._watch(project))
        except NoRoom:  # from now on the project is looked at, from its top on
            path = area.top
            walked = walk(path, left_out=area.ignored_directories(), enter=self._watch(project))
            if area.repository is not None:
                self._watch_repository(project, area)
        if fresh:
            area.pending |= {area.name_of(file) for file in walked.files}
        for checkout in walked.checkouts:
            if checkout not in project.areas:
                self.begin_area(project, checkout, fresh=fresh)
        return walked

    def _linked(self, project: WatchedProject, area: Area, *, fresh: bool) -> None:
        """Watch the working trees that are linked to the project's repository."""
        if area.top != project.root or area.repository is None:
            return
        linked = area.linked_tops()
        for outside in [a for a in project.areas.values() if a.outside]:
            self.drop_if_gone(project, outside)  # its place may be another tree's now
        for top in sorted(
            linked - project.areas.keys() - {area.top, str(Path(area.top).resolve())}
        ):
            if os.path.isdir(top):
                self.begin_area(project, top, fresh=fresh)
        for top in [t for t, a in project.areas.items() if a.outside and t not in linked]:
            self._drop(project, project.areas[top], fresh=False)
