"""What happens in a project while no daemon runs is caught up by the next.

Real files, a real repository, a real database; the watcher is the operating system's.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from qi_learn.daemon.intake import Intake
from qi_learn.paths import Paths
from qi_learn.records import Message, Suggestion, Turn
from qi_learn.settings import CaptureSettings, Settings
from qi_learn.store import feedback, turns
from qi_learn.store.database import Store, open_store
from qi_learn.track.suggestions import suggestions_of
from qi_learn.workspace.registry import add_project
from qi_learn.workspace.watched_project import UNREAD_SECONDS
from qi_learn.workspace.watcher import Watcher
from tests.support.command_line import wait_until
from tests.support.redacted import as_redacted
from tests.support.repository import ENV, Repository

CODE = (
    "def mean(values):\n    total = 0\n    for value in values:\n        total += value\n"
    "    return total / len(values)\n"
)


@dataclass
class Company:
    """A home with one project, and its database."""

    repo: Repository
    paths: Paths
    store: Store

    @contextmanager
    def watched(self) -> Iterator[Intake]:
        """While a daemon's intake runs."""
        settings = Settings(capture=CaptureSettings(settle=0.1))
        with Watcher() as watcher:
            intake = Intake(self.paths, settings, watcher)
            intake.tick(self.store, time.time())
            wait_until(lambda: self._round(intake) and bool(watcher.stands()))
            yield intake
            intake.close()

    def _round(self, intake: Intake) -> bool:
        return intake.tick(self.store, time.time()) >= 0

    def until(self, intake: Intake, holds: Callable[[], bool]) -> None:
        wait_until(lambda: self._round(intake) and holds())

    def ask(self, id: str = "T1") -> None:
        now = time.time()
        turn = Turn(
            *(id, "/api/chat", "m", "m", (Message("user", "Write it."),)),
            f"```python\n{CODE}```",
            started=now - 0.2,
            ended=now - 0.1,
            project=str(self.repo.root),
        )
        turns.save_turn(self.store, as_redacted(turn))
        feedback.save_suggestions(self.store, as_redacted(suggestions_of(turn)))

    def fate(self, id: str = "T1") -> Suggestion:
        return feedback.suggestions_of(self.store, id)[0]

    def see_all(self, intake: Intake) -> None:
        """Go on until a save made now is taken in, so all before it was."""
        mark = f"mark{time.time_ns()}"
        turn = "def " + mark + "(first, second, third):\n    return first + second * third\n"
        self.repo.write(f"{mark}.py", turn)
        path = self.repo.root / f"{mark}.py"
        self.until(intake, lambda: intake.watcher.history(path).newest == turn)
        self.until(intake, lambda: not intake.pending)


@pytest.fixture
def company(tmp_path: Path) -> Iterator[Company]:
    paths = Paths.under(tmp_path / "home").ensure()
    repo = Repository(tmp_path / "project")
    repo.write("main.py", "import os\n")
    repo.commit("Begin")
    add_project(paths, repo.root)
    with open_store(paths.database) as store:
        yield Company(repo, paths, store)


def placed_and_committed(company: Company) -> None:
    with company.watched() as intake:
        company.ask()
        company.repo.write("mul.py", CODE)
        company.until(intake, lambda: company.fate().state != "waiting")
        company.repo.commit("Add it")
        company.until(intake, lambda: company.fate().commit is not None)


def test_code_removed_while_no_daemon_runs_is_no_final_version(company: Company) -> None:
    placed_and_committed(company)
    company.repo.git("rm", "-q", "mul.py")
    company.repo.commit("Remove it")
    with company.watched() as intake:
        company.until(intake, lambda: company.fate().region is None)
        company.until(intake, lambda: company.fate().state == "settled")
    assert company.fate().final_text is None


def test_code_pasted_and_committed_while_no_daemon_runs_is_found(company: Company) -> None:
    with company.watched():
        company.ask()
    company.repo.write("mul.py", CODE)
    company.repo.commit("Add it")
    with company.watched() as intake:
        company.until(intake, lambda: company.fate().commit is not None)
    assert (company.fate().file, company.fate().similarity) == ("mul.py", 1.0)


def test_code_pasted_while_no_daemon_runs_is_found_in_its_own_time(company: Company) -> None:
    with company.watched():
        company.ask()
    company.repo.write("mul.py", CODE)
    saved = (company.repo.root / "mul.py").stat().st_mtime
    with company.watched() as intake:
        company.until(intake, lambda: company.fate().state != "waiting")
    assert company.fate().placed_at == pytest.approx(saved, abs=0.01)


@pytest.mark.parametrize("after", ["merged", "rebased"])
def test_code_committed_within_the_second_of_its_answer_is_found(
    company: Company, monkeypatch: pytest.MonkeyPatch, after: str
) -> None:
    """git's log has whole seconds, and git wrote the file anew: its own time says nothing."""
    repo = company.repo
    with company.watched():
        wait_until(lambda: 0.4 < time.time() % 1 < 0.6)
        company.ask()
        second = int(time.time() - 0.2)
    repo.git("checkout", "-q", "-b", "work")
    repo.write("mul.py", CODE)
    with monkeypatch.context() as patched:
        patched.setitem(ENV, "GIT_COMMITTER_DATE", f"{second} +0000")
        repo.commit("Add it")
    repo.git("checkout", "-q", "main")
    if after == "merged":
        repo.git("merge", "-q", "--ff-only", "work")
    else:
        repo.write("main.py", "import sys\n")
        repo.commit("Go on")
        repo.git("checkout", "-q", "work")
        repo.git("rebase", "-q", "main")
    with company.watched() as intake:
        company.until(intake, lambda: company.fate().commit is not None)
    assert (company.fate().file, company.fate().similarity) == ("mul.py", 1.0)


def test_what_git_wrote_while_no_daemon_ran_is_not_the_persons(company: Company) -> None:
    company.repo.git("checkout", "-q", "-b", "other")
    company.repo.write("mul.py", CODE)
    company.repo.commit("Add it elsewhere")
    company.repo.git("checkout", "-q", "-")
    with company.watched():
        company.ask()
    company.repo.git("checkout", "-q", "other")
    with company.watched() as intake:
        company.see_all(intake)
    assert company.fate().state == "waiting"


def test_what_git_restored_from_a_branch_while_no_daemon_ran_is_not_the_persons(
    company: Company,
) -> None:
    company.repo.git("checkout", "-q", "-b", "other")
    company.repo.write("mul.py", CODE)
    company.repo.commit("Add it elsewhere")
    company.repo.git("checkout", "-q", "-")
    with company.watched():
        company.ask()
    company.repo.git("restore", "--source=other", "mul.py")
    with company.watched() as intake:
        company.see_all(intake)
    assert company.fate().state == "waiting"


def test_another_branch_checked_out_meanwhile_takes_nothing_back(company: Company) -> None:
    company.repo.git("branch", "other")
    placed_and_committed(company)
    before = company.fate()
    company.repo.git("checkout", "-q", "other")
    with company.watched() as intake:
        company.see_all(intake)
    assert company.fate() == before


@pytest.mark.parametrize("git", [True, False], ids=["in git", "without git"])
@pytest.mark.parametrize("gone", [True, False], ids=["removed", "rewritten"])
def test_a_file_that_git_never_had_and_that_changed_meanwhile_is_seen(
    company: Company, git: bool, gone: bool
) -> None:
    if not git:
        shutil.rmtree(company.repo.root / ".git")
    with company.watched() as intake:
        company.ask()
        path = company.repo.write("mul.py", CODE)
        company.until(intake, lambda: company.fate().state != "waiting")
    if gone:
        path.unlink()
    else:
        path.write_text("def other(first, second):\n    return first - second\n")
    with company.watched() as intake:
        company.until(intake, lambda: "mean" not in (company.fate().region or ""))


def test_without_a_repository_a_paste_meanwhile_is_not_guessed(company: Company) -> None:
    shutil.rmtree(company.repo.root / ".git")
    with company.watched() as intake:
        company.repo.write("mul.py", "m = 1\n")
        company.see_all(intake)
        company.ask()
    company.repo.write("mul.py", "m = 2\n" + CODE)
    with company.watched() as intake:
        company.see_all(intake)
    assert company.fate().state == "waiting"


@pytest.mark.parametrize("where", ["nested", "../linked", "linked"])
@pytest.mark.parametrize("committed", [False, True], ids=["saved", "committed"])
def test_what_is_done_in_a_tree_that_was_made_meanwhile_is_found(
    company: Company, where: str, committed: bool
) -> None:
    """A repository that was begun, or a working tree that was linked, while no daemon ran."""
    with company.watched():
        company.ask()
    top = Path(os.path.normpath(company.repo.root / where))
    if "linked" in where:
        company.repo.git("worktree", "add", "-q", str(top))
    tree = Repository(top)
    tree.write("mul.py", CODE)
    if committed:
        tree.commit("Add it")
    with company.watched() as intake:
        company.until(intake, lambda: company.fate().state != "waiting")
        if committed:
            company.until(intake, lambda: company.fate().commit is not None)
    assert (company.fate().file, company.fate().similarity) == (f"{where}/mul.py", 1.0)


def test_what_git_put_into_a_tree_that_was_made_meanwhile_is_not_the_persons(
    company: Company, tmp_path: Path
) -> None:
    company.repo.git("checkout", "-q", "-b", "other")
    company.repo.write("mul.py", CODE)
    company.repo.commit("Add it elsewhere")
    company.repo.git("checkout", "-q", "-")
    with company.watched():
        company.ask()
    company.repo.git("worktree", "add", "-q", "../linked", "other")
    company.repo.git("clone", "-q", "-b", "other", str(company.repo.root), "cloned")
    with company.watched() as intake:
        company.see_all(intake)
    assert company.fate().state == "waiting"


def test_the_last_change_is_known_after_a_restart(company: Company) -> None:
    placed_and_committed(company)
    with company.watched() as intake:
        (state,) = intake.watching()
    assert state.last_event is not None


def test_without_a_repository_it_is_said_from_when_to_when_nothing_was_seen(
    company: Company,
) -> None:
    shutil.rmtree(company.repo.root / ".git")
    with company.watched():
        pass
    stood = json.loads(company.paths.stood.read_text())
    stood[str(company.repo.root)]["at"] -= 3600
    company.paths.stood.write_text(json.dumps(stood))
    with company.watched() as intake:
        (state,) = intake.watching()
    assert [why[:17] for why in state.why] == ["not watched from "]


def test_a_registered_directory_that_is_gone_is_told_so(company: Company) -> None:
    with company.watched() as intake:
        shutil.rmtree(company.repo.root)
        company.until(intake, lambda: intake.watching()[0].mode == "blind")
        (state,) = intake.watching()
    assert f"qi-learn init --remove {company.repo.root}" in state.why[0]


def test_what_is_behind_in_one_project_holds_no_other_up(
    company: Company, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the other stands is kept: its past is not told again by the next daemon."""
    other = Repository(tmp_path / "other")
    other.commit()
    add_project(company.paths, other.root)

    def kept(repo: Repository) -> float:
        return float(json.loads(company.paths.stood.read_text())[str(repo.root)]["at"])

    with company.watched() as intake:
        company.until(intake, lambda: len(intake.watcher.stands()) == 2)
        company.see_all(intake)
        monkeypatch.setattr(
            "qi_learn.daemon.seen_evidence.SEEN_SECONDS", -1.0
        )  # nothing is followed
        began = time.time()
        company.repo.write("late.py", CODE)
        wait_until(lambda: intake.look(time.time()))
    assert kept(other) >= began - UNREAD_SECONDS > kept(company.repo)
