"""The page on hooks: what it says to type installs the hook for git, also beside another hook."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from qi_learn.paths import Paths
from tests.support.command_line import Terminal
from tests.support.repository import Repository

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/how-to/shell-hooks.md").read_text()
OTHERS = "#!/bin/sh\necho before >> ../seen\n"


@pytest.mark.parametrize("there", ["", OTHERS], ids=["none yet", "another hook"])
def test_the_lines_of_the_page_install_the_hook_for_git(tmp_path: Path, there: str) -> None:
    section = PAGE.split("## The hook for git", 1)[1].split("\n## ", 1)[0]
    (script,) = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    home = Terminal(tmp_path)
    paths: Paths = home.paths.ensure()
    repo = Repository(tmp_path / "a repository")
    hook = repo.root / ".git/hooks/post-commit"
    if there:
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(there)
        hook.chmod(0o755)
    script = script.replace("DIRECTORY", str(ROOT / "hooks"))
    subprocess.run(["sh", "-ec", script], cwd=repo.root, env=home.environment(), check=True)
    repo.write("a.py", "a = 1\n")
    repo.git("add", "-A")
    committed = subprocess.run(
        ["git", "commit", "-q", "-m", "One"],
        cwd=repo.root,
        env=home.environment()
        | {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org"}
        | {"GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.org"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (committed.returncode, committed.stdout, committed.stderr) == (0, "", "")
    (told,) = spool_bodies(paths)
    assert told == {"action": "commit", "commit": repo.git("rev-parse", "HEAD")}
    assert (tmp_path / "seen").exists() is bool(there)


def spool_bodies(paths: Paths) -> list[object]:
    """What the events that wait say; a shell's lines are bare."""
    files = sorted(paths.spool.glob("*.jsonl"))
    return [json.loads(line)["body"] for file in files for line in file.read_text().splitlines()]
