"""The watcher goes on, whatever happens in the projects, and says how it does."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from qi_learn import codec
from qi_learn.outside.mounts import Mount
from qi_learn.records import WatchState
from qi_learn.workspace.changes import FileSaved
from qi_learn.workspace.watcher import Watcher
from tests.support.commotion import Commotion
from tests.support.repository import Repository
from tests.support.watching import Seen, until


def _ten_projects(tmp_path: Path) -> list[tuple[Path, Repository | None]]:
    """Six repositories (with a submodule, in a linked working tree, in sha256, in a part of one,
    without reflog) and four plain directories.
    """
    vendor = Repository(tmp_path / "vendor")
    vendor.write("v.py", "v = 1\n")
    vendor.commit()
    found: list[tuple[Path, Repository | None]] = []
    for n in range(5):
        repo = Repository(tmp_path / f"r{n}", "sha256" if n == 3 else "sha1")
        if n == 4:
            repo.git("config", "core.logAllRefUpdates", "false")
        for name in ("play/keep.py", "part/play/keep.py", "begin.py"):
            repo.write(name, "k = 1\n")
        repo.write(".gitignore", "build\n")
        if n == 1:
            allow = ("-c", "protocol.file.allow=always")
            repo.git(*allow, "submodule", "add", "-q", str(vendor.root), "play/sub")
        repo.commit()
        repo.write("begin.py", "k = 2\n")
        repo.commit()
        found.append((repo.root / "part" if n == 2 else repo.root, repo))
    first = Repository(tmp_path / "r0")
    first.git("worktree", "add", "-q", str(tmp_path / "linked"))
    found.append((tmp_path / "linked", Repository(tmp_path / "linked")))
    for n in range(4):
        plain = tmp_path / f"p{n}"
        plain.mkdir()
        found.append((plain, None))
    return found


def _commotion(tmp_path: Path, seed: int, seconds: float, *, polling: bool = False) -> None:
    projects = _ten_projects(tmp_path)
    players = [Commotion(root, seed + n, git=repo) for n, (root, repo) in enumerate(projects)]
    with Watcher(polling=polling) as watcher:
        for root, _ in projects:
            watcher.add(root)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for player in players:
                player.step()
            watcher.poll()
        assert watcher.alive
        wanted = set()
        for root, _ in projects:
            path = root / "the save.py"
            path.write_text(f"arrives = {seed}\n")
            wanted.add(path)

        def arrived(seen: Seen) -> bool:
            return wanted <= {s.path for s in seen if isinstance(s, FileSaved)}

        until(watcher, arrived, seconds=120)
        assert {state.mode for state in watcher.states()} == {"polled" if polling else "watched"}
        for state in watcher.states():
            assert codec.loads(WatchState, codec.dumps(state)) == state
            assert "could not be looked at" not in {s.reason for s in state.set_aside}


@pytest.mark.parametrize("seed", [1, 2])
def test_after_any_commotion_a_save_in_each_project_arrives(tmp_path: Path, seed: int) -> None:
    _commotion(tmp_path, seed, 5.0)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("polling", [False, True], ids=["events", "polling"])
def test_after_a_minute_of_commotion_a_save_in_each_project_arrives(
    tmp_path: Path, polling: bool
) -> None:
    _commotion(tmp_path, int(time.time()), 60.0, polling=polling)


def test_trees_that_come_and_go_at_once_end_nothing(tmp_path: Path) -> None:
    repo = Repository(tmp_path / "work")
    repo.commit()
    with Watcher() as watcher:
        watcher.add(repo.root)
        for n in range(300):
            os.makedirs(repo.root / f"tmp{n % 3}/a/b/c/d")
            (repo.root / f"tmp{n % 3}/a/x.py").write_text("x = 1\n")
            for directory, _, files in os.walk(repo.root / f"tmp{n % 3}", topdown=False):
                for file in files:
                    os.unlink(os.path.join(directory, file))
                os.rmdir(directory)
        repo.write("a.py", "a = 1\n")
        until(watcher, lambda seen: "a.py" in [s.file for s in seen if isinstance(s, FileSaved)])
        assert watcher.alive


def test_a_name_that_is_no_utf_8_is_set_aside_and_counted(tmp_path: Path) -> None:
    with Watcher() as watcher:
        watcher.add(tmp_path)
        with open(os.fsencode(tmp_path) + b"/caf\xe9.py", "w") as file:
            file.write("c = 1\n")
        (tmp_path / "e\u0301.py").write_text("decomposed = 1\n")
        (tmp_path / "\u00e9.py").write_text("composed = 1\n")
        seen = until(watcher, lambda seen: len(seen) == 2)
        assert {s.file for s in seen if isinstance(s, FileSaved)} == {"e\u0301.py", "\u00e9.py"}
        (state,) = watcher.states()
        assert {s.reason: s.count for s in state.set_aside}["a name that is no UTF-8"] >= 1
        assert state.last_event is not None


def test_a_round_that_fails_is_made_good(tmp_path: Path) -> None:
    """The clock fails in it, once; the marks that it had are looked at again."""
    fails: list[str] = []

    def clock() -> float:
        if fails and threading.current_thread().name == fails[0]:
            fails.clear()
            raise ValueError("no time")
        return time.time()

    with Watcher(clock=clock) as watcher:
        watcher.add(tmp_path)
        fails.append("qi-learn-watch")
        (tmp_path / "a.py").write_text("a = 1\n")
        until(watcher, lambda seen: len(seen) == 1)
        assert not fails
        assert watcher.alive


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # it must end
def test_if_its_thread_ends_it_says_so_and_can_be_revived(tmp_path: Path) -> None:
    """The clock ends the thread that asks it, once, as nothing in a project can."""
    ends: list[str] = []

    def clock() -> float:
        if ends and threading.current_thread().name == ends[0]:
            ends.clear()
            raise SystemExit
        return time.time()

    with Watcher(clock=clock) as watcher:
        watcher.add(tmp_path)
        assert watcher.alive
        ends.append("qi-learn-watch")
        (tmp_path / "a.py").write_text("a = 1\n")
        deadline = time.monotonic() + 20
        while watcher.alive and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not watcher.alive
        (tmp_path / "b.py").write_text("b = 1\n")
        time.sleep(0.2)
        assert watcher.poll() == []
        watcher.revive()
        assert watcher.alive
        seen = until(watcher, lambda seen: len(seen) == 2)
        assert {s.file for s in seen if isinstance(s, FileSaved)} == {"a.py", "b.py"}


def test_a_file_system_without_events_is_looked_at_and_says_so(tmp_path: Path) -> None:
    """As if the project, and a directory of another, were mounted from another machine."""
    (tmp_path / "far").mkdir()
    (tmp_path / "near" / "share").mkdir(parents=True)
    (tmp_path / "near" / "share" / "s.py").write_text("s = 1\n")
    mounts = (
        Mount("/", "ext4"),
        Mount(str(tmp_path / "far"), "nfs4"),
        Mount(str(tmp_path / "near" / "share"), "9p"),
    )
    with Watcher(mounts=lambda: mounts) as watcher:
        watcher.add(tmp_path / "far")
        watcher.add(tmp_path / "near")
        far, near = watcher.states()
        assert (far.mode, near.mode) == ("polled", "polled")
        assert "nfs4" in far.why[0]
        assert "9p" in near.why[0]
        (tmp_path / "far" / "a.py").write_text("a = 1\n")
        (tmp_path / "near" / "b.py").write_text("b = 1\n")
        (tmp_path / "near" / "share" / "s.py").write_text("s = 2\n")
        until(watcher, lambda seen: len(seen) == 3)


def test_fifty_projects_take_three_threads(tmp_path: Path) -> None:
    before = threading.active_count()
    with Watcher() as watcher:
        for n in range(50):
            repo = tmp_path / f"w{n}"
            for package in ("a/__pycache__", "b/c/__pycache__"):
                (repo / package).mkdir(parents=True)
            watcher.add(repo, wait=False)
        deadline = time.monotonic() + 60
        while {s.mode for s in watcher.states()} != {"watched"} and time.monotonic() < deadline:
            time.sleep(0.05)
        assert {s.mode for s in watcher.states()} == {"watched"}
        assert threading.active_count() - before <= 3
        for n in (0, 25, 49):
            (tmp_path / f"w{n}/b/c/x.py").write_text("x = 1\n")
        until(watcher, lambda seen: len(seen) == 3)


def test_a_file_held_as_pipe_link_or_too_large_keeps_nothing_waiting(tmp_path: Path) -> None:
    with Watcher() as watcher:
        watcher.add(tmp_path)
        os.mkfifo(tmp_path / "pipe.py")
        (tmp_path / "link.py").symlink_to("/etc/hostname")
        (tmp_path / "huge.py").write_text("x" * 1_000_001)
        (tmp_path / "latin.py").write_bytes("é = 1".encode("latin-1"))
        (tmp_path / "a.py").write_text("a = 1\n")
        seen = until(watcher, lambda seen: bool(seen))
        time.sleep(0.3)
        seen += watcher.poll()
        assert [s.file for s in seen if isinstance(s, FileSaved)] == ["a.py"]
        counts = {s.reason: s.count for s in watcher.states()[0].set_aside}
        assert set(counts) == {"larger than 1 MB", "no UTF-8 text"}
