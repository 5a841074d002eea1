"""What a request tells of commands is stored with its turn, and goes with it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from qi_learn.capture.told_in_requests import outcomes_told
from qi_learn.capture.wire import decode
from qi_learn.records import ForgetRequest
from qi_learn.spool import Spool
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
