"""What `forget --grep` looks through: what was said, and never the program's own words."""

from __future__ import annotations

import json
import time
from dataclasses import fields
from pathlib import Path

import pytest

from qi_learn.records import (
    CommandResult,
    Event,
    ForgetRequest,
    Message,
    Score,
    Signal,
    Suggestion,
    Survival,
)
from qi_learn.store import feedback, turns
from qi_learn.store.command_results import save_command
from qi_learn.store.database import Store, open_store
from qi_learn.store.events import save_event
from qi_learn.store.forget_choice import ForgetChoice, choose
from qi_learn.store.lines_left import save_survivals
from qi_learn.store.said_texts import DERIVED
from qi_learn.workspace.project_context import ProjectContext
from tests.support.forgotten_home import a_turn
from tests.support.redacted import as_redacted

CALL = {
    "type": "function",
    "function": {
        "name": "write_file",
        "arguments": '{"path": "na\\u00efve.txt", "env": {"FALCON_HOME": "/x"}}',
    },
}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "write_file",
            "description": "Writes a file where the heron nests. " * 8,
            "parameters": {"type": "object", "properties": {"plover": {"type": "string"}}},
        },
    }
]
CONTEXT = {
    "project_type": "library",
    "language": "python",
    "languages": {"python": 3},
    "frameworks": ["django"],
    "branch": "osprey",
    "filler": "x" * 300,
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = open_store(tmp_path / "db")
    asked = (Message("system", "Be a kestrel."), Message("user", 'Say "hello"\nto the crane.'))
    turn = a_turn(
        "T1",
        asked,
        "Hello!",
        100.0,
        answer_extra={"tool_calls": [CALL], "thinking": "of a bittern"},
        options={"num_predict": 5, "stop": ["<merlin>"]},
        request={"tools": TOOLS, "format": {"type": "object"}, "suffix": "(rail)"},
        context=CONTEXT,
        session="s1",
    )
    turns.save_turn(store, as_redacted(turn))
    shared = [Suggestion("T1", 0, "dunlin()", 0, 8, file="teal.py", before=("# smew",))]
    feedback.save_suggestions(store, as_redacted(shared))
    save_survivals(store, [Survival("T1", 0, "c" * 40, "src/garganey.py", 1)])
    signals = (Signal("domain", 1.0, 0.3, "100% of the project's turns are in python"),)
    score = Score("T1", 0.9, 0.5, 0.9, "curlew()", signals, ("it was kept",), 1.0)
    feedback.save_score(store, as_redacted(score))
    done = CommandResult("C1", 220.0, "/p", "test", "pytest -k avocet", 0, 1.0, cwd="/p/pipit")
    save_command(store, as_redacted(done))
    for event in (
        Event("C1", "outcome", 220.0, "run", {"kind": "test", "command": "pytest -k avocet"}),
        Event("H1", "hook", 221.0, "x", {"hook": "post-commit", "tool_input": {"ruff_dir": "1"}}),
        Event("Y1", "cycle", 222.0, "cycle", {"run": "R", "state": "failed", "reason": "no room"}),
    ):
        save_event(store, as_redacted(event), taken=time.time())
    return store


def chosen(store: Store, pattern: str) -> ForgetChoice:
    return choose(store, ForgetRequest(1000.0, grep=pattern))


@pytest.mark.parametrize(
    "word",
    [
        *("kestrel", "the crane", 'say "hello"', "Hello!", "naïve.txt", "falcon_home"),
        *("write_file", "bittern", "<merlin>", "heron nests", "plover", "(rail)", "dunlin"),
        *("teal.py", "smew", "curlew", "garganey"),
    ],
)
def test_what_was_said_of_an_answer_is_found(store: Store, word: str) -> None:
    assert chosen(store, word).turns == ("T1",)


@pytest.mark.parametrize(
    ("word", "commands", "events"),
    [
        ("avocet", ("C1",), ("C1",)),
        ("pipit", ("C1",), ()),
        ("ruff_dir", (), ("H1",)),
    ],
)
def test_commands_and_events_are_found(
    store: Store, word: str, commands: tuple[str, ...], events: tuple[str, ...]
) -> None:
    choice = chosen(store, word)
    assert (choice.turns, choice.commands, choice.events) == ((), commands, events)


def test_a_branch_in_a_context_is_found(store: Store) -> None:
    assert chosen(store, "osprey").contexts


@pytest.mark.parametrize(
    "word",
    [
        *("python", "domain", "project", "weight", "[", "{", "num_predict", "signals", '":'),
        *("function", "arguments", "object", "tool_calls", "suffix", "reason", "it was kept"),
        *("library", "django", "u00ef", "state", "no room", "post-commit", "s1", "qi-agent"),
        *("properties", "description", "tool_input", "role", "thinking", "frameworks"),
    ],
)
def test_the_programs_own_words_are_not_found(store: Store, word: str) -> None:
    choice = chosen(store, word)
    assert (choice.turns, choice.commands, choice.events) == ((), (), ())
    assert choice.contexts == ()


def test_what_a_context_derives_is_known_by_its_names() -> None:
    names = {field.name for field in fields(ProjectContext)}
    assert names - DERIVED == {"branch"}
    assert names >= DERIVED, json.dumps(sorted(DERIVED - names))
