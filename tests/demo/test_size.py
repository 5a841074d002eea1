"""How much a demonstration does: the settings of both sizes can be used, and the packages that are
played are large enough for them.
"""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from qi_learn.bench.functions import deal
from qi_learn.demo.home import make_home
from qi_learn.demo.sessions import check_enough, choose_sessions
from qi_learn.demo.size import FULL, QUICK, DemoSize
from qi_learn.errors import NotFound
from tests.support.command_line import Terminal

SIZES = pytest.mark.parametrize("size", [FULL, QUICK])


@SIZES
def test_the_home_has_the_overrides(
    size: DemoSize, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    home = make_home(size, None, tmp_path / "base.gguf")
    assert home.settings.serve.backend == "embedded"
    for section, values in size.overrides.items():
        for key, value in values.items():
            assert getattr(getattr(home.settings, section), key) == value
            assert f"{section}.{key} = {value}" in size.overrides_text()
    home.remove()
    assert list(tmp_path.iterdir()) == []


@SIZES
def test_the_installed_package_is_enough(size: DemoSize) -> None:
    root, sessions = choose_sessions(None, size)
    assert (root / "rich").is_dir()
    assert all(len(s.asked) <= size.asked and len(s.held_out) <= size.aside for s in sessions)
    groups = deal(sessions, size.cycles)
    check_enough(groups, size)
    least = size.overrides["train"]["min_interactions"]
    assert min(sum(len(s.asked) for s in group) for group in groups) >= int(str(least))


def test_a_quick_look_is_smaller_in_everything_and_says_so() -> None:
    for name in ("answer_tokens", "asked", "aside", "held_out", "answered", "cycles"):
        assert getattr(QUICK, name) < getattr(FULL, name)
    assert "figures mean little" in QUICK.remark
    assert FULL.remark == ""


def test_too_little_work_is_refused_before_anything_is_started() -> None:
    _, sessions = choose_sessions(None, QUICK)
    least = rf"it takes {QUICK.min_functions} in {QUICK.min_sessions}\."
    with pytest.raises(NotFound, match=least) as caught:
        check_enough([sessions[:2]], QUICK)
    assert "--cycles 1" in caught.value.hint
    check_enough([sessions], replace(QUICK, min_functions=1, min_sessions=1))


def test_a_directory_that_is_no_repository_is_named(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    done = terminal.process("demo", "--quick", "--repo", str(tmp_path))
    assert (done.code, "is not in a git repository" in done.err) == (1, True)


def test_a_small_repository_is_refused(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / "one.py").write_text("def f(x):\n    y = x + 1\n    return y\n")
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "-C", tmp_path, "add", "."], check=True)
    subprocess.run(["git", "-C", tmp_path, *identity, "commit", "-qm", "One"], check=True)
    done = Terminal(tmp_path).process("demo", "--quick", "--repo", str(tmp_path))
    assert (done.code, "0 usable functions in 0 modules" in done.err) == (1, True), done.err
