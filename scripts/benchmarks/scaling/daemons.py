"""A daemon on a home, as a process: its start, and what it takes of a core."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qi_learn.daemon import client
from qi_learn.records import Message, Suggestion, Turn
from qi_learn.store import feedback
from qi_learn.store.database import Store, open_store
from qi_learn.store.turns import save_turn
from scripts.benchmarks.scaling.homes import Home, say
from tests.support.redacted import as_redacted

TICKS = os.sysconf("SC_CLK_TCK")
PROBE = "def probe_{0}(prices, rate, offset):\n    low = min(prices) + {0}\n    return low * rate\n"


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


def settle(home: Home, seconds: float = 900.0) -> None:
    """Wait until a second of work costs next to nothing, three times.

    Before, a home is looked through once by the rules of redaction, as after an upgrade: half a
    million turns take minutes.
    """
    began = time.monotonic()
    wait_until(home.paths.redaction_rules.exists, seconds)
    quiet = 0
    while quiet < 3 and time.monotonic() < began + seconds:
        before = cpu_seconds(home)
        time.sleep(1.0)
        quiet = quiet + 1 if cpu_seconds(home) - before <= 0.2 else 0
    say(f"at rest after {time.monotonic() - began:.0f} s")


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
            raise SystemExit("what was waited for did not come in time")
        time.sleep(0.02)
