"""`qi-learn redact --check`: what would go, and never the secret itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

SECRET = "aB3dE5fG7hJ9kL1mN3pQ5rS7"
TEXT = f'plain = 1\nAPI_KEY: str = "{SECRET}"\ntokenizer = "Qwen/Qwen2.5-Coder-7B-Instruct"\n'


def check(home: Path, *words: str, text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "qi_learn", "redact", "--check", *words],
        input=text,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "QI_LEARN_HOME": str(home)},
    )


def test_a_file_and_the_input_are_shown_alike(tmp_path: Path) -> None:
    file = tmp_path / "settings.py"
    file.write_text(TEXT)
    home = tmp_path / "home"
    for done in (check(home, str(file)), check(home, "-", text=TEXT)):
        assert done.returncode == 0, done.stderr
        first, last = done.stdout.splitlines()
        assert first == "line 2: assigned, aB... (24 characters)"
        assert last.startswith("1 secret would be taken out (own rules")
        assert SECRET[:3] not in done.stdout
    assert not home.exists()


def test_as_json(tmp_path: Path) -> None:
    shown = json.loads(check(tmp_path, "-", "--json", text=TEXT).stdout)
    assert shown["secrets"] == [{"line": 2, "kind": "assigned", "length": 24, "begins": "aB"}]
    assert shown["rules"].startswith("own rules")


def test_a_text_without_a_secret_and_a_file_that_is_not_there(tmp_path: Path) -> None:
    none = check(tmp_path, "-", text="nothing\n")
    assert (none.returncode, none.stdout[:9]) == (0, "0 secrets")
    absent = check(tmp_path, str(tmp_path / "absent"))
    assert absent.returncode == 1
    assert "cannot be read" in absent.stderr
