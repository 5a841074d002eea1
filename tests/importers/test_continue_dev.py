"""Continue's development data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qi_learn.importers.continue_dev import files, read
from qi_learn.records import ImportedItem, ImportedTurn, NotUnderstood, ToolRating, ToolSign
from tests.support.foreign_logs import CODE, continue_completion, continue_event, jsonl

AT = 1_790_000_000.0
PROMPT = "<system>\nBe brief.\n\n<user>\nWrite total.\n\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / ".continue"


def data(root: Path, name: str) -> Path:
    return root / "dev_data" / "0.2.0" / f"{name}.jsonl"


def found(file: Path, after: str = "") -> list[ImportedItem]:
    return list(read(file, after, ended=False))


@pytest.mark.parametrize(("accepted", "said"), [(True, "accepted"), (False, "declined")])
def test_a_completion_says_whether_it_was_accepted(root: Path, accepted: bool, said: str) -> None:
    event = continue_completion(AT, "c1", "    return 1", root / "a.py", accepted)
    turn, sign = found(jsonl(data(root, "autocomplete"), [event]))
    assert isinstance(turn, ImportedTurn)
    assert (turn.key, turn.endpoint, turn.local) == ("c1", "/v1/completions", True)
    assert (turn.request["prompt"], turn.request["suffix"]) == (event["prefix"], event["suffix"])
    assert turn.directory == str(root)
    assert turn.started == pytest.approx(AT - 0.18)
    assert isinstance(sign, ToolSign)
    assert (sign.key, sign.said, sign.call) == ("c1", said, None)


def test_what_is_not_said_is_not_told(root: Path) -> None:
    event = continue_completion(AT, "c1", "    return 1", root / "a.py", None)
    (turn,) = found(jsonl(data(root, "autocomplete"), [event]))
    assert isinstance(turn, ImportedTurn)


def test_a_chat_has_its_messages_and_its_project(root: Path, tmp_path: Path) -> None:
    (root / "sessions").mkdir(parents=True)
    session = {"sessionId": "s1", "workspaceDirectory": tmp_path.as_uri(), "history": []}
    (root / "sessions" / "s1.json").write_text(json.dumps(session))
    chat = continue_event(
        "chatInteraction",
        AT,
        prompt=PROMPT,
        completion=CODE,
        modelProvider="anthropic",
        modelName="claude",
        modelTitle="Claude",
        sessionId="s1",
    )
    thumb = continue_event(
        "chatFeedback",
        AT + 60,
        prompt=PROMPT,
        completion=CODE,
        modelTitle="Claude",
        feedback=False,
        sessionId="s1",
    )
    (turn,) = found(jsonl(data(root, "chatInteraction"), [chat]))
    (rating,) = found(jsonl(data(root, "chatFeedback"), [thumb]))
    assert isinstance(turn, ImportedTurn)
    assert turn.request["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Write total."},
    ]
    assert (turn.directory, turn.session, turn.local) == (str(tmp_path), "s1", False)
    assert isinstance(rating, ToolRating)
    assert (rating.key, rating.rating) == (turn.key, 2)


def test_the_outcome_of_an_edit_is_told(root: Path) -> None:
    event = continue_event(
        "editOutcome",
        AT,
        prompt="Mend it.",
        completion=CODE,
        previousCode="x",
        newCode=CODE,
        modelProvider="ollama",
        modelName="m",
        modelTitle="m",
        accepted=False,
        filepath=(root / "a.py").as_uri(),
    )
    turn, sign = found(jsonl(data(root, "editOutcome"), [event]))
    assert isinstance(turn, ImportedTurn)
    assert isinstance(sign, ToolSign)
    assert (sign.key, sign.said) == (turn.key, "declined")


def test_lines_without_texts_are_counted_and_a_torn_one_waits(root: Path) -> None:
    whole = continue_completion(AT, "c1", "    return 1", root / "a.py", True)
    bare = {k: v for k, v in whole.items() if k not in ("prefix", "suffix", "completion")}
    file = jsonl(data(root, "autocomplete"), [bare, whole])
    with file.open("a") as out:
        out.write(json.dumps(whole | {"completionId": "c2"})[:-5])
    bad, turn, sign = found(file)
    assert isinstance(bad, NotUnderstood)
    assert "prefix" in bad.why
    assert isinstance(turn, ImportedTurn)
    assert found(file, sign.cursor) == []


def test_the_directory_means_the_files_that_are_read(root: Path) -> None:
    for name in ("tokensGenerated", "chatFeedback", "chatInteraction", "autocomplete"):
        jsonl(data(root, name), [])
    assert [file.stem for file in files(root)] == [
        "autocomplete",
        "chatInteraction",
        "chatFeedback",
    ]
