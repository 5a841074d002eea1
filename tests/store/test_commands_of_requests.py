"""What a request tells of commands is stored with its turn, and goes with it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from qi_learn.capture.told_in_requests import outcomes_told
from qi_learn.capture.wire import decode
from qi_learn.records import CommandResult, ForgetRequest
from qi_learn.spool import Spool
from qi_learn.store.command_times import AT_MOST
from qi_learn.store.database import open_store
from qi_learn.store.forget import forget_rest
from qi_learn.store.forget_choice import choose
from qi_learn.store.ingest import drain
from qi_learn.track.suggestions import suggestions_of
from tests.support.stored_commands import commands_of
from tests.support.world import turn_body


def _asked_by_an_agent(project: Path) -> dict[str, Any]:
    body = turn_body(1, "x = 1\n", session="s", at=time.time() - 5)
    made = {"id": "c1", "function": {"name": "bash", "arguments": {"command": "pytest -q"}}}
    messages = [
        {"role": "system", "content": f"<env>\nWorking directory: {project}\n</env>"},
        {"role": "user", "content": "Test it."},
        {"role": "assistant", "content": "", "tool_calls": [made]},
        {"role": "tool", "tool_call_id": "c1", "content": "...\n3 passed in 0.01s\n"},
    ]
    return {**body, "request": json.dumps({"model": "qi-agent", "messages": messages})}


CALL = {
    "id": "c1",
    "type": "function",
    "function": {"name": "bash", "arguments": '{"command": "pytest -q"}'},
}


def _answer_with_the_call(at: float) -> dict[str, Any]:
    message = {"role": "assistant", "content": "", "tool_calls": [CALL]}
    body = turn_body(0, "", session="s", at=at)
    return {**body, "response": json.dumps({"message": message, "done": True})}


def _taken(root: Path, *bodies: dict[str, Any]) -> CommandResult:
    """The one command that turns, one after the other, tell."""
    project = str(root / "work")
    spool = Spool(root / "spool", "gateway")
    for body in bodies:
        spool.append("turn", body, project=project, ts=body["ended"])
    spool.close()
    told: Any = {"decode": decode, "suggest": suggestions_of, "ran": outcomes_told}
    with open_store(root / "qi.db") as store:
        drain(store, root / "spool", **told, now=time.time())
        (command,) = commands_of(store, project)
        return command


def test_a_command_began_when_the_answer_that_called_for_it_had_ended(tmp_path: Path) -> None:
    """What is saved while the tests run was not tested."""
    asked = _asked_by_an_agent(tmp_path / "work")
    called = _answer_with_the_call(asked["started"] - 180.0)
    command = _taken(tmp_path, called, asked)
    assert command.ts == asked["started"]
    assert abs(command.ts - command.seconds - called["ended"]) < 0.01


def test_without_that_answer_a_command_may_have_taken_the_longest_time(tmp_path: Path) -> None:
    assert _taken(tmp_path, _asked_by_an_agent(tmp_path / "work")).seconds == AT_MOST


def test_the_results_in_a_request_are_stored_once_and_forgotten_with_it(tmp_path: Path) -> None:
    project = tmp_path / "work"
    spool = Spool(tmp_path / "spool", "gateway")
    turn = spool.append("turn", _asked_by_an_agent(project), project=str(project))
    spool.close()
    with open_store(tmp_path / "qi.db") as store:

        def take() -> None:
            drain(
                store,
                tmp_path / "spool",
                decode=decode,
                suggest=suggestions_of,
                ran=outcomes_told,
                now=time.time(),
            )

        take()
        (command,) = commands_of(store, str(project))
        assert (command.id, command.command) == (f"{turn}.0", "pytest -q")
        assert (command.exit_code, command.passed, command.cwd) == (0, 3, str(project))
        take()
        assert len(commands_of(store, str(project))) == 1
        forget_rest(store, choose(store, ForgetRequest(time.time(), ids=(turn,))))
        assert commands_of(store, str(project)) == ()
