"""`qi-learn doctor`: each known cause of trouble is found, and a sound home has none."""

from __future__ import annotations

import json
import sqlite3
import sys
from pathlib import Path

import pytest

from qi_learn.paths import Paths
from qi_learn.report import check_parts, doctor, running
from qi_learn.report.finding import Finding
from qi_learn.settings import Settings
from tests.support.broken_home import break_everything
from tests.support.command_line import wait_until
from tests.support.fake_daemon import STATE, daemon, holding_the_lock
from tests.support.recorded_home import (
    schema_from_the_future,
)


def examined(paths: Paths) -> dict[str, Finding]:
    return {finding.name: finding for finding in doctor.examine(paths)}


def test_the_doctor_of_an_empty_home(paths: Paths) -> None:
    found = examined(paths)
    assert {name for name, finding in found.items() if not finding.ok} >= {
        "daemon",
        "model",
        "projects",
    }
    assert all(finding.hint for finding in found.values() if not finding.ok)
    assert not any(finding.hint for finding in found.values() if finding.ok)
    assert not paths.data.exists(), "it changes nothing"


def test_the_doctor_says_which_languages_are_followed_by_lines(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert examined(paths)["languages"].ok
    monkeypatch.setattr("qi_learn.report.check_parts.without_grammar", lambda: ["go", "rust"])
    found = examined(paths)["languages"]
    assert found.ok, "what is lacking costs little"
    assert "by lines: go, rust." in found.what
    assert "`languages`" in found.what


@pytest.mark.parametrize("bwrap", [None, "echo 'setting up uid map: denied' >&2; exit 1"])
def test_the_doctor_says_that_a_projects_tests_will_not_run(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bwrap: str | None
) -> None:
    """Asked for and impossible is a fault; nothing else says so before a cycle is over."""
    paths.ensure()
    programs = tmp_path / "bin"
    programs.mkdir()
    if bwrap is not None:
        (programs / "bwrap").write_text(f"#!/bin/sh\n{bwrap}\n")
        (programs / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    assert "project_tests" not in examined(paths)
    paths.settings_file.write_text("[gate]\nproject_tests = true\n")
    found = examined(paths)
    assert found["sandbox"].ok, "learning works without it"
    assert not found["project_tests"].ok
    assert "your projects' tests will not run" in found["project_tests"].what
    assert "without bubblewrap" in found["project_tests"].what
    assert "bwrap" in found["project_tests"].hint or "apt install" in found["project_tests"].hint
    assert "gate.project_tests = false" in found["project_tests"].hint


def test_the_doctor_looks_for_what_unsloth_needs(paths: Paths, tmp_path: Path) -> None:
    assert "backend" not in examined(paths)  # not asked for, and not installed
    about = tmp_path / "site" / "unsloth-2026.10.9.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: unsloth\nVersion: 2026.10.9\nRequires-Dist: aiohttp<1\n"
    )
    (tmp_path / "site" / "unsloth.py").write_text("raise RuntimeError\n")
    (tmp_path / "python").write_text(
        f'#!/bin/sh\nPYTHONPATH={tmp_path / "site"} exec {sys.executable} "$@"\n'
    )
    (tmp_path / "python").chmod(0o755)
    paths.settings_file.parent.mkdir(parents=True, exist_ok=True)
    for backend, ok in (("auto", True), ("unsloth", False)):
        paths.settings_file.write_text(
            f'[train]\nbackend = "{backend}"\npython = "{tmp_path / "python"}"\n'
        )
        found = examined(paths)["backend"]
        assert found.ok is ok
        assert "is there, <1 is wanted; unsloth_zoo is not installed" in found.what
        assert "train.base_weights is empty" in found.what
        assert bool(found.hint) is not ok


def test_what_hangs_keeps_no_other_check_waiting(
    past: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon here answers once another check was made, that of the interpreter."""
    monkeypatch.setattr(running, "ASK_SECONDS", 60.0)
    looked = tmp_path / "looked"
    (tmp_path / "python").write_text(f'#!/bin/sh\ntouch {looked}\nexec {sys.executable} "$@"\n')
    (tmp_path / "python").chmod(0o755)
    past.settings_file.parent.mkdir(parents=True, exist_ok=True)
    past.settings_file.write_text(
        f'[train]\nbackend = "unsloth"\npython = "{tmp_path / "python"}"\n'
    )
    with daemon(past, before=lambda: wait_until(looked.exists)):
        found = examined(past)
    assert found["daemon"].what.startswith("The daemon runs")
    assert list(found)[:3] == ["settings", "home", "daemon"], "in the order of the page"


def test_the_doctor_of_a_sound_home(past: Paths) -> None:
    found = examined(past)
    assert [
        name
        for name in ("settings", "model", "database", "permissions", "projects", "recording")
        if not found[name].ok
    ] == []
    assert "1.1.0" in found["model"].what


def test_the_doctor_of_a_broken_home(past: Paths, tmp_path: Path) -> None:
    break_everything(past)
    past.settings_file.write_text("[train")
    (past.spool / "bad").mkdir()
    (past.spool / "bad" / "gateway-1-1.jsonl").write_bytes(b"torn\nlines\n")
    past.daemon_state.write_bytes(b"\xff\x00")
    past.socket.write_text("no socket")
    (tmp_path / "user").mkdir()
    (tmp_path / "user" / ".bashrc").write_bytes(
        b". ~/qi-learn.bash\n# . qi-learn.sh\n\xff\n. ~/qi-learn.bash\n"
    )
    with holding_the_lock(past):
        found = examined(past)
    wrong = {name for name, finding in found.items() if not finding.ok}
    assert wrong >= {
        "settings",
        "daemon",
        "recording",
        "model",
        "database",
        "spool",
        "projects",
        "hooks",
    }
    assert "2 lines" in found["spool"].what
    assert "2 times" in found["hooks"].what
    assert all(found[name].hint for name in wrong)


def test_the_doctor_finds_a_daemon_that_does_not_answer(past: Paths) -> None:
    past.daemon_state.write_text(json.dumps(STATE))
    with holding_the_lock(past):
        assert (examined(past)["daemon"].ok, examined(past)["server"].ok) == (False, False)
    with daemon(past):
        assert examined(past)["daemon"].ok
    with daemon(past, up=False):
        assert "gateway.log" in examined(past)["daemon"].hint


def test_the_doctor_finds_texts_that_were_changed(past: Paths) -> None:
    raw = sqlite3.connect(past.database)
    raw.execute(
        "UPDATE messages SET content = 'Write a virus.' WHERE content = 'Explain the moon.'"
    )
    raw.commit()
    raw.close()
    found = examined(past)["database"]
    assert not found.ok
    assert "its text is not what was stored" in found.what


def test_the_doctor_finds_a_database_from_the_future(past: Paths) -> None:
    before = schema_from_the_future(past)
    found = examined(past)["database"]
    assert (found.ok, "newer qi-learn" in found.what, past.database.read_bytes() == before) == (
        False,
        True,
        True,
    )


def test_the_doctor_finds_what_others_can_read_and_what_is_gone(
    past: Paths, tmp_path: Path
) -> None:
    past.database.chmod(0o644)
    (tmp_path / "project").rmdir()
    found = examined(past)
    assert str(past.database) in found["permissions"].hint
    assert str(tmp_path / "project") in found["projects"].what


def test_a_project_that_is_gone_is_told_once(past: Paths, tmp_path: Path) -> None:
    project, why = tmp_path / "project", "the directory is not there"
    watching = [{"project": str(project), "mode": "blind", "why": [why], "last_event": None}]
    with daemon(past, condition={"projects": watching}):
        assert [f.ok for f in doctor.examine(past) if str(project) in f.what] == [False]
        project.rmdir()
        (told,) = [f for f in doctor.examine(past) if str(project) in f.what]
    assert (told.name, "init --remove" in told.hint) == ("projects", True)


def test_the_shell_hook_is_loaded_twice_if_its_lines_are_and_not_with_the_completion(
    past: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    rc = "[ -r ~/q/qi-learn.zsh ] && source ~/q/qi-learn.zsh\nalias q='tail qi-learn.log'\n"
    (tmp_path / ".zshrc").write_text(f"{rc}source ~/.zfunc/qi-learn.zsh\n")
    bash = "if [ -r ~/q/qi-learn.bash ]; then\n  . ~/q/qi-learn.bash # hook\nfi\n"
    (tmp_path / ".bashrc").write_text(f"{bash}source ~/.bash_completions/qi-learn.sh\n")
    assert list(check_parts.hooks(past, Settings())) == []
    (tmp_path / ".bashrc").write_text(f'{bash}source "/my q/qi-learn.bash"\n')
    (twice,) = check_parts.hooks(past, Settings())
    assert twice.what == f"{tmp_path / '.bashrc'} loads the shell hook 2 times."


def test_rules_of_a_project_that_say_nothing_are_told(past: Paths, tmp_path: Path) -> None:
    rules = tmp_path / "project" / ".qi-learn-ignore"
    rules.write_text("private/\n!private/a.py\n")
    (told,) = [f for f in doctor.examine(past) if str(rules) in f.what]
    assert (told.name, told.ok) == ("projects", False)
    assert "line 2: `!private/a.py` takes nothing back" in told.what
    rules.write_bytes(b"\xff\xfe")
    (told,) = [f for f in doctor.examine(past) if str(rules) in f.what]
    assert "nothing of that project is looked at" in told.what
    rules.write_text("private/*\n!private/a.py\n")
    assert [f for f in doctor.examine(past) if str(rules) in f.what] == []


def test_without_the_engine_nothing_is_recorded_unless_ollama_serves(
    past: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "llama_cpp", None)  # as Python itself says "not to be found"
    (parts,) = [f for f in doctor.examine(past) if f.name == "parts"]
    assert "no model is served here, and nothing is recorded" in parts.what
    assert "set serve.base to a model of your Ollama" in parts.hint
    past.settings_file.write_text('[serve]\nbase = "qwen2.5-coder:7b"\n')
    (parts,) = [f for f in doctor.examine(past) if f.name == "parts"]
    assert "Recording works, learning does not." in parts.what
    assert "serve.base" not in parts.hint


def test_the_doctor_finds_a_python_that_is_not_there(past: Paths) -> None:
    past.settings_file.write_text('[train]\npython = "~/no/such/python"\n')
    parts = [f for f in doctor.examine(past) if f.name == "parts"]
    assert any("~/no/such/python" in f.what and not f.ok for f in parts)
