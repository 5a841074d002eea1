"""Cycles that a test starts, kills, cancels and watches, and what a training would have left."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import numpy as np

from qi_learn.outside.gguf import read_head
from qi_learn.outside.ollama import Ollama
from qi_learn.rundir.adapter_file import read_adapter, write_adapter
from qi_learn.rundir.directory import RunDirectory
from tests.support.world import World

SESSIONS = {f"s{n}": 4 for n in range(6)}
DONE, FAILED, REFUSED, AGAIN = 0, 1, 4, 75


@dataclass(frozen=True)
class Learned:
    """A home, its last run, and the exit code of that."""

    world: World
    run: RunDirectory
    code: int


def other_steps(n: int) -> str:
    """The n-th piece of work in another style than `steps`."""
    return (
        f"class Step{n}(Base):\n    name = 'step-{n}'\n\n"
        f"    def run(self):\n        return self.done({n})\n"
    )


def kill_at(
    world: World,
    run: RunDirectory,
    at: Set[tuple[str, str]] | None,
    *,
    not_at: Set[tuple[str, str]] = frozenset(),
) -> tuple[str, str] | None:
    """Start the cycle and kill it and its worker as soon as it writes one of the lines (`at` None:
    any line but `not_at`); which one it was, None if it ended first.
    """
    old = len(run.history())
    process = world.start(run)
    while True:
        ended = process.poll() is not None
        lines = [(line["step"], line["state"]) for line in run.history()[old:]]
        hit = next(
            (line for line in lines if (line in at if at is not None else line not in not_at)), None
        )
        if hit and not ended:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return hit
        if ended:
            assert at is None, run.log.read_text()
            assert process.returncode == 0, run.log.read_text()
            return None
        time.sleep(0.002)


def until(holds: Callable[[], bool], process: subprocess.Popen[bytes] | None = None) -> None:
    """Wait until something holds, while the process lives."""
    limit = time.monotonic() + 600
    while not holds():
        assert time.monotonic() < limit
        assert process is None or process.poll() is None
        time.sleep(0.02)


def give_result(run: RunDirectory, other: RunDirectory, *, times: float) -> None:
    """Leave behind what a training worker would have: what another run learned, `times` as much."""
    learned = read_adapter(other.delta)
    delta = replace(
        learned,
        modules={
            name: replace(both, up=both.up * np.float32(times))
            for name, both in learned.modules.items()
        },
    )
    run.delta.parent.mkdir(exist_ok=True)
    write_adapter(delta, run.delta)
    run.past_fisher.write_bytes(b"")  # the other run's is gone, and nothing reads this one
    shutil.copyfile(other.result, run.result)


def tensor(path: Path, name: str) -> tuple[str, bytes]:
    """Type and bytes of a tensor in a GGUF."""
    entry = read_head(path).tensors[name]
    with path.open("rb") as file:
        file.seek(entry.start)
        return entry.type, file.read(entry.size)


@dataclass
class Seen:
    """The models that the alias led to, in order, and the times at which it led to none."""

    models: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


@contextmanager
def watched_alias(world: World) -> Iterator[Seen]:
    """Ask all the time which model the alias leads to."""
    seen, over = Seen(), threading.Event()

    def look() -> None:
        with Ollama(world.url) as ollama:
            while not over.wait(0.02):
                model = ollama.find(world.alias)
                if model is None:
                    seen.faults.append(f"no alias at {time.time()}")
                elif seen.models[-1:] != [model.digest]:
                    seen.models.append(model.digest)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


@contextmanager
def falling_server(url: str) -> Iterator[str]:
    """The server at `url`, except that it breaks the connection when a candidate is asked, as one
    does that dies of it.
    """

    class Front(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_all(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if (
                self.path == "/api/chat"
                and b"candidate-" in body
                and b"_debug_render_only" not in body
            ):
                self.close_connection = True
                return
            kept = {
                k: v
                for k, v in self.headers.items()
                if k.lower() not in ("host", "connection", "transfer-encoding")
            }
            answer = httpx.request(
                self.command, url + self.path, content=body, headers=kept, timeout=60
            )
            self.send_response(answer.status_code)
            self.send_header("Content-Type", answer.headers.get("content-type", "text/plain"))
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.content)

        do_GET = do_POST = do_HEAD = do_DELETE = handle_all

        def log_message(self, format: str, *args: object) -> None:
            pass

    front = ThreadingHTTPServer(("127.0.0.1", 0), Front)
    thread = threading.Thread(target=front.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{front.server_address[1]}"
    finally:
        front.shutdown()
        thread.join()
        front.server_close()


def take_over(run: RunDirectory, frozen: RunDirectory, trained: RunDirectory, stage: str) -> None:
    """Give a run what it would have by a stage: one run's data and plan, what another learned."""
    if stage == "train":
        return
    shutil.copytree(frozen.snapshot, run.snapshot)
    shutil.copyfile(frozen.plan, run.plan)
    give_result(run, trained, times=1.0)


def lines_of(run: RunDirectory) -> list[tuple[str, str]]:
    """Step and state of every line in the run's journal."""
    return [(line["step"], line["state"]) for line in run.history()]
