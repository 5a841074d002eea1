"""What history, projects and files cost: `scripts/bench scale [--turns N ...]`.

A synthetic history is made through the store's own functions, projects are git repositories, and
everything is measured at the public door: the daemon as a process (CPU seconds with those of its
gateway and of git's processes), the command line as processes, medians, and `python_ms`, a bare
`python -c pass`, beside them. Targets (design 8, on two cores, with the defaults): idle share of a
core <= 0.002 and <= 1.2 x that of a small history; `status`, `log`, `rate` <= 300 ms and
`python_ms` + 200; a test's outcome <= 50 ms in the loop; a checkout of 2,000 files <= 0.5 s CPU;
500,000 agent's turns <= 4 GB; gateway up <= 2 s, all projects watched <= 20 s, <= 64 threads. The
last line is one JSON object; smaller sizes measure the same in less time.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from qi_learn.daemon import client
from qi_learn.daemon.intake import Intake
from qi_learn.paths import Paths
from qi_learn.records import Feedback, Message, Score, Suggestion, Turn
from qi_learn.settings import KeepSettings
from qi_learn.settings_file import load_settings
from qi_learn.spool import Spool
from qi_learn.store import feedback
from qi_learn.store.candidates import JudgedTurn, save_candidates
from qi_learn.store.database import Store, open_store
from qi_learn.store.turns import save_turn
from qi_learn.workspace.registry import add_project
from qi_learn.workspace.watcher import Watcher
from tests.support.redacted import as_redacted

BODY = "".join(f"    value_{n} = prices[{n}] * (1 + rate) + offset\n" for n in range(12))
TICKS = os.sysconf("SC_CLK_TCK")
IN_A_TRANSACTION = 500
PROBE = "def probe_{0}(prices, rate, offset):\n    low = min(prices) + {0}\n    return low * rate\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures what a long history costs.")
    parser.add_argument("--turns", type=int, default=500_000, help="of the long history")
    parser.add_argument("--small", type=int, default=1000, help="turns of the short one")
    parser.add_argument("--projects", type=int, default=50)
    parser.add_argument("--files", type=int, default=2000, help="in each project")
    parser.add_argument("--outcome-files", type=int, default=20_000)
    parser.add_argument("--agent-turns", type=int, default=20_000, help="scaled to 500,000")
    parser.add_argument("--idle", type=float, default=600.0, help="seconds of idleness")
    parser.add_argument("--repeats", type=int, default=7, help="of each command")
    chosen = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="qi-scale-"))
    try:
        print(json.dumps(measure(place, chosen)))
    finally:
        shutil.rmtree(place, ignore_errors=True)


def measure(place: Path, chosen: argparse.Namespace) -> dict[str, Any]:
    projects = make_projects(place / "projects", chosen.projects, chosen.files)
    with model_server() as url:
        small, large = (Home(place / name, projects, url) for name in ("small", "large"))
        fill(small, chosen.small)
        fill(large, chosen.turns)
        with daemon_of(large) as started:
            with daemon_of(small):  # idle in the same minutes: their ratio is of one machine
                settle(large)
                settle(small)
                share, small_share = idle_shares((large, small), chosen.idle)
            worked = at_work(large, chosen)
    return {
        "turns": chosen.turns,
        "projects": chosen.projects,
        "files": chosen.files,
        "idle_s": chosen.idle,
        **started,
        "idle_core_share": round(share, 5),
        "idle_core_share_small": round(small_share, 5),
        "idle_ratio": round(share / max(small_share, 1e-6), 2),
        **worked,
        "outcome_loop_ms": outcome_loop_ms(place / "outcome", chosen.outcome_files),
        "agent_turns_gb": agent_turns_gb(place / "agent", chosen.agent_turns),
    }


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# --- what is measured on ------------------------------------------------------------------------


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
        save_candidates(store, [JudgedTurn(turn.id, f"{n:064x}", "", turn.session or "", 0.8, at)])


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


# --- a daemon on a home -------------------------------------------------------------------------


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


@contextmanager
def daemon_of(home: Home) -> Iterator[dict[str, Any]]:
    """A daemon on a home that watches all of its projects; the figures of its start."""
    with open_store(home.paths.database) as store:
        wait_for_places(store, home.projects)
    command = [sys.executable, "-m", "qi_learn", "daemon"]
    with (home.root / "log").open("wb") as log:
        began = time.perf_counter()
        daemon = subprocess.Popen(command, env=home.env, stdout=log, stderr=log)
    try:
        wait_until(lambda: _gateway_up(home), 300)
        gateway = time.perf_counter() - began
        wait_until(lambda: _daemon_up(home), 300)
        opened = time.perf_counter() - began
        watched = wait_until_watched(home, began)
        result = {
            "start_gateway_s": round(gateway, 2),
            "start_daemon_s": round(opened, 2),
            "start_watched_s": round(watched, 2),
        }
        say(json.dumps(result))
        yield result
    finally:
        daemon.terminate()
        daemon.wait(120)


def idle_shares(homes: Sequence[Home], seconds: float) -> list[float]:
    """The share of a core that each takes while nothing happens."""
    used, began = [cpu_seconds(home) for home in homes], time.perf_counter()
    time.sleep(seconds)
    spent = time.perf_counter() - began
    return [(cpu_seconds(home) - was) / spent for home, was in zip(homes, used, strict=True)]


def at_work(home: Home, chosen: argparse.Namespace) -> dict[str, Any]:
    """The figures of a daemon that is up."""
    settle(home)
    threads = sum(len(list(Path(f"/proc/{p}/task").iterdir())) for p in processes(home))
    used = cpu_seconds(home)
    git(home.projects[0], "checkout", "-q", "other")
    settle(home)
    checkout = cpu_seconds(home) - used
    git(home.projects[0], "checkout", "-q", "main")
    settle(home)
    bare = [sys.executable, "-c", "pass"]
    commands: dict[str, Callable[[], float]] = {
        "python_ms": lambda: seconds_of(bare, home.env, home.projects[0]),
        "status_ms_500k": lambda: home.qi("status"),
        "log_ms_500k": lambda: home.qi("log"),
        "rate_ms_500k": lambda: home.qi("rate", "last", "4"),
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(chosen.repeats):
        for name, command in commands.items():
            times[name].append(command())
    return {
        "threads": threads,
        "checkout_cpu_s": round(checkout, 2),
        **{name: round(1000 * statistics.median(found)) for name, found in times.items()},
    }


def processes(home: Home) -> list[int]:
    """Our processes that live in this home, wherever they hang."""
    mark = f"QI_LEARN_HOME={home.root}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue  # it has ended, or is another user's
    return found


def cpu_seconds(home: Home) -> float:
    """Of those processes and of all their children that have ended (git's)."""
    total = 0
    for pid in processes(home):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += sum(int(ticks) for ticks in fields[11:15])
    return total / TICKS


def settle(home: Home, seconds: float = 120.0) -> None:
    """Wait until a second of work costs next to nothing, three times."""
    quiet, until = 0, time.monotonic() + seconds
    while quiet < 3 and time.monotonic() < until:
        before = cpu_seconds(home)
        time.sleep(1.0)
        quiet = quiet + 1 if cpu_seconds(home) - before <= 0.2 else 0


def _gateway_up(home: Home) -> bool:
    """Whether a client is answered."""
    ready = home.paths.gateway_ready
    if not ready.exists():
        return False
    url = json.loads(ready.read_text())["url"]
    with urllib.request.urlopen(f"{url}/api/version", timeout=5) as answer:
        return bool(answer.status == 200)


def _daemon_up(home: Home) -> bool:
    """Whether the daemon has opened everything."""
    return client.running(home.paths) is not None


def wait_for_places(store: Store, projects: list[Path]) -> None:
    """An answer in each project that was given just now, and is not in a file yet."""
    for number, project in enumerate(projects):
        code, at = PROBE.format(number), time.time() - 5
        answer = f"```python\n{code}```\n"
        turn = Turn(
            f"01PROBE{number:019d}", "/api/chat", "m", "m", (Message("user", "probe"),), answer, at,
            at + 1, project=str(project), session="probe",
        )  # fmt: skip
        save_turn(store, as_redacted(turn))
        feedback.save_suggestions(
            store, as_redacted([Suggestion(turn.id, 0, code, 10, 10 + len(code), "python")])
        )


def wait_until_watched(home: Home, began: float, limit: float = 600.0) -> float:
    """Save each answer in its project, each time in a new file, until all of them were seen.

    What was there when watching began cannot be told from what was there before the answer.
    """
    sql = "SELECT turn_id FROM suggestions WHERE turn_id GLOB '01PROBE*' AND state = 'waiting'"
    round_, until = 0, time.monotonic() + limit
    with open_store(home.paths.database, readonly=True) as reader:
        while waiting := [int(row[0][7:]) for row in reader.rows(sql)]:
            if time.monotonic() > until:
                raise SystemExit("not all projects were watched in time")
            round_ += 1
            for number in waiting:
                (home.projects[number] / f"probe_{round_}.py").write_text(PROBE.format(number))
            time.sleep(1.0)
    seconds = time.perf_counter() - began
    for project in home.projects:
        for probe in project.glob("probe_*.py"):
            probe.unlink()
    return seconds


def wait_until(holds: Callable[[], bool], seconds: float) -> None:
    until = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > until:
            raise SystemExit("the daemon did not come up")
        time.sleep(0.02)


# --- parts by themselves ------------------------------------------------------------------------


def outcome_loop_ms(place: Path, files: int, placed: int = 200) -> float:
    """The longest round of the intake after a test's result with so many placed suggestions."""
    (project,) = make_projects(place / "project", 1, files)
    paths = Paths.under(place / "home").ensure()
    add_project(paths, project)
    settings = load_settings(paths.settings_file)
    now = time.time()
    with open_store(paths.database) as store, Watcher() as watcher:
        for n in range(placed):
            code = f"def total_{n}(prices, rate, offset):\n{BODY}"
            turn = Turn(
                f"T{n:05d}", "/api/chat", "m", "m", (Message("user", "q"),),
                f"```python\n{code}```\n", now - 600, now - 500, project=str(project), session="s",
            )  # fmt: skip
            save_turn(store, as_redacted(turn))
            suggestion = Suggestion(
                turn.id, 0, code, 10, 10 + len(code), "python", "placed",
                f"package_0/module_{n % 50}.py", region=code, placed_at=now - 400,
                touched_at=now - 400,
            )  # fmt: skip
            feedback.save_suggestions(store, as_redacted([suggestion]))
        intake = Intake(paths, settings, watcher)
        while intake.tick(store, now) or intake.pending:
            pass
        spool = Spool(paths.spool, "bench")
        body = {"kind": "test", "command": "pytest", "exit_code": 0, "seconds": 1.0}
        spool.append("outcome", body, project=str(project), ts=now)
        spool.close()
        longest = 0.0
        while True:
            began = time.perf_counter()
            more = intake.tick(store, now + 1)
            longest = max(longest, time.perf_counter() - began)
            if not more and not intake.pending:
                return round(1000 * longest, 1)


def agent_turns_gb(place: Path, count: int) -> float:
    """What 500,000 turns of an agent take, each with 42 kB of tools and its whole conversation."""
    tools = [
        {"type": "function", "function": {"name": f"tool_{n}", "description": "what it does " * 80}}
        for n in range(40)
    ]
    with open_store(place / "qi-learn.db") as store:
        said: tuple[Message, ...] = ()
        for first in range(0, count, IN_A_TRANSACTION):
            with store.transaction():
                for n in range(first, min(count, first + IN_A_TRANSACTION)):
                    said = said if len(said) < 40 else ()
                    said = (*said, Message("tool", f"result {n}\n" + BODY * 3))
                    answer = f"def step_{n}(prices, rate, offset):\n{BODY}"
                    turn = Turn(
                        f"A{n:09d}", "/v1/chat/completions", "m", "m", said, answer, float(n),
                        n + 1.0, request={"tools": tools}, project="/p", session=f"s{n // 20}",
                    )  # fmt: skip
                    save_turn(store, as_redacted(turn))
                    feedback.save_suggestions(
                        store,
                        as_redacted([Suggestion(turn.id, 0, answer, 0, len(answer), "python")]),
                    )
                    said = (*said, Message("assistant", answer))
        store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return round((place / "qi-learn.db").stat().st_size * 500_000 / count / 1e9, 2)


if __name__ == "__main__":
    main()
