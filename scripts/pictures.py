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
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

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


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the pictures of the README.")
    parser.add_argument("--to", type=Path, default=PICTURES, help="directory of the pictures")
    places = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="qi-"))
    project = root / "invoicer"
    env = {k: v for k, v in os.environ.items() if not k.startswith(("QI_LEARN", "GIT_"))}
    env |= {"QI_LEARN_HOME": str(root / "home"), "QI_LEARN__CAPTURE__SETTLE": "2"}
    env |= {"HOME": str(root), "COLUMNS": str(COLUMNS), "GIT_CONFIG_GLOBAL": os.devnull}
    for who in ("AUTHOR", "COMMITTER"):
        env |= {f"GIT_{who}_NAME": "you", f"GIT_{who}_EMAIL": "you@localhost"}
    try:
        turn = live_through(project, env)
        places.to.mkdir(parents=True, exist_ok=True)
        for name, command in (("status", ["status"]), ("explain", ["explain", turn])):
            draw(places.to / f"{name}.svg", command, qi(project, env, *command), name)
    finally:
        qi(project, env, "daemon", "stop")
        shutil.rmtree(root)


def live_through(project: Path, env: Mapping[str, str]) -> str:
    """A few minutes of work in the project; the id of the turn to explain."""
    project.mkdir()
    (project / "test_totals.py").write_text(TEST)
    git(project, env, "init", "--quiet")
    git(project, env, "add", ".")
    git(project, env, "commit", "--quiet", "--message", "Tests first")
    qi(project, env, "init", ".")
    qi(project, env, "daemon", "start")
    gateway = str(seen(project, env, "status")["gateway"])
    os.chdir(project)  # a request belongs to the project that its client works in
    asked: list[str] = []
    for file, function, question in QUESTIONS:
        answer = ask(gateway, question)
        turns = wait(lambda n=len(asked): recorded(project, env, more_than=n), question)
        asked.append(str(turns[0]["id"]))
        if file:
            code = FENCE.search(answer)
            if code is None or f"def {function}" not in code[1]:
                sys.exit(f"the model did not write {function}:\n{answer}")
            with (project / file).open("a") as out:
                out.write(code[1])
            state = lambda turn=asked[-1]: placed(project, env, turn)  # noqa: E731
            wait(state, f"{function} in {file}")
            qi(project, env, "run", "--", sys.executable, "-m", "unittest")
            git(project, env, "add", ".")
            git(project, env, "commit", "--quiet", "--message", f"Add {function}")
            qi(project, env, "rate", asked[-1], "5")
    wait(lambda: target_score(project, env, asked[0], 0.85), "a score of the first answer")
    return asked[0]


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


def recorded(project: Path, env: Mapping[str, str], *, more_than: int) -> list[dict[str, Any]]:
    """The turns that are in the store, newest first; empty until there are enough."""
    turns: list[dict[str, Any]] = seen(project, env, "log")["turns"]
    return turns if len(turns) > more_than else []


def placed(project: Path, env: Mapping[str, str], turn: str) -> bool:
    """Whether the suggestion was found in a file."""
    found = seen(project, env, "explain", turn)["records"]["interaction"]["suggestions"]
    return any(suggestion["state"] != "waiting" for suggestion in found)


def target_score(project: Path, env: Mapping[str, str], turn: str, least: float) -> bool:
    """Whether everything that was done has come into the score."""
    score = seen(project, env, "explain", turn)["records"]["interaction"]["score"]
    return bool(score and (score["target_score"] or 0) >= least)


def seen(project: Path, env: Mapping[str, str], *command: str) -> dict[str, Any]:
    """What a command says as JSON."""
    found: dict[str, Any] = json.loads(qi(project, env, *command, "--json"))
    return found


def wait(look: Any, what: str) -> Any:
    """What `look` finds; ends the program if it finds nothing in time."""
    deadline = time.monotonic() + PATIENCE
    while not (found := look()):
        if time.monotonic() > deadline:
            sys.exit(f"qi-learn did not see it within {PATIENCE:.0f} s: {what}")
        time.sleep(0.5)
    return found


def qi(project: Path, env: Mapping[str, str], *command: str) -> str:
    """What `qi-learn` prints in the project."""
    done = subprocess.run(
        [sys.executable, "-m", "qi_learn", *command],
        cwd=project, env=dict(env), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"qi-learn {' '.join(command)}: {done.stderr or done.stdout}")
    return done.stdout


def git(project: Path, env: Mapping[str, str], *command: str) -> None:
    subprocess.run(["git", *command], cwd=project, env=dict(env), check=True)


def draw(file: Path, command: list[str], output: str, name: str) -> None:
    """The command and its output as a terminal shows them."""
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True)
        console.print(
            Text.assemble(("$ ", "bold green"), (f"qi-learn {' '.join(command)}", "bold"))
        )
        console.print(Text(output.rstrip("\n")), overflow="fold", no_wrap=False)
    picture = console.export_svg(
        title="qi-learn", theme=MONOKAI, code_format=SVG, unique_id=f"qi-learn-{name}"
    )
    file.write_text(picture, encoding="utf-8")
    print(file)


if __name__ == "__main__":
    main()
