"""Watching a cycle from outside: its journal as it is written, and a second client.

The client asks the live model all the while.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from rich.console import Console

from qi_learn.errors import QiError
from qi_learn.rundir.directory import RunDirectory
from qi_learn.rundir.progress import progress_text
from qi_learn.terminal_text import harmless

CYCLE_SECONDS = 3600.0
ASK_EVERY = 10.0
"""Seconds between two questions to the live model while a cycle runs; each takes the cores from the
cycle for a moment.
"""


def follow(run: RunDirectory, console: Console) -> None:
    """Print the run's journal until it ends.

    Raises QiError if it takes longer than `CYCLE_SECONDS`.
    """
    printed, deadline = 0, time.monotonic() + CYCLE_SECONDS
    with console.status("") as below:
        while not run.ended:
            if time.monotonic() > deadline:
                raise QiError(
                    f"The run {run.run_id} did not end within {CYCLE_SECONDS / 60:.0f} minutes.",
                    f"Its log is {run.log}.",
                )
            history = run.history()
            for line in history[printed:]:
                if line["state"] != "begun":
                    console.print(
                        harmless("  " + journal_line(line)), markup=False, highlight=False
                    )
            printed = len(history)
            step = history[-1]["step"] if history else "starting"
            below.update(f"{step}: {progress_text(run.path)}")
            time.sleep(0.5)


def journal_line(line: dict[str, Any]) -> str:
    """A line of a run's journal in words."""
    more = ", ".join(
        f"{k} {v}" for k, v in line.items() if k not in ("ts", "step", "state", "seconds")
    )
    seconds = f" in {line['seconds']:.1f} s" if "seconds" in line else ""
    return f"{line['step']}: {line['state']}{seconds}" + (f" ({more})" if more else "")


class LiveClient:
    """A client of the live model that asks now and then; what it asks is not recorded."""

    def __init__(self, gateway: str, model: str) -> None:
        self._url = f"{gateway}/api/chat"
        self._model = model
        self.answers = 0
        self.failures = 0

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Ask every `ASK_EVERY` seconds while the block runs."""
        stop = threading.Event()
        thread = threading.Thread(target=self._ask_until, args=(stop,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _ask_until(self, stop: threading.Event) -> None:
        while not stop.wait(ASK_EVERY):
            if self._ask():
                self.answers += 1
            else:
                self.failures += 1

    def _ask(self) -> bool:
        body = {
            "model": self._model,
            "messages": [{"role": "user", "content": "Say hi."}],
            "options": {"num_predict": 4},
            "stream": False,
        }
        headers = {"x-qi-learn-record": "0"}
        try:
            answer = httpx.post(self._url, json=body, headers=headers, timeout=60, trust_env=False)
        except httpx.HTTPError:
            return False
        return answer.status_code == 200
