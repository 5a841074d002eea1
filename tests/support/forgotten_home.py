"""A home in which one text lies everywhere that a text can lie, and a search for it."""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from qi_learn.deploy import journal
from qi_learn.deploy.journal import Deployment
from qi_learn.paths import Paths
from qi_learn.records import (
    CommandResult,
    Event,
    Example,
    Message,
    Pair,
    Release,
    Score,
    Snapshot,
    Split,
    Suggestion,
    Turn,
)
from qi_learn.redact import load_redactor
from qi_learn.rundir.directory import RunDirectory, RunRequest
from qi_learn.rundir.snapshot import save_snapshot
from qi_learn.spool import frame
from qi_learn.store import feedback, ratings, turns
from qi_learn.store.command_results import save_command
from qi_learn.store.database import Store, open_store
from qi_learn.store.events import save_event
from qi_learn.store.runs import apply_cycle
from tests.support.drained_spool import finished_file
from tests.support.redacted import as_redacted

WORD = "zanzibar-kestrel-4711"
"""What is to be forgotten; it stands in the turn T2 and in what repeats it."""
PROJECT = "/home/me/acme"
RUNS = ("01HZXW0000000000000000RN01", "01HZXW0000000000000000RN02")
HELLO = Message("user", "Write a function that adds two numbers.")
ADD = Message("assistant", "def add(a, b):\n    return a + b\n")
ASKED = Message("user", f"Now say {WORD} in it,\nplease, as a comment.")
ANSWER = f"def add(a, b):\n    return a + b  # {WORD}\n"
STAYING = {"T1", "T4", "T5"}


def a_turn(id: str, messages: tuple[Message, ...], answer: str, at: float, **more: object) -> Turn:
    made = Turn(id, "/api/chat", "m", "qi-agent:v1.1.0", messages, answer, at, at + 2.0)
    return replace(made, **{"session": "s1", "status": 200, **more})  # type: ignore[arg-type]


def conversation() -> list[Turn]:
    """T1 asked, T2 said the word, T3 went on; T4 asked again what T1 did; T5 is another's."""
    tools = {"tools": [{"name": "edit", "description": "edits " * 50}]}
    return [
        a_turn("T1", (HELLO,), ADD.content, 100.0, request=tools),
        a_turn("T2", (HELLO, ADD, ASKED), ANSWER, 200.0, project=PROJECT, request=tools),
        a_turn(
            "T3",
            (HELLO, ADD, ASKED, Message("assistant", ANSWER), Message("user", "Thanks.")),
            "You are welcome.",
            300.0,
        ),
        a_turn("T4", (HELLO,), "def add(x, y): return x + y\n", 400.0, project="/home/me/other"),
        a_turn("T5", (Message("user", "What is the moon?"),), "A stone.", 500.0),
    ]


def make(paths: Paths) -> None:
    """The home: rows, an old copy, a spool, data sets, versions, a receipt of before."""
    paths.ensure()
    load_redactor(paths.data / "redaction.key")
    with open_store(paths.database) as store:
        for turn in conversation():
            save_event(
                store,
                as_redacted(
                    Event(turn.id, "turn", turn.ended, "gateway", {}, "model", turn.project)
                ),
                taken=time.time(),
            )
            turns.save_turn(store, as_redacted(turn))
        _evidence(store)
        for run, learned in zip(RUNS, (("T1", "T2"), ("T4",)), strict=True):
            listed = [{"turn": t, "hash": f"h{t}", "split": "train"} for t in learned]
            body = {"run": run, "state": "snapshotted", "examples": listed}
            apply_cycle(store, as_redacted(Event(f"{run}:s", "cycle", 600.0, "cycle", body)))
        old = sqlite3.connect(paths.data / "qi-learn.db.schema-6.backup")
        store.conn.backup(old)
        old.close()
    _runs(paths)
    _deploy(paths)
    _spool(paths)


def _evidence(store: Store) -> None:
    said = f"# {WORD}"
    feedback.save_suggestions(
        store,
        as_redacted(
            [
                Suggestion("T2", 0, ANSWER, 0, len(ANSWER), file="a.py", before=(said,)),
                Suggestion("T4", 0, "def add(x, y): return x + y", 0, 10),
            ]
        ),
    )
    feedback.save_score(
        store, as_redacted(Score("T2", 0.9, 0.5, 0.9, ANSWER, (), (f"kept {WORD}",), 1.0))
    )
    feedback.save_score(store, as_redacted(Score("T4", 0.9, 0.5, 0.9, "x", (), (), 1.0)))
    body = {"turn": "T2", "rating": 5, "comment": f"good {WORD}"}
    rated = Event("G1", "rating", 250.0, "cli", body, "person")
    hook = Event("H1", "hook", 210.0, "claude", {"prompt": ASKED.content}, "agent", PROJECT)
    other = Event("H2", "hook", 510.0, "claude", {"prompt": "What is the moon?"}, "agent")
    for event in (rated, hook, other):
        save_event(store, as_redacted(event), taken=time.time())
    ratings.save_rating(store, as_redacted(rated))
    done = CommandResult("C1", 220.0, PROJECT, "test", f"pytest -k {WORD}", 0, 1.0)
    save_command(store, as_redacted(done))


def example(id: str, text: str, split: Split = "train") -> Example:
    tokens = (1, 2), (3, 4), (True, False)
    return Example(id, f"h{id}", "prompt", text, *tokens, split=split, session="s1")


def _runs(paths: Paths) -> None:
    """The first run learned T1 and T2, the second T4, and replayed T2."""
    pair = Pair("T9", "hp", "edit", "p", ANSWER, "bad", (1,), (2,), (3,), chosen_id="T2")
    first = Snapshot(RUNS[0], 1.0, "ab", (example("T1", "x"), example("T2", ANSWER)), pairs=(pair,))
    second = Snapshot(RUNS[1], 2.0, "ab", (example("T4", "y"),), replay=(example("T2", ANSWER),))
    for snapshot in (first, second):
        run = RunDirectory(paths.runs / snapshot.id)
        run.path.mkdir(parents=True)
        run.write(run.request, RunRequest(snapshot.id, "u", 1.0, "why", 0, 1, "/b.gguf", "1.0.0"))
        save_snapshot(run.snapshot, snapshot)
        (run.path / "rendered.jsonl").write_text(json.dumps(["k", ASKED.content]) + "\n")
        run.write(run.outcome, {"state": "deployed", "reason": "", "version": "1.1.0"})


def _deploy(paths: Paths) -> None:
    base = Release("1.0.0", "qi-agent:v1.0.0", "aa" * 32, 50.0, "aa" * 32)
    one = replace(base, version="1.1.0", model="qi-agent:v1.1.0", parent="1.0.0", run_id=RUNS[0])
    two = replace(one, version="1.2.0", model="qi-agent:v1.2.0", parent="1.1.0", run_id=RUNS[1])
    made = Deployment(
        "qi-agent:latest", "salt", "1.2.0", releases=(base, one, two),
        chain=("1.0.0", "1.1.0", "1.2.0"),
    )  # fmt: skip
    journal.update(paths, lambda _: made)


def _spool(paths: Paths) -> None:
    """What came in and was taken in, but lies there still; and a bad line."""
    finished_file(paths.spool, f"bad {WORD}\n".encode(), "hook")
    line = frame(
        Event("H3", "hook", 230.0, "x", {"prompt": f"again {WORD}"}, "agent", project=PROJECT)
    )
    finished_file(paths.spool, line, "codex")


def files_with(paths: Paths, word: str = WORD) -> list[str]:
    """The files of the home that hold the word, receipts and all."""
    return sorted(
        str(p.relative_to(paths.data.parent))
        for p in every_file(paths)
        if word.encode() in p.read_bytes()
    )


def every_file(paths: Paths) -> Iterator[Path]:
    for root in (paths.config, paths.data, paths.state, paths.runtime):
        yield from (p for p in root.rglob("*") if p.is_file())


def copied(paths: Paths, place: Path) -> Paths:
    """The same home at another place."""
    shutil.copytree(paths.data.parent, place)
    return Paths.under(place)
