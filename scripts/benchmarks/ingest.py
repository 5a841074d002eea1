"""How many events a second the store takes in: `scripts/bench ingest [COUNT]`.

Target: 2,000 a second, each stored exactly once (design 8). A third are turns of conversations that
send their whole history again (up to nine messages), a third ratings, a third saved files of 2 kB.
Then the same again while the process that takes them in is killed (SIGKILL) at random moments and
started anew: `lost` and `duplicated` count events, `kills` how often. The last line is one JSON
object.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from qi_learn.records import Event, Message, Suggestion, Turn
from qi_learn.spool import Spool, read_from, spool_files
from qi_learn.store import turns
from qi_learn.store.database import open_store
from qi_learn.store.ingest import drain

CODE = "def total(prices, rate):\n    return sum(prices) * (1 + rate)\n" * 8


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures how many events a second are stored.")
    parser.add_argument("count", nargs="?", type=int, default=12_000, help="of events")
    parser.add_argument("--kills", type=int, default=30, help="at least so many")
    chosen = parser.parse_args()
    print(json.dumps({**measure(chosen.count), **killed(chosen.count, chosen.kills)}))


def decode(event: Event) -> Turn:
    request = json.loads(event.body["request"])
    messages = tuple(Message(m["role"], m["content"]) for m in request["messages"])
    return Turn(
        event.id,
        "/api/chat",
        "m",
        "m",
        messages,
        event.body["response"],
        event.ts - 1,
        event.ts,
        project=event.project,
    )


def suggest(turn: Turn) -> tuple[Suggestion, ...]:
    return (Suggestion(turn.id, 0, turn.answer, 0, len(turn.answer)),)


def fill(directory: Path, count: int) -> int:
    spool = Spool(directory, "bench")
    history: list[dict[str, str]] = []
    for i in range(count):
        if i % 3 == 0:
            history = [*history, {"role": "user", "content": f"question {i}: change this\n{CODE}"}]
            answer = f"answer {i}\n```python\n{CODE}```\n"
            spool.append(
                "turn",
                {"request": json.dumps({"messages": history}), "response": answer},
                project="p",
                ts=1e9 + i,
            )
            history = (
                [] if len(history) >= 9 else [*history, {"role": "assistant", "content": answer}]
            )
        elif i % 3 == 1:
            spool.append("rating", {"turn": "last", "rating": 4}, project="p", ts=1e9 + i)
        else:
            spool.append("edit", {"file": "a.py", "text": CODE * 4}, project="p", ts=1e9 + i)
    spool.close()
    return sum(path.stat().st_size for path in directory.iterdir())


def measure(count: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as home:
        spool_dir = Path(home) / "spool"
        size = fill(spool_dir, count)
        with open_store(Path(home) / "qi-learn.db") as store:
            began = time.perf_counter()
            drained = drain(store, spool_dir, decode=decode, suggest=suggest, now=2e9)
            seconds = time.perf_counter() - began
            problems = turns.verify(store)
    once = drained.count == count and not (drained.bad or drained.repeated or problems)
    print(
        f"{drained.count} events ({size / 1e6:.1f} MB) in {seconds:.2f} s: "
        f"{drained.count / seconds:,.0f} events/s; exactly once: {once}",
        file=sys.stderr,
    )
    return {
        "events_per_s": round(drained.count / seconds),
        "events": drained.count,
        "bytes": size,
        "seconds": round(seconds, 2),
        "exactly_once": once,
    }


def killed(count: int, kills: int) -> dict[str, int]:
    """What is stored of events that a process takes in which is killed again and again."""
    chance, died = random.Random(1), 0
    with tempfile.TemporaryDirectory() as home:
        spool_dir, database = Path(home) / "spool", Path(home) / "qi-learn.db"
        fill(spool_dir, count)
        wanted = Counter(
            line.event.id
            for path in spool_files(spool_dir)
            for line in read_from(path)
            if line.event is not None
        )
        open_store(database).close()
        while died < kills and any(spool_files(spool_dir)):
            died += _killed_after(database, spool_dir, chance.uniform(0.02, 0.3))
        with open_store(database) as store:
            drain(store, spool_dir, decode=decode, suggest=suggest, now=2e9)
            stored = Counter(str(row["id"]) for row in store.rows("SELECT id FROM events"))
            asked = store.rows("SELECT count(*) AS n FROM turns")[0]["n"]
            given = store.rows("SELECT count(*) AS n FROM ratings")[0]["n"]
            problems = turns.verify(store)
    twice = sum((stored - wanted).values()) + len(problems)
    twice += max(0, asked + given - 2 * (count // 3) - min(2, count % 3))
    return {"lost": sum((wanted - stored).values()), "duplicated": twice, "kills": died}


def _killed_after(database: Path, spool_dir: Path, seconds: float) -> bool:
    """Take in what waits in a child, which is killed after so long; whether it still lived."""
    if not (pid := os.fork()):
        try:
            with open_store(database) as store:
                drain(store, spool_dir, decode=decode, suggest=suggest, now=2e9)
        finally:
            os._exit(0)
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    return os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL


if __name__ == "__main__":
    main()
