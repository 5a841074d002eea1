"""A directory that git takes up again is watched within seconds, and the other way round."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from qi_learn.workspace.watcher import Watcher
from tests.support.repository import Repository
from tests.support.watching import rest, texts, until

OLD, DEEP, OTHER = "x = 'from before'\n", "build/deep/y.py", "build/x.py"
Change = Callable[[Repository, Path], None]


def _in_the_tree(repo: Repository, _: Path) -> None:
    repo.write(".gitignore", "build/\n")


def _in_the_repositorys_list(repo: Repository, _: Path) -> None:
    repo.write(".git/info/exclude", "build/\n")


def _in_the_persons_list(_: Repository, listed: Path) -> None:
    listed.write_text("build/\n")


def _in_a_list_that_included_settings_name(_: Repository, listed: Path) -> None:
    listed.write_text("build/\n")
    settings, included = listed.parent / "settings", listed.parent / "included"
    settings.rename(included)
    settings.write_text("[include]\n\tpath = included\n")


def _without_what_is_included(_: Repository, listed: Path) -> None:
    (listed.parent / "included").write_text("")


def _in_itself(repo: Repository, _: Path) -> None:
    repo.write("build/.gitignore", "*\n")


def _below_itself(repo: Repository, _: Path) -> None:
    repo.write("build/deep/.gitignore", "*\n")
    (repo.root / OTHER).unlink()


def _empty_in_itself(repo: Repository, _: Path) -> None:
    (repo.root / "build/.gitignore").write_text("")


def _not_in_itself(repo: Repository, _: Path) -> None:
    (repo.root / "build/.gitignore").unlink()


def _not_below_itself(repo: Repository, _: Path) -> None:
    (repo.root / "build/deep/.gitignore").unlink()


def _not_in_the_tree(repo: Repository, _: Path) -> None:
    repo.write(".gitignore", "# nothing\n")


def _no_list(repo: Repository, _: Path) -> None:
    (repo.root / ".gitignore").unlink()


def _not_in_the_repositorys_list(repo: Repository, _: Path) -> None:
    (repo.root / ".git/info/exclude").write_text("")


def _not_in_the_persons_list(_: Repository, listed: Path) -> None:
    listed.write_text("")


def _named(listed: Path) -> Path:
    """Another list than the one that the person's settings name."""
    named = listed.parent / "named"
    named.write_text("build/\n")
    return named


def _in_a_list_of_the_repositorys_settings(repo: Repository, listed: Path) -> None:
    repo.git("config", "core.excludesFile", str(_named(listed)))


def _in_a_list_of_the_trees_own_settings(repo: Repository, listed: Path) -> None:
    repo.git("config", "extensions.worktreeConfig", "true")
    repo.git("config", "--worktree", "core.excludesFile", str(_named(listed)))


def _in_a_list_that_counts_with_a_remote(repo: Repository, listed: Path) -> None:
    named = _named(listed)
    (listed.parent / "included").write_text(f'[core]\n\texcludesFile = "{named}"\n')
    with (listed.parent / "settings").open("a") as settings:
        settings.write('[includeIf "hasconfig:remote.*.url:https://x/**"]\n\tpath = included\n')
    repo.git("remote", "add", "o", "https://x/y")


def _in_a_list_behind_links(_: Repository, listed: Path) -> None:
    for name, rule in (("older", "# nothing\n"), ("rules", "build/\n")):
        (listed.parent / name).mkdir()
        (listed.parent / name / "list").write_text(rule)
    (listed.parent / "dot").symlink_to("rules")
    listed.symlink_to("dot/list")


def _no_list_of_the_repository(repo: Repository, _: Path) -> None:
    (repo.root / ".git/info/exclude").unlink()


def _no_list_of_the_person(_: Repository, listed: Path) -> None:
    listed.unlink()


def _no_settings_of_the_person(_: Repository, listed: Path) -> None:
    (listed.parent / "settings").unlink()


def _not_in_the_repositorys_settings(repo: Repository, _: Path) -> None:
    repo.git("config", "--unset", "core.excludesFile")


def _not_in_the_trees_own_settings(repo: Repository, _: Path) -> None:
    repo.git("config", "--worktree", "--unset", "core.excludesFile")


def _without_the_remote(repo: Repository, _: Path) -> None:
    repo.git("remote", "remove", "o")


def _in_an_older_list(repo: Repository, listed: Path) -> None:
    repo.git("config", "core.excludesFile", str(listed.parent / "settings"))


def _behind_a_turned_link(_: Repository, listed: Path) -> None:
    (listed.parent / "new").symlink_to("older")
    (listed.parent / "new").rename(listed.parent / "dot")


def _forced(repo: Repository, _: Path) -> None:
    repo.git("add", "-f", OTHER)


def _not_forced(repo: Repository, _: Path) -> None:
    repo.git("rm", "-q", "-r", "-f", "--cached", "build")


@pytest.fixture
def listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The person's own list of what git leaves out."""
    listed = tmp_path / "my ignores"
    settings = tmp_path / "settings"
    settings.write_text(f'[core]\n\texcludesFile = "{listed}"\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    return listed


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    repo = Repository(tmp_path / "work")
    repo.write("a.py", "a = 1\n")
    repo.commit()
    repo.write(OTHER, OLD)
    repo.write(DEEP, OLD)
    return repo


TAKEN_UP: tuple[tuple[Change, Change], ...] = (
    *((_in_the_tree, _not_in_the_tree), (_in_the_tree, _no_list), (_in_the_tree, _forced)),
    (_in_the_repositorys_list, _not_in_the_repositorys_list),
    (_in_the_persons_list, _not_in_the_persons_list),
    (_in_a_list_that_included_settings_name, _without_what_is_included),
    *((_in_itself, _not_in_itself), (_in_itself, _empty_in_itself)),
    (_below_itself, _not_below_itself),
    (_in_the_repositorys_list, _no_list_of_the_repository),
    (_in_the_persons_list, _no_list_of_the_person),
    (_in_the_persons_list, _no_settings_of_the_person),
    (_in_a_list_of_the_repositorys_settings, _not_in_the_repositorys_settings),
    (_in_a_list_of_the_repositorys_settings, _in_an_older_list),
    (_in_a_list_of_the_trees_own_settings, _not_in_the_trees_own_settings),
    (_in_a_list_that_counts_with_a_remote, _without_the_remote),
    (_in_a_list_behind_links, _behind_a_turned_link),
)
LEFT_OUT: tuple[Change, ...] = (
    *(_in_the_tree, _in_the_repositorys_list, _in_the_persons_list, _not_forced),
)


@pytest.mark.parametrize(("rule", "change"), TAKEN_UP, ids=lambda c: c.__name__.strip("_"))
def test_a_directory_that_is_left_out_no_more_is_watched(
    repo: Repository, listed: Path, rule: Change, change: Change
) -> None:
    rule(repo, listed)
    saved = OTHER if change is _forced else DEEP  # the other is left out still
    if (repo.root / OTHER).exists():
        repo.write(OTHER, OLD)  # it is newer than all that the rules are in
    with Watcher() as watcher:
        watcher.add(repo.root)
        repo.write(DEEP, OLD)
        assert texts(rest(watcher, repo.root)) == []
        change(repo, listed)
        number, seen = 0, watcher.poll()
        deadline = time.monotonic() + 40
        while saved not in dict(texts(seen)) and time.monotonic() < deadline:
            number += 1
            repo.write(saved, f"x = {number}\n")
            time.sleep(0.5)
            seen += watcher.poll()
        first = next(text for file, text in texts(seen) if file == saved)
        assert OLD not in dict(texts(seen)).values(), "what was there before is no save"
        assert first in [f"x = {n}\n" for n in range(1, number + 1)]
        repo.write(saved, "x = 'now'\n")
        until(watcher, lambda seen: (saved, "x = 'now'\n") in texts(seen))


def test_a_directory_that_leaves_itself_out_while_it_is_watched_is_taken_up_again(
    repo: Repository,
) -> None:
    with Watcher() as watcher:
        watcher.add(repo.root)
        repo.write("build/.gitignore", "*\n")
        rest(watcher, repo.root)
        repo.write(DEEP, "x = 'left out'\n")
        assert DEEP not in dict(texts(rest(watcher, repo.root)))
        (repo.root / "build/.gitignore").unlink()
        rest(watcher, repo.root)
        repo.write(DEEP, "x = 'now'\n")
        until(watcher, lambda seen: (DEEP, "x = 'now'\n") in texts(seen))


def test_the_first_file_beside_ignored_ones_is_seen(repo: Repository) -> None:
    repo.write(".gitignore", "*.o\n")
    repo.write("out/inner/a.o", "1\n")
    with Watcher() as watcher:
        watcher.add(repo.root)
        repo.write("out/inner/b.py", "b = 1\n")
        until(watcher, lambda seen: ("out/inner/b.py", "b = 1\n") in texts(seen))


@pytest.mark.parametrize("change", LEFT_OUT, ids=lambda c: c.__name__.strip("_"))
def test_a_directory_that_is_left_out_now_is_watched_no_more(
    repo: Repository, listed: Path, change: Change
) -> None:
    if change is _not_forced:
        repo.git("add", "build")
        _in_the_tree(repo, listed)
    with Watcher() as watcher:
        watcher.add(repo.root)
        repo.write(DEEP, "x = 'saved'\n")
        until(watcher, lambda seen: (DEEP, "x = 'saved'\n") in texts(seen))
        rest(watcher, repo.root)
        before = _watches()
        change(repo, listed)
        deadline = time.monotonic() + 40
        while before == _watches() and sys.platform == "linux" and time.monotonic() < deadline:
            time.sleep(0.2)
        rest(watcher, repo.root)
        repo.write(DEEP, "x = 'left out'\n")
        assert DEEP not in dict(texts(rest(watcher, repo.root)))
        assert sys.platform != "linux" or _watches() == before - 2


def _watches() -> int:
    """How many directories this process watches (inotify)."""
    count = 0
    for file in Path("/proc/self/fdinfo").iterdir() if sys.platform == "linux" else ():
        try:
            count += file.read_text().count("inotify wd:")
        except OSError:  # it was closed meanwhile
            continue
    return count


def test_a_linked_tree_in_a_directory_that_is_left_out_now_goes_on(repo: Repository) -> None:
    repo.git("worktree", "add", "-q", "build/tree", "-b", "tree")
    with Watcher() as watcher:
        watcher.add(repo.root)
        _in_the_tree(repo, repo.root)
        rest(watcher, repo.root)
        repo.write(DEEP, "x = 'left out'\n")
        repo.write("build/tree/a.py", "a = 'there'\n")
        # another working tree: its saves are told beside those of the project's own
        seen = until(watcher, lambda seen: any(f == "build/tree/a.py" for f, _ in texts(seen)))
        seen += rest(watcher, repo.root)
        assert texts(seen) == [("build/tree/a.py", "a = 'there'\n")]
