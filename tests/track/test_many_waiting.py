"""Many answers that say almost the same wait for one place in a file."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from qi_learn.daemon.following import clean_texts, follow_save
from qi_learn.records import Message, Turn
from qi_learn.settings import CaptureSettings
from qi_learn.step_guard import StepGuard
from qi_learn.store import feedback, turns
from qi_learn.store.database import Store, open_store
from qi_learn.store.followed import load_followed, save_changes
from qi_learn.store.working_time import window_start
from qi_learn.track.save import Save
from qi_learn.track.suggestions import suggestions_of
from qi_learn.track.survival import on_saved
from qi_learn.track.waiting import CLOSELY, WaitingSketches
from qi_learn.workspace.changes import FileSaved
from qi_learn.workspace.file_history import FileHistory
from tests.support.redacted import as_redacted

COUNT = 3 * CLOSELY
PROJECT = "/project"
NOW = time.time()


def code(n: int) -> str:
    said = "sum(p * r for p, r in zip(prices, rates))"
    return f"def total_{n}(prices, rates):\n    return {said} + {n}\n"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "store.db") as opened:
        for n in range(COUNT):
            turn = Turn(
                *(f"T{n:04d}", "/api/chat", "m", "m", (Message("user", "Write it."),)),
                f"```python\n{code(n)}```",
                started=NOW - 500 + n / 10,
                ended=NOW - 499 + n / 10,
                project=PROJECT,
            )
            turns.save_turn(opened, as_redacted(turn))
            feedback.save_suggestions(opened, as_redacted(suggestions_of(turn)))
        yield opened


def save(store: Store, text: str, name: str = "a.py") -> None:
    history = FileHistory("", window=1800.0)
    history.record(NOW - 100, text)
    follow_save(
        store,
        FileSaved(PROJECT, Path(PROJECT) / name, text, NOW - 100),
        history,
        CaptureSettings(),
        NOW,
    )


def placed(store: Store) -> list[str]:
    return [
        f"T{n:04d}"
        for n in range(COUNT)
        if feedback.suggestions_of(store, f"T{n:04d}")[0].state == "placed"
    ]


@pytest.mark.parametrize("n", [0, COUNT // 2, COUNT - 1])
def test_the_one_that_was_pasted_is_found_however_many_wait(store: Store, n: int) -> None:
    save(store, code(n))
    assert placed(store) == [f"T{n:04d}"]
    others = [feedback.suggestions_of(store, f"T{m:04d}")[0] for m in range(COUNT) if m != n]
    assert {(s.state, s.touched_at) for s in others} == {("waiting", None)}, "none is passed by"


def test_two_that_were_pasted_are_both_found(store: Store) -> None:
    save(store, code(3) + "\n\n" + code(COUNT - 3))
    assert placed(store) == ["T0003", f"T{COUNT - 3:04d}"]


def test_one_that_was_edited_is_still_placed_once(store: Store) -> None:
    save(store, code(7).replace("prices, rates", "prices, rates, limit"))
    assert len(placed(store)) == 1


def _random(picks: random.Random, n: int) -> str:
    """A piece of code that has most of its words and lines from few."""
    names = [f"{word}{picks.choice(['', '', n])}" for word in ("price", "rate", "total", "count")]
    lines = [
        f"def {picks.choice(names)}({', '.join(picks.sample(names, 2))}):",
        *(
            f"    {picks.choice(names)} {picks.choice('+-*')}= {picks.choice(names)} * {n % 3}"
            for _ in range(picks.randint(1, 6))
        ),
        f"    return {picks.choice(names)}",
    ]
    return "\n".join(lines[: picks.randint(1, len(lines))]) + "\n"


def _set_of_answers(store: Store, picks: random.Random) -> list[str]:
    """Answers of several projects and times, of which some say nothing, some have parts."""
    said = []
    for n in range(4 * CLOSELY):
        blocks = [_random(picks, picks.randint(0, 50)) for _ in range(picks.choice([1, 1, 1, 2]))]
        started = NOW - picks.choice([3000, 1500, 400, 300, 200, 150, 50]) - picks.random()
        turn = Turn(
            *(f"T{n:04d}", "/api/chat", "m", "m", (Message("user", "Write it."),)),
            "".join(f"```python\n{block}```\n" for block in blocks),
            started=started,
            ended=started + picks.choice([0.5, 0.5, 5.0]),
            status=picks.choice([200, 200, 200, 500]),
            project=picks.choice([PROJECT, PROJECT, None, "/other"]),
        )
        turns.save_turn(store, as_redacted(turn))
        feedback.save_suggestions(store, as_redacted(suggestions_of(turn)))
        said += blocks
    return said


@pytest.mark.parametrize("seed", range(12))
def test_what_becomes_of_each_is_the_same_as_if_all_were_compared(
    tmp_path: Path, seed: int
) -> None:
    """Random answers, and saves of several files of pasted, edited and other code."""
    picks = random.Random(seed)
    sketches, guard = WaitingSketches(), StepGuard()
    histories = {name: FileHistory("import os\n", window=3600.0) for name in ("a.py", "b.py")}
    began = FileHistory(None, window=3600.0, began=NOW - 350)
    histories["c.py"] = began
    with open_store(tmp_path / "all.db") as whole, open_store(tmp_path / "some.db") as some:
        state = picks.getstate()
        said = _set_of_answers(whole, picks)
        picks.setstate(state)
        assert _set_of_answers(some, picks) == said
        for n in range(8):
            name, ts = picks.choice(list(histories)), NOW - 180 + 20 * n
            text = "".join(picks.sample(said, picks.randint(0, 3)))
            if picks.random() < 0.5:
                text = text.replace("price", "cost", picks.randint(1, 4)) + "other = 1\n"
            histories[name].record(ts, text)
            saved = FileSaved(PROJECT, Path(PROJECT) / name, text, ts)
            settings = CaptureSettings()
            since = window_start(some, ts, settings.window)
            tracked = load_followed(
                *(whole, PROJECT, guard), placed=0.0, ended=since, file=saved.place
            )
            texts = clean_texts(whole)
            save = Save(saved, histories[name], settings, guard, texts, since=since)
            changes = on_saved(tracked, save, NOW)
            save_changes(whole, [as_redacted(change) for change in changes])
            follow_save(some, saved, histories[name], settings, NOW, guard, sketches=sketches)
        assert _all(some) == _all(whole)
        placed = sum(row[1] == "placed" for row in _all(whole))
        assert placed, "something is found"


def _all(store: Store) -> list[tuple[object, ...]]:
    """All that is stored of suggestions, and what follows for their turns."""
    found: list[tuple[object, ...]] = []
    for table, what in (("suggestions", "turn_id, state, ordinal"), ("turns", "id, project")):
        found += [tuple(row) for row in store.rows(f"SELECT {what}, * FROM {table} ORDER BY 1, 3")]
    return found + [tuple(row) for row in store.rows("SELECT * FROM feedback ORDER BY 1")]


def test_a_set_that_is_too_large_to_be_known_is_compared_all_the_same(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qi_learn.track.waiting.MOST_CHARACTERS", 0)
    save(store, code(5))
    assert placed(store) == ["T0005"]
