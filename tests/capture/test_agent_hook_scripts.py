"""The script for Claude Code and the plug-in for OpenCode, as they really run: they write whole
events of registered projects, and in every other case nothing, without a word.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from qi_learn.commands.hooks import script_of
from qi_learn.commands.pause import pause, resume
from qi_learn.paths import Paths
from qi_learn.records import Event
from qi_learn.spool import read_from, spool_files
from qi_learn.workspace.registry import add_project

SHELLS = {"dash": [], "bash": ["--posix"], "zsh": ["--emulate", "sh"]}
"""What may be called `sh`, and how it is then."""
PAYLOAD = (
    '{"hook_event_name": "PostToolUse",\n "tool_input": {"content": "100 % \\\\ \\u0000 \'$(id)"}}'
)
AGENTS = ("claude", "opencode")


class Agent:
    """A home with a project, and an agent that runs in it."""

    def __init__(self, root: Path, name: str, shell: str = "sh") -> None:
        self.name, self.shell, self.root = name, shell, root
        self.paths = Paths.under(root / "home").ensure()
        self.paths.spool.mkdir(exist_ok=True)
        self.project = root / 'shop "1" \\ 2'
        (self.project / "src").mkdir(parents=True)
        add_project(self.paths, self.project)
        self.env = {"PATH": os.environ["PATH"], "HOME": str(root)}
        self.home = {"QI_LEARN_HOME": str(root / "home")}
        self.played: dict[str, str] = {}

    def play(self, *parts: dict[str, Any]) -> list[Event]:
        """Have the plug-in told that parts of a message were written."""
        self.played = {"PARTS": json.dumps(parts)}
        return self.tell()

    def tell(self, directory: Path | None = None, payload: str = PAYLOAD) -> list[Event]:
        """Have it report an edit; the events that lie in the spool then."""
        where = directory or self.project
        if self.name == "claude":
            argv = [self.shell, *SHELLS.get(self.shell, []), str(script_of("claude"))]
        else:
            module = self.root / "plug-in.mjs"
            module.write_bytes(script_of("opencode").read_bytes())
            argv = ["node", "--input-type=module", "-e", PLAY, str(module), str(where)]
        done = subprocess.run(
            argv,
            input=payload.encode(),
            cwd=where,
            env={**self.env, **self.home, **self.played},
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
        return self.events()

    def events(self) -> list[Event]:
        lines = [line for file in spool_files(self.paths.spool) for line in read_from(file)]
        assert all(line.problem is None for line in lines)
        return [line.event for line in lines if line.event is not None]


PLAY = """
const [file, directory] = process.argv.slice(1)
const exported = Object.values(await import(file))
const hooks = await exported[0]({ directory })
const given = process.env.PARTS ? JSON.parse(process.env.PARTS) : [{ state: {} }]
for (const { state, ...more } of given) {
  const part = { type: "tool", tool: "edit", callID: "c1", ...more }
  part.state = { status: "completed", ...state }
  await hooks.event({ event: { type: "message.part.updated", properties: { part } } })
}
await hooks.event({ event: { type: "message.part.updated", properties: {} } })
await hooks.event({})
"""


@pytest.fixture(params=[*SHELLS, "node"])
def agent(request: pytest.FixtureRequest, tmp_path: Path) -> Agent:
    if shutil.which(request.param) is None:
        pytest.skip(f"there is no {request.param}")
    name = "opencode" if request.param == "node" else "claude"
    return Agent(tmp_path, name, request.param)


def test_an_event_names_its_project_and_is_for_the_owner_alone(agent: Agent) -> None:
    before = time.time()
    (event,) = agent.tell(agent.project / "src")
    assert (event.kind, event.source, event.author) == ("hook", agent.name, "agent")
    assert event.project == str(agent.project)
    assert before - 1 <= event.ts <= time.time() + 1
    (file,) = spool_files(agent.paths.spool)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    body: Any = event.body
    if agent.name == "claude":
        assert body == {"raw": {"payload": PAYLOAD}}
    else:
        assert (body["call"], body["status"], body["attended"]) == ("c1", "completed", True)


def test_each_event_has_a_file_behind_the_gateways(agent: Agent) -> None:
    gateway = agent.paths.spool / f"gateway-1-{time.time_ns()}.jsonl"
    gateway.touch()
    agent.tell()
    assert len(agent.tell()) == 2
    assert spool_files(agent.paths.spool)[0] == gateway


def test_a_linked_working_tree_is_of_its_repositorys_project(agent: Agent) -> None:
    def git(*words: str) -> None:
        who = ("-c", "user.name=t", "-c", "user.email=t@t")
        subprocess.run(("git", *who, *words), cwd=agent.project, check=True, capture_output=True)

    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "Begin")
    git("worktree", "add", "-q", str(agent.root / "linked"), "-b", "linked")
    (agent.root / "linked" / "src").mkdir()
    (event,) = agent.tell(agent.root / "linked" / "src")
    assert event.project == str(agent.project)


def test_the_innermost_project_is_meant_and_a_like_named_one_is_not(agent: Agent) -> None:
    beside = agent.root / 'shop "1" \\ 23'
    beside.mkdir()
    assert agent.tell(beside) == []
    add_project(agent.paths, agent.project / "src")
    (event,) = agent.tell(agent.project / "src")
    assert event.project == str(agent.project / "src")


def test_outside_of_projects_and_without_a_home_nothing_is_written(agent: Agent) -> None:
    assert agent.tell(agent.root) == []
    agent.home = {"QI_LEARN_HOME": str(agent.root / "none")}
    assert agent.tell() == []
    assert not (agent.root / "none").exists()


def test_in_a_pause_nothing_is_written(agent: Agent) -> None:
    pause(agent.paths, "1h")
    assert agent.tell() == []
    resume(agent.paths)
    assert len(agent.tell()) == 1
    pause(agent.paths, None)
    assert len(agent.tell()) == 1
    agent.paths.pause.write_text("x")
    assert len(agent.tell()) == 1


def test_the_platforms_own_places_count_without_a_variable(agent: Agent) -> None:
    share, state = agent.root / "share", agent.root / ".local" / "state"
    shutil.copytree(agent.paths.data, share / "qi-learn")
    (state / "qi-learn").mkdir(parents=True)
    (state / "qi-learn" / "spool").mkdir()
    agent.home = {"XDG_DATA_HOME": str(share)}
    assert agent.tell() == []
    assert len(list((state / "qi-learn" / "spool").iterdir())) == 1


def test_a_spool_that_cannot_be_written_hurts_nothing(agent: Agent) -> None:
    agent.paths.spool.rmdir()
    agent.paths.spool.write_text("a file")
    assert agent.tell() == []
    agent.paths.spool.unlink()
    assert agent.tell() == []


def test_where_nothing_takes_them_in_they_come_to_an_end(agent: Agent) -> None:
    for number in range(1000):
        (agent.paths.spool / f"{agent.name}-{number}-0.jsonl").touch()
    agent.tell()
    assert len(list(agent.paths.spool.iterdir())) == 1000


def test_a_payload_that_is_too_large_is_read_to_its_end_and_left(tmp_path: Path) -> None:
    agent = Agent(tmp_path, "claude")
    assert agent.tell(payload=json.dumps({"a": "x" * 3_000_000})) == []
    (event,) = agent.tell(payload=json.dumps({"a": "x" * 900_000}))
    assert len(event.body["raw"]["payload"]) > 900_000
    assert len(agent.tell(payload="")) == 1


def ended_in(seconds: float, **more: Any) -> dict[str, Any]:
    """A command that ends so many seconds after now, as OpenCode has its part."""
    end = round((time.time() + seconds) * 1000)
    state = {"input": {"command": "pytest"}, "metadata": {"exit": 0}, "output": "1 passed"}
    return {"tool": "bash", "state": {**state, "time": {"start": end - 2000, "end": end, **more}}}


@pytest.fixture
def opencode(tmp_path: Path) -> Agent:
    if shutil.which("node") is None:
        pytest.skip("there is no node")
    return Agent(tmp_path, "opencode")


def test_a_call_whose_part_is_written_again_is_told_once(opencode: Agent) -> None:
    part = ended_in(60)
    (event,) = opencode.play(part, part, {**part, "id": "prt_of_a_fork"})
    assert event.body["command"] == "pytest"
    assert abs(event.ts - part["state"]["time"]["end"] / 1000) < 0.001, "when it ended, not now"
    assert len(opencode.play({**part, "callID": "c2"}, ended_in(61))) == 3, "other calls"


def test_an_old_call_whose_output_opencode_prunes_is_not_told(opencode: Agent) -> None:
    assert opencode.play(ended_in(60, compacted=round(time.time() * 1000))) == []


def test_what_ended_before_the_plug_in_began_is_not_told(opencode: Agent) -> None:
    assert opencode.play(ended_in(-60)) == []
