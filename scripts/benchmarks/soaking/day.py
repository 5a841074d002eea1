"""What a day consists of: clients, a developer, ratings, a shell, kills, and a disk that is full.

Each part runs in a thread of its own until the world ends.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import pty
import random
import select
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

from scripts.benchmarks.soaking.upstream import code_of
from scripts.benchmarks.soaking.world import ROOT, World, git, in_window, start

FULL_SECONDS = 20.0


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
