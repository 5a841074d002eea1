"""Nothing is lost in a bad day: `scripts/bench soak [--minutes 30]`.

Ten git repositories are edited and committed in; four clients ask through the gateway, each by
another endpoint; a bash with the hook runs test commands; ratings are given on the command line.
Meanwhile processes are killed at random (`kill -9`): the daemon, the gateway, the shell. Twice the
disk that holds the home is full. Then an account: each event that was accepted (its stream had
ended, its prompt had come back, its command had exited with 0) must be in the database once.

The home is a tmpfs in a mount namespace of its own, for which `unshare` (util-linux) is needed.
While the disk is full an exchange may go by without a copy (`unrecorded_while_full`, hooks' lines
and ratings among them); `told` is how many turns the gateway says it could not record. At the end
each project must still be followed: an answer that is saved into it is found there. The last line
is one JSON object.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import pty
import random
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PROJECTS = 10
DISK_MB = 600
FULL_SECONDS = 20.0
WORDS = 24


@dataclass
class World:
    """What the parts of the soak share, and the account of what was accepted."""

    root: Path
    seed: int
    ends: float
    """On the monotonic clock."""
    upstream: str = ""
    gateway: tuple[str, int] = ("127.0.0.1", 0)
    accepted: dict[str, float] = field(default_factory=dict)
    """Markers of accepted events, with the time at which they were."""
    full: list[tuple[float, float]] = field(default_factory=list)
    """When the disk was full: from, until."""
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def env(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("QI_LEARN", "XDG_"))}
        return kept | {
            "QI_LEARN_HOME": str(self.home),
            "HOME": str(self.root),
            "PATH": f"{self.root / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "GIT_CONFIG_GLOBAL": str(self.root / "gitconfig"),
        }

    def runs(self) -> bool:
        return time.monotonic() < self.ends

    def accept(self, marker: str, kind: str) -> None:
        self.accepted[marker] = time.time()
        self.counts[kind] += 1

    def qi(self, *words: str, project: Path | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "qi_learn", *words],
            env=self.env,
            cwd=project or self.root,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def state(self, name: str) -> dict[str, Any]:
        """A process's state file; empty if it cannot be read."""
        for path in self.home.rglob(name):
            with contextlib.suppress(OSError, ValueError):
                value = json.loads(path.read_text())
                return value if isinstance(value, dict) else {}
        return {}


# --- the server behind the gateway ----------------------------------------------------------------


class Upstream(BaseHTTPRequestHandler):
    """Answers each question with its marker in a function, word by word."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"] or 0)) or b"{}")
        lines = answer_lines(self.path.split("?")[0], body)
        if not lines:
            self.refuse()
            return
        self.send_response(200)
        stream = "application/x-ndjson" if self.path.startswith("/api/") else "text/event-stream"
        self.send_header("Content-Type", stream)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for line in lines:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(line), line))
            time.sleep(0.002)
        self.wfile.write(b"0\r\n\r\n")

    def do_GET(self) -> None:
        self.refuse()

    def refuse(self) -> None:
        """Answer as Ollama does for a model that it has not."""
        body = b'{"error":"model \'m:latest\' not found"}'
        self.send_response(404)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the account at the end says what there is to say."""


class Server(ThreadingHTTPServer):
    """The upstream's server; a gateway that was killed is no news to it."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: connections end here as they please."""


def code_of(marker: str) -> str:
    name = marker.replace("-", "_")
    return (
        f"def {name}(prices, rates, limit):\n"
        f"    chosen = [p * r for p, r in zip(prices, rates) if p < limit]\n"
        f"    return sum(chosen) / max(1, len(chosen)) + {abs(hash(marker)) % 9973}\n"
    )


def answer_lines(path: str, body: dict[str, Any]) -> list[bytes]:
    """The pieces of the stream that an endpoint answers with; empty for an unknown one."""
    asked = body.get("prompt") or (body.get("messages") or [{}])[-1].get("content", "")
    marker = str(asked).split()[-1] if asked else ""
    text = f"```python\n{code_of(marker)}```\n"
    pieces = [text[i : i + 24] for i in range(0, len(text), 24)]
    if path in ("/api/chat", "/api/generate"):
        wrap: Callable[[str], dict[str, Any]] = (
            (lambda t: {"message": {"role": "assistant", "content": t}})
            if path == "/api/chat"
            else (lambda t: {"response": t})
        )
        lines = [{"model": "m", "done": False} | wrap(piece) for piece in pieces]
        lines.append({"model": "m", "done": True, "done_reason": "stop"} | wrap(""))
        return [json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in lines]
    if path == "/v1/chat/completions":
        events = [{"choices": [{"index": 0, "delta": {"content": piece}}]} for piece in pieces]
        events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        sent = [f"data: {json.dumps({'model': 'm'} | event)}\n\n".encode() for event in events]
        return [*sent, b"data: [DONE]\n\n"]
    if path == "/v1/messages":
        typed: list[dict[str, Any]] = [
            {"type": "message_start", "message": {"role": "assistant", "model": "m"}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text"}},
        ]
        for piece in pieces:
            delta = {"type": "text_delta", "text": piece}
            typed.append({"type": "content_block_delta", "index": 0, "delta": delta})
        typed += [
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
            {"type": "message_stop"},
        ]
        return [f"event: {e['type']}\ndata: {json.dumps(e)}\n\n".encode() for e in typed]
    return []


# --- what a day consists of -----------------------------------------------------------------------


def ask(world: World, target: str, marker: str, project: Path) -> bool:
    """Ask for code; whether the stream came to its end."""
    question = f"Write a function that is called {marker}"
    body: dict[str, Any] = {"model": "m", "stream": True}
    if target.startswith("/api/generate"):
        body |= {"prompt": question}
    else:
        body |= {"messages": [{"role": "user", "content": question}], "max_tokens": 99}
    link = http.client.HTTPConnection(*world.gateway, timeout=60)
    try:
        headers = {"Content-Type": "application/json", "x-qi-learn-project": str(project)}
        link.request("POST", target, json.dumps(body), headers)
        answer = link.getresponse()
        answer.read()
        return answer.status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        link.close()


def client(world: World, number: int, target: str, projects: list[Path]) -> None:
    chance = random.Random(world.seed + number)
    for n in range(10**9):
        if not world.runs():
            return
        marker = f"soak-c{number}-{n}"
        if ask(world, target, marker, chance.choice(projects)):
            world.accept(marker, "turns")
        else:
            world.counts["broken"] += 1
            time.sleep(0.2)
        time.sleep(chance.uniform(0.0, 0.3))


def developer(world: World, projects: list[Path]) -> None:
    """Edit, commit, switch branches, stash, make and remove directories."""
    chance = random.Random(world.seed + 100)
    n = 0
    while world.runs():
        n += 1
        project = chance.choice(projects)
        file = project / f"part_{chance.randrange(5)}.py"
        file.write_text(code_of(f"own-{n}") * chance.randrange(1, 5))
        scratch = Path(tempfile.mkdtemp(dir=project))
        (scratch / "a" / "b").mkdir(parents=True)
        shutil.rmtree(scratch)
        match chance.randrange(6):
            case 0:
                git(world, project, "commit", "-qam", f"Change {n}")
            case 1:
                git(world, project, "stash", "-q")
                git(world, project, "stash", "pop", "-q")
            case 2:
                git(world, project, "checkout", "-q", "-B", f"side{chance.randrange(3)}")
        world.counts["edits"] += 1
        time.sleep(chance.uniform(0.0, 0.2))


def git(world: World, project: Path, *words: str) -> None:
    subprocess.run(
        ["git", *words], cwd=project, env=world.env, capture_output=True, check=False, timeout=120
    )


def rater(world: World, projects: list[Path]) -> None:
    chance = random.Random(world.seed + 200)
    for n in range(10**9):
        if not world.runs():
            return
        marker = f"soak-r-{n}"
        words = ("rate", "last", str(chance.randint(1, 5)), "--comment", marker)
        if world.qi(*words, project=chance.choice(projects)).returncode == 0:
            world.accept(marker, "ratings")
        time.sleep(chance.uniform(2.0, 8.0))


class Shell:
    """An interactive bash with the hook, on a terminal of its own."""

    PROMPT = b"soak-prompt> "

    def __init__(self, world: World) -> None:
        rc = world.root / "bashrc"
        rc.write_text(f"PS1='{self.PROMPT.decode()}'\n. {ROOT / 'hooks' / 'qi-learn.bash'}\n")
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.execvpe("bash", ["bash", "--noprofile", "--rcfile", str(rc), "-i"], world.env)
        self.prompted()

    def prompted(self) -> bool:
        """Wait for the prompt; False if the shell has ended or does not come to it."""
        seen, deadline = b"", time.monotonic() + 60
        while self.PROMPT not in seen:
            ready, _, _ = select.select([self.terminal], [], [], deadline - time.monotonic())
            try:
                data = os.read(self.terminal, 65536) if ready else b""
            except OSError:
                data = b""
            if not data:
                return False
            seen = (seen + data)[-4096:]
        return True

    def run(self, line: str) -> bool:
        try:
            os.write(self.terminal, line.encode() + b"\n")
        except OSError:
            return False
        return self.prompted()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            os.kill(self.pid, signal.SIGKILL)
        os.close(self.terminal)
        os.waitpid(self.pid, 0)


def typist(world: World, projects: list[Path]) -> None:
    chance = random.Random(world.seed + 300)
    shell, n = Shell(world), 0
    while world.runs():
        n += 1
        marker = f"soak-h-{n}"
        shell.run(f"cd {chance.choice(projects)}")
        if shell.run(f"pytest -k {marker}"):
            world.accept(marker, "commands")
        if chance.random() < 0.03:
            shell.close()
            world.counts["kills_shell"] += 1
            shell = Shell(world)
        time.sleep(chance.uniform(0.1, 0.6))
    shell.close()


def killer(world: World) -> None:
    chance = random.Random(world.seed + 400)
    while world.runs():
        time.sleep(chance.uniform(8.0, 30.0))
        name = chance.choice(["daemon", "gateway"])
        pid = world.state(f"{name}.json").get("pid")
        if not isinstance(pid, int) or in_window(world, time.time()):
            continue
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            world.counts[f"kills_{name}"] += 1
        if name == "daemon":
            time.sleep(chance.uniform(0.0, 5.0))
            start(world)


def filler(world: World, minutes: float) -> None:
    """Fill the disk twice, a third and two thirds through."""
    for part in (1 / 3, 2 / 3):
        due = world.ends - minutes * 60 * (1 - part)
        time.sleep(max(0.0, due - time.monotonic()))
        began = time.time()
        world.full.append((began, float("inf")))
        ballast = world.home / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while file.write(b"\0" * 2**20):
                pass
        with contextlib.suppress(OSError), ballast.open("ab", buffering=0) as file:
            while file.write(b"\0"):
                pass
        time.sleep(FULL_SECONDS)
        ballast.unlink()
        time.sleep(2.0)  # what was under way ends; the gateway tries again
        world.full[-1] = (began, time.time() + 5.0)


def in_window(world: World, moment: float) -> bool:
    return any(begin <= moment <= end for begin, end in world.full)


# --- the run, and its account ---------------------------------------------------------------------


def start(world: World) -> None:
    for _ in range(20):
        said = world.qi("daemon", "start")
        if said.returncode == 0:
            break
        time.sleep(0.5)
    else:
        raise SystemExit(f"The daemon does not start: {said.stderr}")


def prepare(world: World) -> list[Path]:
    (world.root / "bin").mkdir()
    stub = world.root / "bin" / "pytest"
    stub.write_text("#!/bin/sh\nexit 0\n")
    stub.chmod(0o755)
    (world.root / "gitconfig").write_text(
        "[user]\n\tname = soak\n\temail = soak@localhost\n[init]\n\tdefaultBranch = main\n"
    )
    config = world.home / "config" / "config.toml"
    config.parent.mkdir(parents=True)
    world.gateway = ("127.0.0.1", port := free_port())
    config.write_text(
        f'[gateway]\nport = {port}\n[serve]\nbackend = "ollama"\nbase = "m:latest"\n'
        f'ollama = "{world.upstream}"\n[train]\nauto = false\n'
    )
    projects = [world.root / "work" / f"project{n}" for n in range(PROJECTS)]
    for project in projects:
        project.mkdir(parents=True)
        git(world, project, "init", "-q")
        (project / "part_0.py").write_text(code_of("first"))
        git(world, project, "add", ".")
        git(world, project, "commit", "-qm", "Begin")
        if (said := world.qi("init", str(project))).returncode not in (0, 3, 75):
            print(f"init {project}: {said.returncode} {said.stderr}", file=sys.stderr)
    return projects


def free_port() -> int:
    with Server(("127.0.0.1", 0), Upstream) as server:
        return int(server.server_address[1])


@contextlib.contextmanager
def serving(world: World) -> Iterator[None]:
    server = Server(("127.0.0.1", 0), Upstream)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    world.upstream = f"http://127.0.0.1:{server.server_address[1]}"
    yield
    server.shutdown()


def soak(world: World, minutes: float, *, full: bool) -> list[Path]:
    projects = prepare(world)
    start(world)
    targets = (
        "/api/chat",
        "/api/generate",
        "/v1/chat/completions",
        "/v1/messages?beta=true",
    )
    world.ends = time.monotonic() + minutes * 60
    parts: list[tuple[Callable[..., None], tuple[Any, ...]]] = [
        *((client, (world, n, target, projects)) for n, target in enumerate(targets)),
        *((part, (world, projects)) for part in (developer, rater, typist)),
        (killer, (world,)),
        *([(filler, (world, minutes))] if full else []),
    ]
    threads = [threading.Thread(target=part, args=given) for part, given in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return projects


def still_followed(world: World, projects: list[Path]) -> int:
    """How many projects are: an answer saved into each is found there."""
    start(world)
    for n, project in enumerate(projects):
        marker = f"soak-last-{n}"
        ask(world, "/api/chat", marker, project)
        world.accept(marker, "turns")
    time.sleep(8.0)  # a turn is taken in before its answer is saved
    for n, project in enumerate(projects):
        (project / "last.py").write_text(code_of(f"soak-last-{n}"))
    return wait_for(
        world,
        "SELECT count(*) FROM suggestions WHERE state != 'waiting' AND file IS NOT NULL "
        "AND text LIKE '%soak_last_%'",
        PROJECTS,
    )


def wait_for(world: World, question: str, wanted: int, seconds: float = 90.0) -> int:
    deadline = time.monotonic() + seconds
    while (found := int(asked(world, question)[0][0])) < wanted and time.monotonic() < deadline:
        time.sleep(1.0)
    return found


def asked(world: World, question: str) -> list[tuple[Any, ...]]:
    (database,) = world.home.rglob("qi-learn.db")
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        return db.execute(question).fetchall()


def account(world: World) -> dict[str, Any]:
    """How often each accepted event is in the database."""
    texts = Counter[str]()
    for question in (
        "SELECT m.content FROM turns t JOIN messages m ON m.hash = t.tip",
        "SELECT comment FROM ratings",
        "SELECT command FROM commands",
    ):
        for (text,) in asked(world, question):
            texts[str(text).split()[-1]] += 1
    absent = [marker for marker in world.accepted if not texts[marker]]
    told = [marker for marker in absent if in_window(world, world.accepted[marker])]
    return {
        "sent": len(world.accepted),
        "stored": sum(1 for marker in world.accepted if texts[marker]),
        "lost": len(absent) - len(told),
        "unrecorded_while_full": len(told),
        "doubled": sum(1 for marker in world.accepted if texts[marker] > 1),
        "lost_ids": [marker for marker in absent if marker not in told][:20],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", action="store_true", help="leave projects and a copy of the home")
    parser.add_argument("--within", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.within is None:
        sys.exit(within_namespace(given))
    world = World(given.within, given.seed, 0.0)
    with serving(world):
        projects = soak(world, given.minutes, full=os.path.ismount(world.home))
        followed = still_followed(world, projects)
        time.sleep(10.0)
        said = account(world)
        status = json.loads(world.qi("status", "--json").stdout or "{}")
        world.qi("daemon", "stop")
        if given.keep:
            shutil.copytree(world.home, world.root / "kept", symlinks=True)
    said["told"] = (status.get("lost") or {}).get("count", 0)
    print(
        json.dumps(
            {"minutes": given.minutes, **said, "projects_followed": followed}
            | {"disk_full": len(world.full), **dict(world.counts)}
        )
    )


def within_namespace(given: argparse.Namespace) -> int:
    """Run this program again, its home on a small disk of its own; returns its exit code."""
    directory = Path(tempfile.mkdtemp(prefix="qi-soak-"))
    home = directory / "home"
    home.mkdir()
    mount = f'mount -t tmpfs -o size={DISK_MB}m,mode=700 qi-soak "$0" && exec "$@"'
    own = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    command = [sys.executable, __file__, "--within", str(directory), "--seed", str(given.seed)]
    command += ["--minutes", str(given.minutes), *(["--keep"] if given.keep else [])]
    done = subprocess.run(
        ["unshare", *own, "--mount", "sh", "-c", mount, str(home), *command], check=False
    )
    if not given.keep:
        shutil.rmtree(directory)
    return done.returncode


if __name__ == "__main__":
    main()
