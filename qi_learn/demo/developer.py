"""A developer who is played.

The played developer asks the served model for a function, pastes the answer, then does what the
real author did and commits it.

Nothing is injected: the question goes through the gateway by the public `ollama` client, the files
are written and committed in a git working copy, commands and ratings go through the command line.
What the store holds afterwards was captured.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import ollama

from qi_learn.bench.functions import (
    DemoFunction,
    DemoSession,
    prompt_for,
    skeleton,
    with_function,
    written,
)
from qi_learn.code_text import code_blocks, similarity
from qi_learn.demo.home import DemoHome
from qi_learn.store import feedback, seen_turns, turns
from qi_learn.store.database import open_store

RATE_EVERY = 5
SEEN_SECONDS = 4.0
"""How long to look at a pasted answer before rewriting it: a person takes longer."""


@dataclass(frozen=True, slots=True)
class FunctionWork:
    """One function that was asked for, and its outcome."""

    function: DemoFunction
    answer: str
    similarity: float
    """Of the answer's code to the author's."""
    pasted: bool
    """False if the answer had no code to paste."""
    seconds: float


class Developer:
    """Works on one package in the demonstration's working copy."""

    def __init__(self, home: DemoHome, root: Path, gateway: str) -> None:
        self._home = home
        self._root = root
        self._gateway = gateway
        self._count = 0

    def work_on(
        self,
        session: DemoSession,
        *,
        enough: Callable[[], bool],
        seen: Callable[[FunctionWork], None],
    ) -> None:
        """Write one module, function by function, until `enough()`.

        A session is one module, and the header names it to the gateway.
        """
        client = ollama.Client(
            host=self._gateway,
            headers={
                "x-qi-learn-session": session.module,
                "x-qi-learn-project": str(self._home.work),
            },
        )
        file = session.asked[0].file
        path = self._home.work / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            skeleton((self._root / file).read_bytes().decode("utf-8", "replace"), session.asked),
            encoding="utf-8",
        )
        self._commit(file, f"Start {session.module}")
        for function in session.asked:
            if enough():
                return
            seen(self._write(client, function, path))
        # its exit code is the compiler's, and evidence
        self._home.qi_learn("run", "--", sys.executable, "-m", "py_compile", file, check=False)

    def _write(self, client: ollama.Client, function: DemoFunction, path: Path) -> FunctionWork:
        started = time.time()
        answer = self._ask(client, function)
        blocks = code_blocks(answer)
        before = path.read_text(encoding="utf-8")
        if blocks:
            path.write_text(with_function(before, function, blocks[0].text), encoding="utf-8")
            self._wait_seen(started)
        path.write_text(with_function(before, function, written(function)), encoding="utf-8")
        self._commit(function.file, f"Write {function.name}")
        alike = similarity(blocks[0].text, function.source) if blocks else 0.0
        self._count += 1
        if self._count % RATE_EVERY == 0:
            self._home.qi_learn("rate", "last", str(1 + round(4 * alike)))
        return FunctionWork(function, answer, alike, bool(blocks), time.time() - started)

    def _ask(self, client: ollama.Client, function: DemoFunction) -> str:
        parts = client.chat(
            model=self._home.alias,
            messages=[{"role": "user", "content": prompt_for(function)}],
            options={"temperature": 0, "num_predict": self._home.size.answer_tokens},
            stream=True,
        )
        return "".join(part.message.content or "" for part in parts)

    def _wait_seen(self, started: float) -> None:
        """Wait until the daemon has seen the pasted answer in the file.

        It waits no longer than `SEEN_SECONDS`: the daemon may not recognise the answer, and then
        nothing is learned from it.
        """
        deadline = time.monotonic() + SEEN_SECONDS
        while time.monotonic() < deadline:
            time.sleep(0.1)
            with open_store(self._home.paths.database, readonly=True) as store:
                newest = seen_turns.newest_turn(store, None, before=time.time())
                if newest is None or turns.load_turn(store, newest).started < started - 0.5:
                    continue
                if any(s.state != "waiting" for s in feedback.suggestions_of(store, newest)):
                    return

    def _commit(self, file: str, message: str) -> None:
        self._home.git("add", "--", file)
        self._home.git("commit", "-q", "-m", message)
