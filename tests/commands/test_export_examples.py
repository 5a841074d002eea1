"""`qi-learn export data --format ...`: forms that others publish, and turns that come back."""

from __future__ import annotations

import json
import random
import stat
import string
from pathlib import Path
from typing import Any

import pytest

from qi_learn.commands.export_examples import (
    COMPLETION,
    NO_PAIR,
    ExampleFormat,
    export_examples,
    shared_conversation,
)
from qi_learn.commands.export_turns import export_turns
from qi_learn.errors import NotFound
from qi_learn.paths import Paths
from qi_learn.records import Message
from qi_learn.settings import Settings
from qi_learn.store.database import Store, open_store
from qi_learn.store.turns import load_turn
from tests.support.command_line import OFFLINE, Terminal
from tests.support.dataset_world import ANSWER, CODE, keep, suggestion, turn
from tests.support.imported_home import ImportedHome

TOKEN = "ghp_" + "".join(random.Random(7).choices(string.ascii_letters + string.digits, k=36))
EDITED = "def area(r):\n    return 3.14159 * r\n"
CALLS = {
    "tool_calls": [
        {
            "id": "c1",
            "function": {"name": "write", "arguments": {"path": "a.py", "content": "x=1\n"}},
        }
    ]
}


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    made = Paths.under(tmp_path / "home").ensure()
    with open_store(made.database) as store:
        fill(store)
    return made


def fill(store: Store) -> None:
    """Answers: edited, kept as it was, with tools, a completion, and one that is not enough."""
    edited, kept, poor = turn(0, question="one"), turn(1, question="two"), turn(4, question="five")
    keep(store, edited, suggestion(edited, final=EDITED))
    keep(store, kept, suggestion(kept, final=CODE))
    keep(store, poor, suggestion(poor, final=CODE), score=0.3)
    messages = (
        Message("system", "Be brief."),
        Message("user", "three"),
        Message("assistant", "", CALLS),
        Message("tool", "written", {"tool_name": "write", "tool_call_id": "c1"}),
    )
    tools = [{"type": "function", "function": {"name": "write", "parameters": {}}}]
    with_tools = turn(2, messages=messages, request={"tools": tools})
    keep(store, with_tools, suggestion(with_tools, final=CODE))
    completion = turn(
        3,
        endpoint="/api/generate",
        messages=(Message("prompt", "def area(r):"),),
        request={"raw": True},
        answer="\n    return 3 * r\n",
    )
    keep(store, completion, suggestion(completion, completion.answer, final=completion.answer))


def exported(paths: Paths, form: ExampleFormat, file: Path) -> tuple[list[dict[str, Any]], Any]:
    report = export_examples(paths, Settings(), file, form)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(lines) == report.written
    assert stat.filemode(file.stat().st_mode) == "-rw-------"
    return lines, report.left_out


def test_openai_has_messages_that_end_with_the_kept_answer(paths: Paths, tmp_path: Path) -> None:
    lines, left = exported(paths, "openai", tmp_path / "o.jsonl")
    assert left == {COMPLETION: 1}
    assert all(set(line) <= {"messages", "tools"} for line in lines)
    for line in lines:
        roles = [message["role"] for message in line["messages"]]
        assert set(roles) <= {"system", "user", "assistant", "tool"}
        assert roles[-1] == "assistant"
        assert all(isinstance(message["content"], str) for message in line["messages"])
    assert lines[0]["messages"][-1]["content"] == ANSWER.replace(CODE, EDITED)
    call = lines[2]["messages"][2]["tool_calls"][0]
    assert (call["id"], call["type"]) == ("c1", "function")
    assert json.loads(call["function"]["arguments"])["path"] == "a.py"
    assert lines[2]["messages"][3]["tool_call_id"] == "c1"
    assert lines[2]["tools"][0]["function"]["name"] == "write"


def test_sharegpt_lets_a_person_and_the_model_take_turns(paths: Paths, tmp_path: Path) -> None:
    lines, _ = exported(paths, "sharegpt", tmp_path / "s.jsonl")
    for line in lines:
        said = [entry["from"] for entry in line["conversations"]]
        turns = [sender for sender in said if sender != "system"]
        assert said.count("system") <= 1
        assert set(turns[::2]) <= {"human", "observation"}
        assert set(turns[1::2]) <= {"gpt", "function_call"}
        assert turns[-1] == "gpt"
    third = lines[2]["conversations"]
    assert [e["from"] for e in third] == ["system", "human", "function_call", "observation", "gpt"]
    assert json.loads(third[2]["value"]) == CALLS["tool_calls"][0]["function"]


def test_neighbours_on_one_side_become_one(paths: Paths) -> None:
    said = [{"role": "user", "content": word} for word in ("a", "b")]
    assert shared_conversation(said) == [{"from": "human", "value": "a\n\nb"}]


def test_dpo_sets_what_was_kept_against_what_was_suggested(paths: Paths, tmp_path: Path) -> None:
    (line,), left = exported(paths, "dpo", tmp_path / "d.jsonl")
    assert set(line) == {"prompt", "chosen", "rejected"}
    assert line["prompt"] == [{"role": "user", "content": "one"}]
    assert line["chosen"] == [{"role": "assistant", "content": ANSWER.replace(CODE, EDITED)}]
    assert line["rejected"] == [{"role": "assistant", "content": ANSWER}]
    assert left == {COMPLETION: 1, NO_PAIR: 2}


def test_an_earlier_answer_of_which_nothing_was_kept_is_a_pair(
    paths: Paths, tmp_path: Path
) -> None:
    with open_store(paths.database) as store:
        first = turn(5, question="six", answer="```python\nimport os\nos.system('x')\n```")
        second = turn(6, question="six")
        keep(store, first, score=0.1)
        keep(store, second, suggestion(second, final=CODE))
    lines, _ = exported(paths, "dpo", tmp_path / "d.jsonl")
    assert lines[-1]["rejected"][0]["content"] == first.answer


def test_a_secret_that_no_rule_knew_then_is_taken_out_now(paths: Paths, tmp_path: Path) -> None:
    with open_store(paths.database) as store:
        store.execute("UPDATE messages SET content = ? WHERE content = 'one'", (f"Use {TOKEN}",))
    forms: tuple[ExampleFormat, ...] = ("openai", "sharegpt", "dpo")
    for form in forms:
        export_examples(paths, Settings(), tmp_path / form, form)
    export_turns(paths, tmp_path / "jsonl")
    texts = [(tmp_path / form).read_text() for form in (*forms, "jsonl")]
    assert all(TOKEN not in text and "[REDACTED:github-token:" in text for text in texts)


def test_a_file_that_is_there_is_not_written_over(paths: Paths, tmp_path: Path) -> None:
    (tmp_path / "o.jsonl").touch()
    with pytest.raises(NotFound, match="is there already"):
        exported(paths, "openai", tmp_path / "o.jsonl")
    with pytest.raises(NotFound, match="Nothing was recorded"):
        export_turns(Paths.under(tmp_path / "none"), tmp_path / "n.jsonl")


# --- jsonl, and back ------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path) -> ImportedHome:
    return ImportedHome(tmp_path / "other", now=1_790_003_600.0)


def test_turns_come_back_as_they_were(paths: Paths, home: ImportedHome, tmp_path: Path) -> None:
    with open_store(paths.database) as store:
        names = ("id", "ts", "asked", "turn_id", "rating", "correction")
        store.insert("ratings", names, ("R1", 1_790_000_100.0, "turn-0001", "turn-0001", 4, None))
        before = [load_turn(store, f"turn-{n:04d}") for n in range(5)]
    assert export_turns(paths, tmp_path / "turns.jsonl") == 5
    home.paths.projects.write_text(json.dumps(["/p"]))
    said = home.bring("jsonl", tmp_path / "turns.jsonl")
    assert (said.turns, said.ratings, said.not_understood) == (5, 1, 0)
    assert home.take_in().bad == 0
    after = home.interactions()
    assert [one.turn for one in after] == before
    assert [one.feedback.rating for one in after] == [None, 4, None, None, None]
    assert home.bring("jsonl", tmp_path / "turns.jsonl", again=True).turns == 5
    assert home.take_in().count == 0


def test_into_the_home_it_is_from_nothing_comes(home: ImportedHome, tmp_path: Path) -> None:
    log = home.root / "claude"
    home.now = float(int(home.now))
    home.bring("claude", home.log_of("claude"))
    home.take_in()
    before = home.interactions()
    export_turns(home.paths, log / "turns.jsonl")
    home.bring("jsonl", log / "turns.jsonl")
    taken = home.take_in()
    assert (taken.count, taken.bad) == (0, 0)
    assert home.interactions() == before


def test_a_line_of_another_form_is_counted(home: ImportedHome, tmp_path: Path) -> None:
    file = tmp_path / "turns.jsonl"
    good: dict[str, Any] = {
        "id": "T1",
        "endpoint": "/api/chat",
        "model_asked": "m",
        "model_answered": "m",
    }
    good |= {"messages": [], "answer": "a", "started": 1_790_000_000.0, "ended": 1_790_000_001.0}
    lines: list[Any] = [
        {"messages": []},
        {"format": "qi-learn turn 1", "turn": {**good, "odd": 1}},
        {"format": "qi-learn turn 1", "turn": good},
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    said = home.bring("jsonl", file)
    assert (said.turns, said.not_understood) == (1, 2)
    home.take_in()
    assert [one.turn.id for one in home.interactions()] == ["T1"]


def test_on_the_command_line(paths: Paths, tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, OFFLINE)
    said = terminal.qi("export", "data", "--format", "dpo", str(tmp_path / "d.jsonl"), "--json")
    assert said.json["written"] == 1
    said = terminal.qi("export", "data", "--format", "jsonl", str(tmp_path / "t.jsonl"))
    assert said.out.splitlines() == [f"{tmp_path / 't.jsonl'}: 5 turns"]
    assert terminal.qi("export", "data", "--format", "csv", str(tmp_path / "x")).code == 2
