"""Suggestions in submodules and linked working trees live and are settled as any other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qi_learn.daemon.following import follow_commit, follow_save, follow_time
from qi_learn.store import feedback
from qi_learn.track.looking_again import LOOK_SECONDS
from qi_learn.workspace.changes import Committed, FileSaved
from qi_learn.workspace.watcher import Watcher
from tests.support.repository import Repository
from tests.support.tracked_code import AUTHORS, FILE, SUGGESTED, World, with_mean
from tests.support.watching import Seen, until

PLACES = ("vendor", "tree", "../feature", "../part/deep")


class Trees:
    """A project with a submodule or a linked working tree, and a watcher that is followed."""

    def __init__(self, world: World, watcher: Watcher, tree: Repository) -> None:
        self.world, self.watcher, self.tree = world, watcher, tree

    def follow(self, enough: Callable[[Seen], object]) -> Seen:
        """What is told up to `enough`, each taken in as it is by the daemon."""
        seen, world = until(self.watcher, enough), self.world
        for each in seen:
            world.now = max(world.now, each.ts) + 1
            if isinstance(each, FileSaved):
                history = self.watcher.history(each.path)
                follow_save(world.store, each, history, world.settings, world.now)
            else:
                follow_commit(world.store, each, world.settings, world.now)
        return seen

    def save(self, text: str, *, into: Repository | None = None) -> None:
        tree = into or self.tree
        path = tree.write("stats.py", text)
        self.follow(lambda seen: any(isinstance(s, FileSaved) and s.path == path for s in seen))

    def commit(self, subject: str, *, into: Repository | None = None) -> str:
        commit = (into or self.tree).commit(subject)
        self.moved(commit)
        return commit

    def moved(self, commit: str) -> None:
        self.follow(lambda seen: commit in [s.commit for s in seen if isinstance(s, Committed)])


@pytest.fixture(params=PLACES)
def trees(request: pytest.FixtureRequest, world: World, tmp_path: Path) -> Iterator[Trees]:
    place: str = request.param
    top = (world.repo.root / place).resolve()
    if place == "vendor":
        other = Repository(tmp_path / "other")
        other.write("stats.py", FILE)
        other.commit()
        allow = ("-c", "protocol.file.allow=always")
        world.repo.git(*allow, "submodule", "add", "-q", str(other.root), place)
        world.repo.commit("With a submodule")
    else:
        world.repo.git("worktree", "add", "-q", str(top), "-b", "feature")
    world.now -= 100  # what is asked is asked before the saves, which happen now
    with Watcher() as watcher:
        watcher.add(world.repo.root)
        yield Trees(world, watcher, Repository(top) if place == "vendor" else _linked(top))


def _linked(top: Path) -> Repository:
    tree = Repository.__new__(Repository)
    tree.root = top
    return tree


def test_what_is_kept_and_committed_there_is_settled_by_that_commit(trees: Trees) -> None:
    world = trees.world
    turn = world.ask(SUGGESTED)
    trees.save(with_mean(SUGGESTED))
    assert world.fate(turn).state == "placed"
    commit = trees.commit("Mean")
    fate = world.fate(turn)
    assert (fate.state, fate.commit, fate.final_text) == ("settled", commit, SUGGESTED)
    assert world.feedback(turn).accepted is True


def test_what_the_person_made_of_it_there_is_the_final_text(trees: Trees) -> None:
    world = trees.world
    turn = world.ask(SUGGESTED)
    trees.save(with_mean(SUGGESTED))
    trees.commit("A draft")
    trees.save(with_mean(AUTHORS))
    commit = trees.commit("As it should be")
    fate = world.fate(turn)
    assert (fate.state, fate.commit, fate.final_text) == ("settled", commit, AUTHORS)


def test_the_same_file_of_another_tree_says_nothing(trees: Trees) -> None:
    """It has no such code, is saved and committed, and its branch is reset."""
    world = trees.world
    turn = world.ask(SUGGESTED)
    trees.save(with_mean(SUGGESTED))
    before = world.fate(turn)
    begin = world.repo.git("rev-parse", "HEAD")
    trees.save(FILE + "other = 1\n", into=world.repo)
    trees.commit("Other", into=world.repo)
    world.repo.git("reset", "-q", "--hard", begin)
    trees.moved(begin)
    assert world.fate(turn) == before
    commit = trees.commit("Mean")
    assert (world.fate(turn).state, world.fate(turn).commit) == ("settled", commit)


def test_a_reset_there_takes_back_what_was_committed_there(trees: Trees) -> None:
    world = trees.world
    begin = trees.tree.git("rev-parse", "HEAD")
    turn = world.ask(SUGGESTED)
    trees.save(with_mean(SUGGESTED))
    trees.commit("Mean")
    trees.tree.git("reset", "-q", "--hard", begin)
    trees.moved(begin)
    assert (world.fate(turn).reverted, world.feedback(turn).accepted) == (True, False)


def _moved_in_a_commit(trees: Trees, name: str) -> str:
    """A turn whose code went to another file in a commit of which no save was seen."""
    world, tree = trees.world, trees.tree
    turn = world.ask(SUGGESTED)
    trees.save(with_mean(SUGGESTED))
    before = trees.commit("Mean")
    trees.watcher.remove(world.repo.root)
    tree.write("stats.py", FILE)
    tree.write(name, f'"""Means."""\n\n\n{SUGGESTED}')
    commit, project = tree.commit("Split"), world.repo.root
    within = "" if not tree.root.is_relative_to(project) else f"{tree.root.relative_to(project)}/"
    files = (f"{within}{name}", f"{within}stats.py")
    world.now += 10
    told = Committed(str(project), commit, files, "commit", world.now, before, str(tree.root))
    follow_commit(world.store, told, world.settings, world.now)
    return turn


def test_what_a_commit_there_moves_to_another_file_of_it_is_found(trees: Trees) -> None:
    fate = trees.world.fate(_moved_in_a_commit(trees, "means.py"))
    assert (fate.final_text, Path(fate.file or "").name) == (SUGGESTED, "means.py")
    there = (trees.world.repo.root / (fate.file or "")).resolve()
    assert there == trees.tree.root / "means.py"


def test_no_copy_there_is_read_that_the_projects_rules_leave_out(trees: Trees) -> None:
    vendored = "/worktrees/" not in (trees.tree.root / ".git").read_text()
    rule = "vendor/private/" if vendored else "private/"
    trees.world.repo.write(".qi-learn-ignore", f"/{rule}\n")
    fate = trees.world.fate(_moved_in_a_commit(trees, "private/means.py"))
    assert Path(fate.file or "").name == "stats.py"


def test_days_later_it_is_looked_at_in_its_own_repository(trees: Trees) -> None:
    """A commit that no daemon saw changed it."""
    world = trees.world
    turn = world.ask(SUGGESTED)
    trees.save(with_mean(SUGGESTED))
    trees.commit("Mean")
    trees.watcher.remove(world.repo.root)
    trees.tree.write("stats.py", with_mean(AUTHORS))
    commit = trees.tree.commit("As it should be")
    world.now += LOOK_SECONDS + 60
    follow_time(world.store, world.settings, world.now)
    assert (world.fate(turn).commit, world.fate(turn).final_text) == (commit, AUTHORS)


def test_a_tree_that_was_merged_and_removed_is_followed_in_the_project(
    world: World, tmp_path: Path
) -> None:
    top = tmp_path / "feature"
    world.repo.git("worktree", "add", "-q", str(top), "-b", "feature")
    world.now -= 100
    with Watcher() as watcher:
        watcher.add(world.repo.root)
        trees = Trees(world, watcher, _linked(top))
        turn = world.ask(SUGGESTED)
        trees.save(with_mean(SUGGESTED))
        trees.commit("Mean")
    world.repo.git("merge", "-q", "feature")
    world.repo.git("worktree", "remove", str(top))
    world.repo.write("stats.py", with_mean(AUTHORS))
    commit = world.repo.commit("As it should be")
    world.now += LOOK_SECONDS + 60
    follow_time(world.store, world.settings, world.now)
    fate = world.fate(turn)
    assert (fate.commit, fate.final_text, fate.file) == (commit, AUTHORS, "stats.py")
    assert feedback.load_feedback(world.store, turn).accepted is not None
