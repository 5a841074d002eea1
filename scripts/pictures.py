"""The pictures of the README: what `qi-learn status` and `qi-learn explain` print, as SVG.

Nothing in them is written by hand. A throw-away home is set up as a user does it (`init`, `daemon
start`), three functions are asked of the embedded model through the gateway, the first two answers
are put into a small git project, tested, committed and rated, and the two commands are run in a
terminal of 100 columns. Only `capture.settle` is shorter than by default (2 s), so that this takes
a minute; ids, times and what the model writes are those of the day.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from qi_learn.cli.output import wrapped

PICTURES = Path(__file__).resolve().parent.parent / "docs" / "pictures"
COLUMNS = 100
QUESTIONS = (
    ("totals.py", "total", "Write a Python function total(prices) that returns the sum of a list."),
    ("totals.py", "mean", "Write a Python function mean(prices) that returns their average."),
    ("", "", "What does the word invoice mean?"),
)
"""File, function and question; the last answer is not used for anything."""
TEST = """import unittest
from totals import total

class Totals(unittest.TestCase):
    def test_total(self):
        self.assertEqual(total([2, 3]), 5)
"""
FENCE = re.compile(r"```(?:python)?\n(.*?)```", re.DOTALL)
PATIENCE = 60.0
"""Seconds for the daemon to see what was done."""
SVG = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
    <style>
    .{unique_id}-matrix {{
        font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
        font-size: {char_height}px; line-height: {line_height}px;
    }}
    .{unique_id}-title {{ font-family: system-ui, sans-serif; font-size: 18px; }}
    {styles}
    </style>
    <defs>
    <clipPath id="{unique_id}-clip-terminal">
      <rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
    </clipPath>
    {lines}
    </defs>
    {chrome}
    <g transform="translate({terminal_x}, {terminal_y})"
       clip-path="url(#{unique_id}-clip-terminal)">
    {backgrounds}
    <g class="{unique_id}-matrix">
    {matrix}
    </g>
    </g>
</svg>
"""
"""rich's own picture of a terminal, less the font that it would fetch from another site."""


@dataclass(frozen=True, slots=True)
class Work:
    """A project, and the environment that makes commands in it use the throw-away home."""

    project: Path
    env: Mapping[str, str]

    @classmethod
    def under(cls, root: Path) -> Work:
        env = {k: v for k, v in os.environ.items() if not k.startswith(("QI_LEARN", "GIT_"))}
        env |= {"QI_LEARN_HOME": str(root / "home"), "QI_LEARN__CAPTURE__SETTLE": "2"}
        env |= {"HOME": str(root), "COLUMNS": str(COLUMNS), "GIT_CONFIG_GLOBAL": os.devnull}
        for who in ("AUTHOR", "COMMITTER"):
            env |= {f"GIT_{who}_NAME": "you", f"GIT_{who}_EMAIL": "you@localhost"}
        return cls(root / "invoicer", env)

    def qi(self, *command: str) -> str:
        """What `qi-learn` prints in the project; a failure ends the program."""
        done = subprocess.run(
            [sys.executable, "-m", "qi_learn", *command],
            cwd=self.project,
            env=dict(self.env),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.exit(f"qi-learn {' '.join(command)}: {done.stderr or done.stdout}")
        return done.stdout

    def seen(self, *command: str) -> dict[str, Any]:
        """What a command says as JSON."""
        found: dict[str, Any] = json.loads(self.qi(*command, "--json"))
        return found

    def commit(self, message: str) -> None:
        for command in (["add", "."], ["commit", "--quiet", "--message", message]):
            subprocess.run(["git", *command], cwd=self.project, env=dict(self.env), check=True)

    def interaction(self, turn: str) -> dict[str, Any]:
        """Everything that is known of a turn."""
        known: dict[str, Any] = self.seen("explain", turn)["records"]["interaction"]
        return known


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the pictures of the README.")
    parser.add_argument("--to", type=Path, default=PICTURES, help="directory of the pictures")
    to: Path = parser.parse_args().to.absolute()
    root = Path(tempfile.mkdtemp(prefix="qi-"))
    work = Work.under(root)
    work.project.mkdir()
    try:
        turn = live_through(work)
        to.mkdir(parents=True, exist_ok=True)
        for command in (("status",), ("explain", turn)):
            draw(to / f"{command[0]}.svg", command, work.qi(*command))
    finally:
        work.qi("daemon", "stop")
        shutil.rmtree(root)


def live_through(work: Work) -> str:
    """A minute of work in the project; the id of the turn to explain."""
    (work.project / "test_totals.py").write_text(TEST)
    subprocess.run(["git", "init", "--quiet"], cwd=work.project, env=dict(work.env), check=True)
    work.commit("Tests first")
    work.qi("init", ".")
    work.qi("daemon", "start")
    gateway = str(work.seen("status")["gateway"])
    os.chdir(work.project)  # a request belongs to the project that its client works in
    turns = [live_turn(work, gateway, n, *what) for n, what in enumerate(QUESTIONS, 1)]
    wait(lambda: is_scored(work, turns[0], at_least=0.85), "the score of the first answer")
    return turns[0]


def live_turn(work: Work, gateway: str, number: int, file: str, name: str, question: str) -> str:
    """Ask; if there is a file to use the answer in: paste, test, commit and rate it. The id."""
    answer = ask(gateway, question)
    wait(lambda: len(work.seen("log")["turns"]) == number, question)
    turn = str(work.seen("log")["turns"][0]["id"])
    if file:
        code = FENCE.search(answer)
        if code is None or f"def {name}" not in code[1]:
            sys.exit(f"the model did not write {name}:\n{answer}")
        with (work.project / file).open("a") as out:
            out.write(code[1])
        wait(lambda: is_placed(work, turn), f"{name} in {file}")
        work.qi("run", "--", sys.executable, "-m", "unittest")
        work.commit(f"Add {name}")
        work.qi("rate", turn, "5")
    return turn


def ask(gateway: str, question: str) -> str:
    """The answer of the live version to one question, as an editor would ask it."""
    request = {
        "model": "qi-agent",
        "messages": [{"role": "user", "content": question}],
        "stream": False,
        "options": {"temperature": 0, "num_predict": 300},
    }
    answer = httpx.post(f"{gateway}/api/chat", json=request, timeout=300).raise_for_status()
    return str(answer.json()["message"]["content"])


def is_placed(work: Work, turn: str) -> bool:
    """Whether a suggestion of the turn was found in a file."""
    return any(s["state"] != "waiting" for s in work.interaction(turn)["suggestions"])


def is_scored(work: Work, turn: str, *, at_least: float) -> bool:
    """Whether what was done has come into the target score."""
    score = work.interaction(turn)["score"]
    return bool(score and (score["target_score"] or 0) >= at_least)


def wait(holds: Callable[[], bool], what: str) -> None:
    """Return when it holds; end the program if it does not in time."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            sys.exit(f"qi-learn did not see it within {PATIENCE:.0f} s: {what}")
        time.sleep(0.5)


def draw(file: Path, command: Sequence[str], output: str) -> None:
    """The command and its output as a terminal shows them."""
    prompt = Text.assemble(("$ ", "bold green"), (f"qi-learn {' '.join(command)}", "bold"))
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True)
        console.print(prompt)
        for line in output.rstrip("\n").split("\n"):
            console.print(Text("\n".join(wrapped(line, COLUMNS))), overflow="fold")
        console.print()  # the last line's descenders would be cut off
    picture = console.export_svg(
        title="qi-learn", theme=MONOKAI, code_format=SVG, unique_id=f"qi-learn-{file.stem}"
    )
    file.write_text(picture, encoding="utf-8")
    print(file)


if __name__ == "__main__":
    main()
