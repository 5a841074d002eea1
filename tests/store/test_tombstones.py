"""What was forgotten stays away, though the rules for secrets are others by then."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from qi_learn.records import Event, ForgetRequest
from qi_learn.redact import Redactor
from qi_learn.spool import frame
from qi_learn.store import forget
from qi_learn.store.database import Store, open_store
from qi_learn.store.forget_choice import choose
from qi_learn.store.own_redactor import redactor_of
from qi_learn.store.redact_again import redact_rows
from qi_learn.store.tombstones import Tombstones, read_key
from tests.support.drained_spool import SECRET, finished_file, take
from tests.support.redacted import KnowsNothing

ASKED = f"Why does {SECRET} not open the door of the blue house?"
SAID = f"Because {SECRET} is of another house, of the green one."
CHAT = (("user", ASKED), ("assistant", SAID))


class KnowsMore(Redactor):
    """The rules of a later version, to which more is a secret."""

    def text(self, text: str) -> str:
        """The text without what is a house."""
        return super().text(text).replace("house", "[REDACTED:house:0000]")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "qi-learn.db") as store:
        redactor_of(store)  # makes the key
        yield store


def take_in(store: Store, tmp_path: Path, id: str, said: tuple[tuple[str, str], ...]) -> int:
    """Take a request in with the last of these as its answer; how many are not kept."""
    *asked, (_, answer) = said
    sent = [{"role": role, "content": content} for role, content in asked]
    times = {"started": 1000.0, "ended": 1001.0}
    body = {"request": json.dumps({"messages": sent}), "response": answer, **times}
    finished_file(tmp_path / "spool", frame(Event(id, "turn", 5.0, "gateway", body)))
    return take(store, tmp_path / "spool").forgotten


def forget_turn(store: Store, id: str) -> None:
    choice = choose(store, ForgetRequest(1500.0, ids=(id,)))
    forget.forget_turns(store, Tombstones(store), choice.turns, choice.messages, 1500.0)


def rules(store: Store, kind: type[Redactor]) -> None:
    """Use the rules of another version, as one does that starts anew."""
    store.redactor = kind(read_key(store.path))


GONE_ON = (*CHAT, ("user", "And then?"), ("assistant", "Nothing."))
COPY = (("user", "Good morning."), ("assistant", "Hello."), *CHAT)
"""The same words in another conversation, as a tool's own log has them."""


@pytest.mark.parametrize("again", [GONE_ON, COPY])
@pytest.mark.parametrize("then", [Redactor, KnowsMore])
def test_new_rules_bring_nothing_back(
    store: Store, tmp_path: Path, then: type[Redactor], again: tuple[tuple[str, str], ...]
) -> None:
    rules(store, KnowsNothing)
    assert take_in(store, tmp_path, "T1", CHAT) == 0
    if then is KnowsMore:  # the rules change twice: before it is forgotten, and after
        rules(store, Redactor)
        list(redact_rows(store, redactor_of(store), 1200.0))
    forget_turn(store, "T1")
    rules(store, then)
    assert take_in(store, tmp_path, "T2", again) == 1
    assert store.rows("SELECT * FROM turns") == []
    assert take_in(store, tmp_path, "T3", (("user", f"Another: {ASKED}"), ("assistant", ""))) == 0


@pytest.mark.parametrize("looked_through", [False, True])
def test_nor_what_was_stored_before_marks_were_kept(
    store: Store, tmp_path: Path, looked_through: bool
) -> None:
    rules(store, KnowsNothing)
    take_in(store, tmp_path, "T1", CHAT)
    store.execute("UPDATE messages SET came = NULL")
    store.execute("UPDATE turns SET came = NULL")
    if looked_through:
        rules(store, Redactor)
        list(redact_rows(store, redactor_of(store), 1200.0))
    forget_turn(store, "T1")
    rules(store, KnowsMore)
    assert take_in(store, tmp_path, "T2", GONE_ON) == 1


def test_no_mark_tells_the_text(store: Store, tmp_path: Path) -> None:
    take_in(store, tmp_path, "T1", CHAT)
    marks = [row["came"] for row in store.rows("SELECT came FROM messages")]
    marks += [row["came"] for row in store.rows("SELECT came FROM turns")]
    assert {len(mark) for mark in marks} == {16}
    assert len(set(marks)) == len(marks) == 3
