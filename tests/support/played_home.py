"""A home whose developer is played: a real store, spool, watcher and git, and a clock to be moved.

What a client sends and a person does goes in by the doors of the product: exchanges through the
spool, saves and commits through the watcher, and the daemon's own rounds take them in. Only time is
played: it goes on by itself, and jumps ahead when the person waits.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from qi_learn.daemon.intake import Intake
from qi_learn.gateway.origin import Origins
from qi_learn.ids import new_id
from qi_learn.paths import Paths
from qi_learn.records import Suggestion
from qi_learn.settings import Settings
from qi_learn.spool import Spool
from qi_learn.store import feedback, turns
from qi_learn.store.database import Store, open_store
from qi_learn.workspace.changes import Committed, FileSaved
from qi_learn.workspace.clock_watch import ClockWatch, steady_clock
from qi_learn.workspace.registry import add_project
from qi_learn.workspace.watcher import Watcher
from tests.support.repository import ENV, Repository

SEEN_SECONDS = 150.0
"""How long what was done is waited for, at most: git is asked again after a minute."""
UNSEEN_SECONDS = 0.5
"""How long is waited where nothing need be seen."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and its answer, as they pass the gateway."""

    endpoint: str
    request: Mapping[str, Any]
    response: str
    content_type: str = "application/json"


class PlayedClock:
    """The time, ahead of the real one by what was waited.

    From the beginning so far ahead that no file's own time is believed: that is the real one.
    """

    def __init__(self) -> None:
        self.ahead = 3600.0

    def __call__(self) -> float:
        return time.time() + self.ahead

    def steady(self) -> float:
        """A clock that cannot be set, ahead as far: to wait is no jump."""
        return steady_clock() + self.ahead


class _NotedWatcher(Watcher):
    """A watcher that remembers what it told."""

    def __init__(self, clock: PlayedClock) -> None:
        super().__init__(clock=clock, steady=clock.steady)
        self.told: list[FileSaved | Committed] = []

    def poll(self) -> list[FileSaved | Committed]:
        seen = super().poll()
        self.told += seen
        return seen


class PlayedRepository(Repository):
    """A project; git takes its time from the played clock."""

    def __init__(self, root: Path, home: PlayedHome) -> None:
        self._home = home
        super().__init__(root)

    def git(self, *arguments: str, check: bool = True) -> str:
        at = f"@{int(self._home.clock())} +0000"
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.root,
            env={**ENV, "GIT_COMMITTER_DATE": at, "GIT_AUTHOR_DATE": at, "GIT_EDITOR": "true"},
            capture_output=True,
            text=True,
            errors="surrogateescape",
            check=False,
        )
        assert not check or done.returncode == 0, f"git {' '.join(arguments)}: {done.stderr}"
        return done.stdout.strip()

    def read(self, file: str) -> str:
        """The text of a file in the working tree."""
        return (self.root / file).read_text(encoding="utf-8")

    def save(self, file: str, text: str, *, after: float = 20.0, seen: bool = True) -> None:
        """Save a file so many seconds later. `seen`: whether the daemon has to see it."""
        home = self._home
        home.wait(after)
        path = self.root / file
        same = path.is_file() and path.read_bytes() == text.encode("utf-8")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode("utf-8"))
        if same or not seen:
            home.rest()
        else:
            plain = text.replace("\r\n", "\n")
            home.until(lambda: home.watcher.history(path).newest == plain)

    def until_text(self, file: str, text: str, *, root: Path | None = None) -> None:
        """Go on until the watcher knows a text of a file, which something else wrote."""
        history = self._home.watcher.history
        path = (root or self.root) / file
        self._home.until(lambda: history(path).newest == text)

    def delete(self, file: str) -> None:
        """Delete a file."""
        path = self.root / file
        self._home.wait(10.0)
        path.unlink()
        self._home.until(lambda: self._home.watcher.history(path).newest == "")

    def commit(self, subject: str = "A change") -> str:
        """Commit everything, and have it seen."""
        self._home.wait(5.0)
        commit = super().commit(subject)
        self._home.until_head(commit)
        return commit

    def move_head(self, *arguments: str) -> str:
        """Do something by git that moves HEAD and changes files; the new head."""
        self._home.wait(5.0)
        self.git(*arguments)
        head = self.git("rev-parse", "HEAD")
        self._home.until_head(head)
        self._home.rest()
        return head


class PlayedHome:
    """The home, its daemon's intake, and its projects."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = PlayedClock()
        self.paths = Paths.under(root / "home").ensure()
        self.store: Store = open_store(self.paths.database)
        self.watcher = _NotedWatcher(self.clock)
        self.intake = Intake(
            self.paths, Settings(), self.watcher, clock=ClockWatch(self.clock.steady)
        )
        self.spool = Spool(self.paths.spool, "gateway", clock=self.clock)
        self._origins = Origins(self.paths, lambda: False)

    def __enter__(self) -> PlayedHome:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.spool.close()
        self.intake.close()
        self.watcher.close()
        self.store.close()

    def project(
        self, name: str, files: Mapping[str, str], *, registered: bool = True
    ) -> PlayedRepository:
        """A repository with files that were committed long before."""
        repo = PlayedRepository(self.root / name, self)
        for file, text in files.items():
            path = repo.root / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode("utf-8"))
        repo.git("add", "-A")
        repo.git("commit", "-q", "--allow-empty", "-m", "Begin")
        if registered:
            add_project(self.paths, repo.root)
            self.tick()
        return repo

    def ask(self, exchange: Exchange, at: Path | str | None, *, after: float = 3.0) -> str:
        """Have an exchange recorded that takes two seconds; the turn's id.

        `at`: the directory that the client names; the gateway's rules say whose it is.
        """
        self.wait(after)
        started = self.clock()
        self.clock.ahead += 2.0
        ended = self.clock()
        body = {
            "endpoint": exchange.endpoint,
            "request": json.dumps(exchange.request),
            "response": exchange.response,
            "content_type": exchange.content_type,
            "model_asked": "m",
            "status": 200,
            "started": started,
            "ended": ended,
        }
        project = None if at is None else self._origins.of(Path(at)).project
        id = new_id(ended)
        self.spool.append("turn", body, author="model", project=project, id=id, ts=ended)
        self.tick()
        return id

    def rate(self, turn: str, rating: int, correction: str | None = None) -> None:
        """Rate an answer."""
        self.wait(5.0)
        body = {"turn": turn, "rating": rating, "correction": correction}
        self.spool.append("rating", body, author="person", ts=self.clock())
        self.tick()

    def wait(self, seconds: float) -> None:
        """Let time go by in which nothing happens."""
        self.clock.ahead += seconds
        self.tick()

    def tick(self) -> None:
        """Rounds of the daemon until nothing that was seen is left."""
        for _ in range(50):
            self.intake.tick(self.store, self.clock())
            if not self.intake._seen:
                return
        raise AssertionError("the intake does not come to an end")

    def rest(self) -> None:
        """Give the watcher time for what it need not tell."""
        time.sleep(UNSEEN_SECONDS)
        self.tick()

    def until(self, holds: Callable[[], bool]) -> None:
        """Go on until the watcher has seen something."""
        deadline = time.monotonic() + SEEN_SECONDS
        while not holds():
            assert time.monotonic() < deadline, ("not seen", self.watcher.states())
            time.sleep(0.01)
        self.tick()

    def until_head(self, commit: str) -> None:
        """Go on until the watcher has told of HEAD at a commit."""

        def told() -> bool:
            self.intake.look(self.clock())
            return any(isinstance(t, Committed) and t.commit == commit for t in self.watcher.told)

        self.until(told)

    def suggestions(self, turn: str) -> tuple[Suggestion, ...]:
        """The suggestions of a turn as they stand."""
        return feedback.suggestions_of(self.store, turn)

    def project_of(self, turn: str) -> str | None:
        """The project that a turn is held to belong to."""
        return turns.load_turn(self.store, turn).project

    def fates(self, turn: str) -> tuple[str | None, ...]:
        """The fate of each suggestion of a turn, in the words of contracts 5; None while open."""
        found = self.suggestions(turn)
        if found and hasattr(found[0], "fate"):
            return tuple(getattr(s, "fate", None) for s in found)
        return tuple(self._as_before(turn, s) for s in found)

    def _as_before(self, turn: str, suggestion: Suggestion) -> str | None:
        """The fate of a store that has only R2's feedback."""
        told = feedback.load_feedback(self.store, turn)
        if told.rating is not None and told.rating <= 2:
            return "rejected"
        if suggestion.state != "settled":
            return None
        if suggestion.final_text is None or suggestion.reverted:
            return "rejected"
        alike = suggestion.similarity or 0.0
        return "kept" if alike >= 0.98 else "edited" if alike >= 0.5 else "rejected"
