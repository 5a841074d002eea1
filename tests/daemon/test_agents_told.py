"""What an agent's hook tells becomes evidence: what was said of an edit, commands, its log read."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from qi_learn.daemon.intake import Intake
from qi_learn.paths import Paths
from qi_learn.records import Suggestion
from qi_learn.rundir.recording_pause import Pause
from qi_learn.settings import Settings
from qi_learn.spool import Spool
from qi_learn.store.command_times import AT_MOST
from qi_learn.store.database import Store, open_store
from qi_learn.store.events import events_of
from qi_learn.store.feedback import suggestions_of
from qi_learn.workspace.registry import add_project
from qi_learn.workspace.watcher import Watcher
from tests.support.command_line import wait_until
from tests.support.drained_spool import SECRET
from tests.support.repository import Repository

DECLINED = Path(__file__).parents[1] / "capture/recordings/claude-code-1.0.120-declined.jsonl"
EDIT = {"old_string": "RATE = 1", "new_string": "VAT = 19"}


class Home:
    """A home with a project in which Claude Code is at work."""

    def __init__(self, root: Path, store: Store, watcher: Watcher) -> None:
        self.store, self.repo = store, Repository(root / "shop")
        self.repo.write("tax.py", "RATE = 1\n")
        self.repo.commit("Begin")
        self.paths = Paths.under(root / "home")
        add_project(self.paths, self.repo.root)
        self.intake = Intake(self.paths, Settings(), watcher)
        self.gateway = Spool(self.paths.spool, "gateway")
        self.hook = Spool(self.paths.spool, "claude")
        self.file = str(self.repo.root / "tax.py")

    def answer(self, call: str, edit: Mapping[str, Any] = EDIT, *, at: float | None = None) -> str:
        """An answer that edits the file passes the gateway."""
        ended = time.time() - 1.0 if at is None else at
        given = {"file_path": self.file, **edit}
        content = [{"type": "tool_use", "id": call, "name": "Edit", "input": given}]
        body = {
            "endpoint": "/v1/messages",
            "request": json.dumps(
                {"model": "m", "messages": [{"role": "user", "content": "Rename RATE."}]}
            ),
            "response": json.dumps({"type": "message", "role": "assistant", "content": content}),
            "content_type": "application/json",
            "model_asked": "m",
            "status": 200,
            "started": ended - 1.0,
            "ended": ended,
        }
        return self.gateway.append("turn", body, author="model", project=self.project, ts=ended)

    @property
    def project(self) -> str:
        return str(self.repo.root)

    def tell(self, name: str = "PostToolUse", *, ts: float | None = None, **more: Any) -> None:
        """The hook reports, in a file of its own."""
        payload = {"hook_event_name": name, "tool_name": "Edit", "cwd": self.project, **more}
        body = {"raw": {"payload": json.dumps(payload)}}
        self.hook.append("hook", body, author="agent", project=self.project, ts=ts)
        self.hook.close()

    def take(self) -> None:
        self.intake.tick(self.store, time.time())

    def edit(self, turn: str) -> Suggestion:
        (suggestion,) = suggestions_of(self.store, turn)
        return suggestion

    def said(self, *turns: str) -> list[str | None]:
        self.take()
        return [self.edit(turn).said for turn in turns]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    paths = Paths.under(tmp_path / "home").ensure()
    with open_store(paths.database) as store, Watcher() as watcher:
        made = Home(tmp_path, store, watcher)
        yield made
        made.gateway.close()
        made.hook.close()
        made.intake.close()


def test_an_edit_is_applied_or_failed_by_its_calls_id(home: Home) -> None:
    one, two, three = (home.answer(f"toolu_{n}") for n in range(3))
    home.tell(tool_use_id="toolu_0", tool_input=EDIT)
    home.tell("PostToolUseFailure", tool_use_id="toolu_1", tool_input=EDIT, error="Not found")
    assert home.said(one, two, three) == ["applied", "failed", None]
    assert home.edit(two).fate is None, "a failure is no rejection"


def test_without_an_id_the_file_and_the_text_say_which_edit_it_was(home: Home) -> None:
    one = home.answer("toolu_1")
    two = home.answer("toolu_2", {"old_string": "RATE = 1", "new_string": "TAX = 7"})
    home.tell(tool_input={"file_path": home.file, **EDIT})
    home.tell(tool_input={"file_path": "/elsewhere.py", "new_string": "TAX = 7"})
    assert home.said(one, two) == ["applied", None]
    for event in events_of(home.store, "sign"):
        assert event.body == {"said": "applied", "by": "claude hook"}, "the text is kept once"


def test_of_two_answers_with_one_edit_each_report_is_of_one(home: Home) -> None:
    now = time.time()
    first, second = (home.answer("", at=now - back) for back in (20.0, 10.0))
    home.tell(tool_input={"file_path": home.file, **EDIT})
    assert home.said(first, second) == [None, "applied"]
    home.tell(tool_input={"file_path": home.file, **EDIT})
    assert home.said(first, second) == ["applied", "applied"]


def test_an_id_that_comes_again_is_of_the_newest_answer(home: Home) -> None:
    now = time.time()
    old, new = (home.answer("call_0", at=now - back) for back in (20.0, 10.0))
    home.tell(tool_use_id="call_0", tool_input=EDIT)
    assert home.said(old, new) == [None, "applied"]


def test_what_was_told_before_the_answer_or_long_after_is_not_of_it(home: Home) -> None:
    now = time.time()
    old, late = home.answer("toolu_1", at=now - 90000.0), home.answer("toolu_2", at=now)
    home.tell(tool_use_id="toolu_1", tool_input=EDIT)
    home.tell(tool_use_id="toolu_2", tool_input=EDIT, ts=now - 60.0)
    assert home.said(old, late) == [None, None]


def test_the_person_declined_it(home: Home) -> None:
    turn = home.answer("toolu_1")
    error = "The user doesn't want to proceed with this tool use. STOP what you are doing."
    home.tell("PostToolUseFailure", tool_use_id="toolu_1", tool_input=EDIT, error=error)
    assert home.said(turn) == ["declined"]
    assert home.edit(turn).inferred == "rejected"


def test_a_command_of_the_agents_is_an_outcome_of_the_agents(home: Home) -> None:
    ran = {"stdout": f"..F\n1 failed, 2 passed in 0.1s\nkey {SECRET}", "interrupted": False}
    home.tell(tool_name="Bash", tool_input={"command": "pytest -q"}, tool_response=ran)
    home.take()
    (row,) = home.store.rows("SELECT command, exit_code, cwd FROM commands")
    assert tuple(row) == ("pytest -q", 0, home.project)
    (event,) = events_of(home.store, "outcome")
    assert (event.author, event.project) == ("agent", home.project)
    assert SECRET not in home.paths.database.read_bytes().decode("latin-1")


def test_a_command_of_a_hook_began_after_the_answer_with_its_call(home: Home) -> None:
    called = time.time() - 200.0
    home.answer("toolu_1", at=called)
    ran: dict[str, Any] = {
        "tool_name": "Bash",
        "tool_input": {"command": "pytest -q"},
        "tool_response": {"stdout": "2 passed in 0.1s", "interrupted": False},
    }
    home.tell(**ran, tool_use_id="toolu_1")
    home.tell(**ran)
    home.take()
    known, unknown = home.store.rows("SELECT ts, seconds FROM commands ORDER BY seconds")
    assert abs(known["ts"] - known["seconds"] - called) < 0.01
    assert unknown["seconds"] == AT_MOST, "older versions name no call"


def test_the_payload_itself_is_not_kept(home: Home) -> None:
    home.tell(tool_use_id="t", tool_input=EDIT, tool_response={"originalFile": "all of the file"})
    home.take()
    rows = home.store.rows("SELECT kind, body FROM events WHERE kind IN ('hook', 'sign')")
    assert [row["kind"] for row in rows] == ["sign"]
    assert "all of the file" not in str([dict(row) for row in rows])


def test_in_a_pause_it_says_nothing(home: Home) -> None:
    turn = home.answer("toolu_1", at=time.time() - 100)
    home.take()
    now = time.time()
    home.paths.pause.write_text(
        json.dumps({"since": now - 60, "until": int(now) + 60, "before": []}) + "\n"
    )
    assert Pause(now - 60, now + 60).holds(now)
    home.tell(tool_use_id="toolu_1", tool_input=EDIT)
    assert home.said(turn) == [None]


def test_a_payload_that_is_no_json_is_set_aside(home: Home) -> None:
    payload = '{"tool_input": {"content": "all of the file'
    home.hook.append("hook", {"raw": {"payload": payload}}, project=home.project)
    home.hook.close()
    turn = home.answer("toolu_1")
    home.tell(tool_use_id="toolu_1", tool_input=EDIT)
    assert home.said(turn) == ["applied"]
    (file,) = (home.paths.spool / "bad").iterdir()
    kept = json.loads(file.read_text())
    assert "JSON" in kept["problem"]
    assert "all of the file" not in file.read_text(), "what the agent sent is not kept"
    assert json.loads(kept["text"])["project"] == home.project, "it is forgotten with that"


def test_what_was_declined_last_of_all_is_read_from_the_transcript(home: Home) -> None:
    """No request came behind it: the person refused the edit and left. As recorded."""
    turn = home.answer("toolu_edit_1")
    transcript = home.repo.root.parent / "session.jsonl"
    text = DECLINED.read_text().replace("/work/shop", home.project)
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    transcript.write_text(re.sub(r'(?<="timestamp": ")[^"]+', now, text))
    home.take()
    home.tell("SessionEnd", transcript_path=str(transcript), reason="prompt_input_exit")
    wait_until(lambda: home.said(turn) == ["declined"])
    assert home.edit(turn).inferred == "rejected"
    kinds = [e.kind for e in events_of(home.store, "turn")]
    assert len(kinds) == 2, "the gateway's, and the question before it, which that missed"


def test_a_transcript_that_is_gone_hurts_nothing(home: Home) -> None:
    home.tell("Stop", transcript_path="/none/session.jsonl")
    home.take()
    turn = home.answer("toolu_1")
    home.tell(tool_use_id="toolu_1", tool_input=EDIT)
    assert home.said(turn) == ["applied"]
