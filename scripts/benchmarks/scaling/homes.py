"""What history, projects and files are measured on: homes and repositories, all made up."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from qi_learn.paths import Paths
from qi_learn.records import Feedback, Message, Score, Suggestion, Turn
from qi_learn.settings import KeepSettings
from qi_learn.store import feedback
from qi_learn.store.candidates import JudgedTurn, save_candidates
from qi_learn.store.database import Store, open_store
from qi_learn.store.turns import save_turn
from qi_learn.workspace.registry import add_project
from tests.support.redacted import as_redacted

BODY = "".join(f"    value_{n} = prices[{n}] * (1 + rate) + offset\n" for n in range(12))
IN_A_TRANSACTION = 500


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Home:
    """A home of its own, whose daemon serves a model server that has nothing to say."""

    root: Path
    projects: list[Path]
    server: str

    @property
    def paths(self) -> Paths:
        return Paths.under(self.root)

    @property
    def env(self) -> dict[str, str]:
        # an installation has its bytecode; a machine that writes none would compile each time
        kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        return {**kept, "QI_LEARN_HOME": str(self.root)}

    def qi(self, *words: str) -> float:
        """Seconds of one command, which must succeed."""
        return seconds_of([sys.executable, "-m", "qi_learn", *words], self.env, self.projects[0])


def seconds_of(command: list[str], env: dict[str, str], cwd: Path) -> float:
    began = time.perf_counter()
    subprocess.run(command, env=env, cwd=cwd, check=True, capture_output=True)
    return time.perf_counter() - began


def make_projects(place: Path, count: int, files: int) -> list[Path]:
    """Repositories with two branches that differ in every file."""
    first = place / "p0"
    for number in range(files):
        path = first / f"package_{number // 50}" / f"module_{number}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"NUMBER = {number}\n\n\ndef total(prices, rate, offset):\n{BODY}")
    git(first, "init", "-q", "-b", "main")
    git(first, "add", "-A")
    git(first, "commit", "-q", "-m", "one")
    git(first, "checkout", "-q", "-b", "other")
    for path in first.rglob("*.py"):
        path.write_text(path.read_text() + "\n\nOTHER = True\n")
    git(first, "commit", "-q", "-a", "-m", "two")
    git(first, "checkout", "-q", "main")
    others = [place / f"p{n}" for n in range(1, count)]
    for other in others:
        shutil.copytree(first, other)
    return [first, *others]


def git(place: Path, *words: str) -> None:
    who = ("-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c", "gc.auto=0")
    subprocess.run(["git", *who, *words], cwd=place, check=True, capture_output=True)


def history(store: Store, count: int, projects: list[Path]) -> None:
    """Turns, most recent last: asked, answered, kept, committed and scored.

    They go back as far as texts are kept by default: a home of that size has let the older ones
    expire from day to day, and goes on doing so at the rate at which they came.
    """
    now, span = time.time(), KeepSettings().raw_days * 86400.0
    for first in range(0, count, IN_A_TRANSACTION):
        with store.transaction():
            for n in range(first, min(count, first + IN_A_TRANSACTION)):
                at = now - span + (span - 86400) * n / count
                _keep(store, n, at, str(projects[n % len(projects)]))
    store.checkpoint()


def _keep(store: Store, n: int, at: float, project: str) -> None:
    code = f"def total_{n}(prices, rate, offset):\n{BODY}"
    answer = f"Here it is:\n```python\n{code}```\n"
    question = Message("user", f"Write function {n}, with tax, as in the other module. " * 6)
    turn = Turn(
        f"01SCALE{n:019d}", "/api/chat", "qwen:7b", "qi-agent:v1.0.0", (question,), answer, at,
        at + 2, project=project, session=f"s{n // 40}", done_reason="stop",
    )  # fmt: skip
    save_turn(store, as_redacted(turn))
    kept = n % 3 == 0
    suggestion = Suggestion(turn.id, 0, code, 22, 22 + len(code), "python", state="unknown")
    if kept:
        suggestion = replace(
            suggestion, state="settled", file="a.py", region=code, placed_at=at + 30,
            touched_at=at + 30, settled_at=at + 700, final_text=code, commit=f"{n:040x}",
            similarity=1.0, looked_at=at + 8 * 86400,
        )  # fmt: skip
    feedback.save_suggestions(store, as_redacted([suggestion]))
    feedback.save_implicit(store, turn.id, as_redacted(Feedback(accepted=True if kept else None)))
    feedback.save_classes(store, turn.id, "code_generation", "simple", f"d{n % 5}", as_redacted([]))
    learnable = kept and n % 30 == 0
    score = Score(turn.id, 0.6, 0.5, 0.8 if learnable else 0.5, code)
    feedback.save_score(store, as_redacted(score))
    if learnable:  # was looked at as an example when it was scored
        save_candidates(
            store, [JudgedTurn(turn.id, f"{n:064x}", "", turn.session or "", 0.8, at, True)]
        )


class _Nothing(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._answer(b'{"version": "0.12.0", "models": []}')

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._answer(b'{"error": "model not found"}', 404)

    def _answer(self, body: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def model_server() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Nothing)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()


def fill(home: Home, turns: int) -> None:
    """Make a home with so many turns, and an answer that waits in each project."""
    home.paths.ensure()
    home.paths.settings_file.write_text(
        f'[serve]\nbase = "qwen:7b"\nollama = "{home.server}"\n[gateway]\nport = 0\n'
        "[train]\nauto = false\n"
    )
    for project in home.projects:
        add_project(home.paths, project)
    began = time.perf_counter()
    with open_store(home.paths.database) as store:
        history(store, turns, home.projects)
    size = home.paths.database.stat().st_size
    say(f"{turns} turns, {size / 1e9:.2f} GB, in {time.perf_counter() - began:.0f} s")
