"""Secrets of the labelled set brought through every path that writes into a home.

Real processes: the daemon with its gateway in front of a server, a client over HTTP, shells with
their hooks, an editor that saves, git, the command line. The daemon is killed in the middle.
"""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from qi_learn.daemon import client
from qi_learn.paths import Paths
from qi_learn.records import Event
from qi_learn.spool import Spool, frame, spool_files
from qi_learn.workspace.registry import add_project
from tests.support.command_line import wait_until
from tests.support.daemon_process import daemon, free_port, qi
from tests.support.drained_spool import finished_file
from tests.support.fake_ollama import FakeOllama, ask
from tests.support.repository import Repository
from tests.support.secret_sweep import (
    DIALECTS,
    REDACTOR,
    Answering,
    Bundle,
    asked,
    bundles,
    secrets_of,
)
from tests.support.terminals import SHELLS, Terminal, make_home
from tests.support.world import World

BASE = "base:latest"
AT_ONCE = 2
"""So many answers wait for a file at a time: each save is compared with all that wait."""


@dataclass
class Sweep:
    """A home, and what lives beside it."""

    world: World
    server: FakeOllama
    answering: Answering
    project: Repository
    elsewhere: Path
    """Another home, in which the shells write: theirs is the spool alone."""
    asked: int = 0
    commands: int = 0
    skipped: list[str] = field(default_factory=list)

    @property
    def paths(self) -> Paths:
        return self.world.paths

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with sqlite3.connect(f"file:{self.paths.database}?mode=ro", uri=True, timeout=30) as conn:
            return conn.execute(sql).fetchall()

    def count(self, sql: str) -> int:
        return int(self.rows(f"SELECT count(*) FROM {sql}")[0][0])

    def wait_for(self, sql: str, count: int) -> None:
        try:
            wait_until(lambda: self.count(sql) >= count, 120, pause=0.1)
        except AssertionError:
            log = (self.paths.logs / "daemon.log").read_text()[-4000:]
            raise AssertionError(f"{self.count(sql)} of {count} {sql}\n{log}") from None

    def ask(self, path: str, body: object, **headers: str) -> None:
        """One request through the gateway; the turn it makes is counted."""
        running = client.running(self.paths)
        assert running is not None
        assert running.gateway is not None
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        told = ask(running.gateway, "POST", path, body, {"x-qi-learn-project": self.root, **given})
        assert told.whole, (path, told)
        self.asked += 1

    @property
    def root(self) -> str:
        return str(self.project.root)


def through_the_gateway(sweep: Sweep) -> None:
    """Each bundle in every dialect: in all texts of the request, and in the streamed answer."""
    for bundle in bundles():
        for path in DIALECTS:
            sweep.answering.text = bundle.text
            sweep.ask(path, asked(path, BASE, bundle.text), x_qi_learn_session=f"s-{bundle.number}")
    sweep.answering.refuses = True
    for bundle in bundles():
        sweep.answering.text = bundle.text
        sweep.ask("/api/chat", asked("/api/chat", BASE, bundle.text))
    sweep.answering.refuses = False


def beside_the_body(sweep: Sweep) -> None:
    """Names of models, queries, headers, and paths that nothing is known of."""
    running = client.running(sweep.paths)
    assert running is not None
    assert running.gateway is not None
    for word in (secret for secret in sorted(secrets_of(bundles())) if known_alone(secret)):
        sweep.answering.text = "ok"
        body = {"model": BASE, "messages": [{"role": "user", "content": "Hi."}]}
        name = f"api_key={word}"
        ask(running.gateway, "POST", f"/api/chat?{name}", body, {"Authorization": f"Bearer {word}"})
        ask(running.gateway, "POST", f"/v9/{word}/chat/completions", body, {"User-Agent": word})
        ask(running.gateway, "POST", "/api/chat", {**body, "model": word}, {})


def known_alone(secret: str) -> bool:
    """Whether the secret is known by its own shape, and stands in a path as it is."""
    return quote(secret) == secret and REDACTOR.text(secret).startswith("[REDACTED:")


def in_files(sweep: Sweep) -> None:
    """Each bundle in code that was suggested, pasted, edited, and committed with a message."""
    every = bundles()
    for at in range(0, len(every), AT_ONCE):
        _in_files(sweep, every[at : at + AT_ONCE], before=at)
    sweep.wait_for("scores WHERE target_text IS NOT NULL", len(every) // 2)


def _in_files(sweep: Sweep, some: Sequence[Bundle], *, before: int) -> None:
    """Some of the bundles, after so many others."""
    turns, count = sweep.count("turns"), before + len(some)
    for bundle in some:
        sweep.answering.text = f"Here:\n\n```python\n{bundle.code}```\n"
        body = {"model": BASE, "messages": [{"role": "user", "content": f"Note {bundle.number}."}]}
        sweep.ask("/api/chat", body, x_qi_learn_session=f"code-{bundle.number % 4}")
    sweep.wait_for("turns", turns + len(some))
    placed = "(SELECT DISTINCT file FROM suggestions WHERE {})"
    for bundle in some:
        sweep.project.write(f"note_{bundle.number}.py", f'"""Notes."""\n\n\n{bundle.code}')
    sweep.wait_for(placed.format("placed_at IS NOT NULL"), count)
    for bundle, next_one in zip(some, [*some[1:], some[0]], strict=True):
        code = bundle.code.replace("retries=", "attempts=")
        text = f'"""Notes."""\n\n\nMORE = r"""{next_one.text}"""\n\n\n{code}'
        sweep.project.write(f"note_{bundle.number}.py", text)
    sweep.wait_for(placed.format("region LIKE '%attempts=%'"), count)
    for bundle in some:
        sweep.project.git("add", f"note_{bundle.number}.py")
        sweep.project.git("commit", "-q", "-m", f"Note {bundle.number}\n\n{bundle.text}")
    sweep.wait_for(placed.format('"commit" IS NOT NULL'), count)


def from_shells(sweep: Sweep) -> None:
    """Command lines as each hook writes them, and as `qi-learn run` does."""
    for shell in SHELLS:
        if shutil.which(shell) is None:
            sweep.skipped.append(shell)
            continue
        home = make_home(sweep.elsewhere / shell)
        terminal = Terminal(shell, home)
        for line in (line for bundle in bundles() for line in bundle.typed if line):
            terminal.type(f"pytest 0 {line}")
            sweep.commands += 1
        terminal.close()
        for file in spool_files(home / "state/spool"):
            shutil.copyfile(file, sweep.paths.spool / file.name)
    for bundle in bundles()[:: len(bundles()) // 3]:
        words = [part for vector in bundle.vectors for part in vector.text.split("\n")]
        qi(sweep.world, "run", "--kind", "test", "--", "false", *words, place=sweep.project.root)
        sweep.commands += 1


def by_the_person(sweep: Sweep) -> None:
    """Ratings with comments and corrections, on the command line and as an editor sends them."""
    spool = Spool(sweep.paths.spool, "editor")
    for bundle in bundles():
        said = {"turn": "last", "rating": 2, "comment": bundle.text, "correction": bundle.code}
        spool.append("rating", said, author="person", project=sweep.root)
        told = {"payload": {"text": bundle.text, bundle.text: [bundle.text]}}
        for kind in ("hook", "edit", "git"):
            spool.append(kind, told, author="agent", project=sweep.root)
        event = json.dumps({"kind": "hook", "source": "my-editor", "body": told})
        place = sweep.elsewhere / f"event-{bundle.number}.json"
        place.write_text(event)
        if bundle.number % 10 == 0:
            assert qi(sweep.world, "log", "--event", str(place)).returncode == 0
    spool.close()
    place = sweep.elsewhere / "correction.py"
    place.write_text(bundles()[0].code)
    words = ("rate", "last", "4", "--comment", bundles()[0].text, "--correction", str(place))
    assert qi(sweep.world, *words, place=sweep.project.root).returncode == 0


def by_cycles(sweep: Sweep) -> None:
    """What a learning cycle reports of its end, and lines of it that are none."""
    spool = Spool(sweep.paths.spool, "cycle")
    for bundle in bundles():
        reported = {"run": f"R{bundle.number}", "state": "failed", "reason": bundle.text}
        spool.append("cycle", reported)
        spool.append("cycle", {"run": bundle.text, "state": bundle.text})
        spool.append("release", {"action": bundle.text, "version": bundle.text})
    spool.close()


def not_understood(sweep: Sweep) -> None:
    """Lines that are torn, no JSON, or of a kind or a form that nobody foresaw."""
    lines = b""
    for number, bundle in enumerate(bundles()):
        torn = frame(
            Event(f"torn-{number}", "hook", 1.0, "x", {"text": f"{bundle.text}\n\nThe end."})
        )
        odd = {"id": f"odd-{number}", "kind": "outcome", "body": {"command": bundle.text, "cwd": 5}}
        turn = {"endpoint": bundle.text, "request": bundle.text, "response": bundle.text}
        unread = {"id": f"turn-{number}", "kind": "turn", "body": turn}
        kind = {"id": f"kind-{number}", "kind": bundle.text, "body": {}}
        lines += torn[: len(torn) - 9] + b"\n" + bundle.line.encode() + b"\n"
        lines += b"".join(json.dumps(each).encode() + b"\n" for each in (odd, unread, kind))
    finished_file(sweep.paths.spool, lines, "hook")


WITH_TEXTS = (
    *(("messages", "content"), ("messages", "extra"), ("shapes", "value"), ("turns", "request")),
    *(("turns", "options"), ("suggestions", "text"), ("suggestions", "region")),
    *(("suggestions", "before"), ("suggestions", "final_text"), ("feedback", "final_version")),
    *(("scores", "target_text"), ("ratings", "comment"), ("ratings", "correction")),
    *(("commands", "command"), ("events", "body"), ("runs", "reason"), ("audit", "body")),
)
"""Columns in which something was taken out: what came there was a secret."""
PATHS: tuple[Callable[[Sweep], None], ...] = (
    *(in_files, through_the_gateway, beside_the_body, from_shells),
    *(by_the_person, by_cycles, not_understood),
)


@contextmanager
def swept_home(top: Path) -> Iterator[Sweep]:
    """A home in a directory after all of it, everything taken in, and the daemon ended."""
    answering = Answering(BASE)
    with FakeOllama() as server:
        server.answer = answering
        world = World.make(
            top / "home",
            top / "none.gguf",
            None,
            serve={"backend": "ollama", "base": BASE, "ollama": server.url},
            gateway={"port": free_port()},
            train={"auto": False},
        )
        project = Repository(top / "project")
        project.write("README.md", "# Notes\n")
        project.commit("Begin")
        add_project(world.paths, project.root)
        sweep = Sweep(world, server, answering, project, top / "elsewhere")
        sweep.elsewhere.mkdir()
        with daemon(world) as process:
            for path in PATHS[:3]:
                path(sweep)
            process.send_signal(signal.SIGKILL)
            process.wait(60)
        for path in PATHS[3:]:  # what comes while none runs is taken in by the next
            path(sweep)
        with daemon(world):  # within a minute a line is gone, though this producer lives
            wait_until(lambda: not spool_files(world.paths.spool), 240)
        qi(world, "daemon", "stop")  # the gateway, which the daemon that was killed left behind
        yield sweep
