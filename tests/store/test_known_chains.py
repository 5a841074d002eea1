"""Redaction of the new tail alone gives what redaction from the start gives."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qi_learn.records import Message
from qi_learn.redact import Redactor
from qi_learn.store import turns
from qi_learn.store.database import Store, open_store
from qi_learn.store.known_chains import KnownChains
from tests.support.drained_spool import SECRET
from tests.support.stored_turns import a_turn

REDACTOR = Redactor(b"k" * 32)
WORDS = ("hello", "password = 'x9Kq2LmPzR47'", f"use {SECRET} here", "b" * 40, "")
MESSAGES = st.builds(
    Message,
    st.sampled_from(("user", "assistant", "tool")),
    st.sampled_from(WORDS),
    st.sampled_from(({}, {"tool_name": "ls"}, {"tool_calls": [{"api_key": "q8Zt5NvW3xYb61"}]})),
)
TOOLS = [{"name": "t" * 30, "token": f"{SECRET}", "text": "d" * 1500}]


class Looked(Redactor):
    """Counts the characters it was given."""

    seen = 0

    def text(self, text: str) -> str:
        self.seen += len(text)
        return super().text(text)


@settings(max_examples=25, deadline=None)
@given(
    said=st.lists(MESSAGES, min_size=1, max_size=8),
    cuts=st.lists(st.integers(1, 8), min_size=1, max_size=6),
    room=st.sampled_from(((20_000, 1 << 20), (3, 1 << 20), (20_000, 60), (1, 1))),
    lost=st.booleans(),
)
def test_the_tail_alone_gives_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    said: list[Message],
    cuts: list[int],
    room: tuple[int, int],
    lost: bool,
) -> None:
    chains = KnownChains(REDACTOR, messages=room[0], changed=room[1])
    with open_store(tmp_path_factory.mktemp("chains") / "x.db") as store:
        for number, cut in enumerate(cuts):
            turn = a_turn(f"T{number}", messages=tuple(said[:cut]), request={"tools": TOOLS})
            clean = chains.redacted(store, turn)
            slow = REDACTOR.clean(turn).value
            assert (clean.turn.value, clean.changed) == (slow, slow != turn)
            if lost and number == 0:
                continue  # its rows were rolled back
            turns.save_turn(store, clean.turn, redacted=clean.changed, known=clean.known)
            assert turns.load_turn(store, turn.id) == slow
        assert turns.verify(store) == []


def test_only_the_tail_is_looked_at(store: Store) -> None:
    looked = Looked(b"k" * 32)
    chains = KnownChains(looked)
    history = tuple(Message("user", f"{n} " + "word " * 2000) for n in range(20))
    for number in (19, 20):
        looked.seen = 0
        turn = a_turn(f"T{number}", messages=history[:number], request={"tools": TOOLS})
        clean = chains.redacted(store, turn)
        turns.save_turn(store, clean.turn, redacted=clean.changed, known=clean.known)
    assert looked.seen < 11_000  # one message of 10,000, and the answer
    assert clean.known[0] == 19


def test_what_was_deleted_from_the_store_is_written_again(tmp_path: Path) -> None:
    chains = KnownChains(REDACTOR)
    turn = a_turn("T1")
    for name in ("one.db", "two.db"):  # the second store has none of it
        with open_store(tmp_path / name) as store:
            clean = chains.redacted(store, turn)
            turns.save_turn(store, clean.turn, known=clean.known)
            assert turns.load_turn(store, "T1") == turn
