"""`qi-learn hooks` for agents: what is put into their files is taken out again, byte for byte."""

from __future__ import annotations

import json
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from qi_learn.commands import hooks
from qi_learn.commands.hooks import HookPlaces
from qi_learn.commands.hooks_claude import EVENTS, SCRIPT
from qi_learn.commands.json_text import put_first, read_json_text, take_out
from qi_learn.commands.uninstall import Leaving, find_everything
from qi_learn.errors import NotFound
from qi_learn.paths import Paths
from tests.support.command_line import OFFLINE, Terminal

OTHER = {"type": "command", "command": "notify-send done"}
BEFORE = {
    "nothing": None,
    "an empty file": b"",
    "white space": b"\n\n",
    "a mark and nothing": b"\xef\xbb\xbf",
    "an empty object": b"{}",
    "an empty object with a line": b"{\n}\n",
    "other settings": b'{\n  "model": "opus",\n  "permissions": {"allow": ["Read"]}\n}\n',
    "no end of line": b'{\n  "model": "opus"\n}',
    "Windows's ends": b'{\r\n  "model": "opus"\r\n}\r\n',
    "tabs, and all in one line": b'{\t"model":"opus",\t"a":[1,2,{}]}',
    "comments": b'// mine\n{ // more\n  "model": "opus", /* and "hooks": {} */\n}\n// end',
    "hooks that are empty": b'{"hooks": {}, "model": "opus"}\n',
    "an event that is empty": b'{"hooks": {"Stop": []}}\n',
    "hooks of the person's": json.dumps({"hooks": {"Stop": [{"hooks": [OTHER]}]}}).encode(),
    "an odd indent": b'{\n       "hooks"  : {\n "PostToolUse" : [ { "matcher": "Bash", "hooks": [\n'
    b'{"type": "command", "command": "true"} ] }\n ] } ,\n"x" : null }\n',
    "a mark at its head": b'\xef\xbb\xbf{"model": "opus"}\n',
    "no UTF-8 in a string": b'{"a": "\xff\xfe"}\n',
}
STRICT = [each for name, each in BEFORE.items() if name not in ("comments", "no UTF-8 in a string")]
"""Without comments, and in UTF-8: what Claude Code reads."""


@pytest.fixture
def places(tmp_path: Path) -> HookPlaces:
    return HookPlaces(tmp_path, {}, tmp_path)


def settings_of(places: HookPlaces, before: bytes | None) -> Path:
    file = places.home / ".claude" / "settings.json"
    file.parent.mkdir()
    if before is not None:
        file.write_bytes(before)
        file.chmod(0o640)
    return file


def commands_in(file: Path) -> dict[str, list[str]]:
    hooked: dict[str, Any] = json.loads(file.read_text(encoding="utf-8-sig"))["hooks"]
    return {
        event: [hook["command"] for entry in entries for hook in entry["hooks"]]
        for event, entries in hooked.items()
    }


@pytest.mark.parametrize("before", BEFORE.values(), ids=list(BEFORE))
def test_claudes_settings_are_afterwards_what_they_were(
    places: HookPlaces, before: bytes | None
) -> None:
    file = settings_of(places, before)
    assert hooks.install("claude", places)
    installed = file.read_bytes()
    assert installed.count(SCRIPT.encode()) == 2 * len(EVENTS)
    assert not hooks.install("claude", places)
    assert (file.read_bytes(), hooks.hook_state("claude", places).installed) == (installed, True)
    assert hooks.uninstall("claude", places)
    assert not hooks.uninstall("claude", places)
    assert (file.read_bytes() if file.exists() else None) == before
    if before is not None:
        assert stat.S_IMODE(file.stat().st_mode) == 0o640


@pytest.mark.parametrize("before", [each for each in STRICT if each])
def test_the_settings_stay_json_with_all_that_was_in_them(
    places: HookPlaces, before: bytes
) -> None:
    file = settings_of(places, before)
    text = before.decode("utf-8-sig")
    was = json.loads(text) if text.strip() else {}
    hooks.install("claude", places)
    now = json.loads(file.read_text(encoding="utf-8-sig"))
    assert {name: now[name] for name in was if name != "hooks"} == {
        name: value for name, value in was.items() if name != "hooks"
    }
    for event, entries in was.get("hooks", {}).items():
        assert [entry for entry in now["hooks"][event] if SCRIPT not in str(entry)] == entries
    assert set(commands_in(file)) >= set(EVENTS)


@pytest.mark.parametrize("before", STRICT)
def test_what_claude_wrote_anew_meanwhile_stays(places: HookPlaces, before: bytes | None) -> None:
    """It writes the whole file when a permission is given: then ours go, and nothing else."""
    file = settings_of(places, before)
    was = json.loads((before or b"").decode("utf-8-sig") or "{}") if (before or b"").strip() else {}
    hooks.install("claude", places)
    now = json.loads(file.read_text(encoding="utf-8-sig"))
    file.write_text(json.dumps({**now, "permissions": {"allow": ["Bash(ls)"]}}, indent=2))
    hooks.uninstall("claude", places)
    assert json.loads(file.read_text()) == {**was, "permissions": {"allow": ["Bash(ls)"]}}


def test_a_hook_of_the_persons_in_the_same_entry_stays(places: HookPlaces) -> None:
    file = settings_of(places, None)
    hooks.install("claude", places)
    now = json.loads(file.read_text())
    now["hooks"]["Stop"][0]["hooks"].append(OTHER)
    file.write_text(json.dumps(now))
    hooks.uninstall("claude", places)
    assert json.loads(file.read_text()) == {"hooks": {"Stop": [{"hooks": [OTHER]}]}}


def test_a_link_stays_a_link(places: HookPlaces, tmp_path: Path) -> None:
    real = tmp_path / "dotfiles.json"
    real.write_bytes(b'{"model": "opus"}')
    file = settings_of(places, None)
    file.symlink_to(real)
    hooks.install("claude", places)
    assert file.is_symlink()
    assert SCRIPT in real.read_text()
    hooks.uninstall("claude", places)
    assert (file.is_symlink(), real.read_bytes()) == (True, b'{"model": "opus"}')


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b'{"hooks": []}', "hooks is no object"),
        (b'{"hooks": {"Stop": {}}}', "Stop is no list"),
        (b"[]", "it is no object"),
        (b'{"a": 1 "b": 2}', "is no JSON"),
        (b"{", "is no JSON"),
        (b'{"a": tru}', "is no JSON"),
        (b"{} x", "is no JSON"),
        (b"[" * 5000, "is no JSON"),
    ],
)
def test_settings_that_are_not_understood_are_left_and_told(
    places: HookPlaces, text: bytes, why: str
) -> None:
    file = settings_of(places, text)
    with pytest.raises(NotFound, match=why):
        hooks.install("claude", places)
    assert file.read_bytes() == text
    assert not hooks.hook_state("claude", places).installed


def test_claudes_own_directory_counts(places: HookPlaces, tmp_path: Path) -> None:
    places = HookPlaces(tmp_path, {"CLAUDE_CONFIG_DIR": str(tmp_path / "work")}, tmp_path)
    hooks.install("claude", places)
    assert (tmp_path / "work" / "settings.json").is_file()
    assert not (tmp_path / ".claude").exists()


def test_the_command_succeeds_when_its_script_is_gone(places: HookPlaces, tmp_path: Path) -> None:
    """As after an upgrade of Python: else Claude Code would show an error at every edit."""
    file = settings_of(places, None)
    hooks.install("claude", places)
    script = str(hooks.script_of("claude"))
    for command in {each for listed in commands_in(file).values() for each in listed}:
        gone = command.replace(script, str(tmp_path / "gone"))
        for each in (command, gone):
            done = subprocess.run(("sh", "-c", each), input=b"{}", capture_output=True, check=False)
            assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize("directory", ["plugin", "plugins"])
def test_opencodes_plug_in_comes_and_goes(places: HookPlaces, directory: str) -> None:
    above = places.home / ".config" / "opencode"
    if directory == "plugins":
        (above / directory).mkdir(parents=True)
        (above / directory / "qi-learn.js").write_bytes(hooks.script_of("opencode").read_bytes())
    else:
        assert hooks.install("opencode", places)
    assert not hooks.install("opencode", places)
    state = hooks.hook_state("opencode", places)
    assert (state.installed, state.file) == (True, str(above / directory / "qi-learn.js"))
    assert hooks.uninstall("opencode", places)
    assert not hooks.uninstall("opencode", places)
    assert [path for path in above.rglob("*") if path.is_file()] == []


def test_an_older_plug_in_of_ours_is_renewed_and_anothers_is_left(places: HookPlaces) -> None:
    file = places.home / ".config" / "opencode" / "plugin" / "qi-learn.js"
    file.parent.mkdir(parents=True)
    file.write_text("// qi-learn plug-in for OpenCode: of another version\n")
    assert hooks.install("opencode", places)
    assert file.read_bytes() == hooks.script_of("opencode").read_bytes()
    file.write_text("export const Mine = async () => ({})\n")
    with pytest.raises(NotFound, match="of your own"):
        hooks.install("opencode", places)
    assert not hooks.uninstall("opencode", places)
    assert file.exists()


@pytest.mark.parametrize("before", BEFORE.values(), ids=list(BEFORE))
def test_uninstall_of_everything_takes_them_too(tmp_path: Path, before: bytes | None) -> None:
    places = HookPlaces(tmp_path, {}, tmp_path)
    file = settings_of(places, before)
    for name in hooks.AGENTS:
        hooks.install(name, places)
    leaving = Leaving(Paths.under(tmp_path / "home"), home=tmp_path, env={})
    removals = [r for r in find_everything(leaving).removals if r.kind == "hook"]
    assert len(removals) == 2
    for removal in removals:
        removal.do()
        removal.do()  # it may have been interrupted
    assert (file.read_bytes() if file.exists() else None) == before
    assert not list((tmp_path / ".config").rglob("*.js"))


def test_on_the_command_line(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, OFFLINE)
    for name in hooks.AGENTS:
        assert "installed in" in terminal.qi("hooks", "install", name).out
        assert "installed already" in terminal.qi("hooks", "install", name).out
        assert terminal.qi("hooks", "status", name, "--json").json["installed"] is True
        assert "taken away" in terminal.qi("hooks", "uninstall", name).out
    assert not (tmp_path / ".claude" / "settings.json").exists()


@pytest.mark.parametrize(
    "text", ['{"a": 1, "b": [2, 3,], "c": {}}', "[ 1 , 2 ]", "{ }", '{"a":{"b":"\\"}"}, // x\n}']
)
def test_what_is_put_first_is_taken_out_again(text: str) -> None:
    top = read_json_text(text)
    assert top is not None
    piece = '"z": 0' if top.kind == "{" else "0"
    with_it = put_first(text, top, piece)
    again = read_json_text(with_it)
    assert again is not None
    assert len(again.members) == len(top.members) + 1
    assert take_out(with_it, again, 0) == text
