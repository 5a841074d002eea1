"""`qi-learn launch`: a tool is started pointed at the gateway, and what it was can be had back.

Claude Code 1.0.120, Codex 0.171.0, OpenCode 1.18.34, Qwen Code 0.15.10, Continue's `cn` 1.5.47 and
Cline 3.0.65 were started so, and asked the gateway; here a script in their place says how it was.
"""

from __future__ import annotations

import json
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qi_learn.cli.launching import TOOL_NAMES
from qi_learn.commands import launch
from qi_learn.commands.client_settings import TOOL_SETTINGS, find_written_settings
from qi_learn.commands.clients import TOOLS, GatewayTarget
from qi_learn.commands.uninstall import Leaving, find_everything
from qi_learn.errors import EXIT_DONE, EXIT_FAILED, EXIT_NO_DAEMON, EXIT_USAGE, NotFound
from tests.support.command_line import OFFLINE, Terminal
from tests.support.fake_daemon import daemon

SAYS = """#!{python}
import json, os, sys
json.dump({{"words": sys.argv[1:], "env": dict(os.environ)}}, open({file!r}, "w"))
sys.exit(7)
"""
ALIAS = "qi-agent"


class Machine:
    """A terminal whose path has one directory, with programs that say how they were started."""

    def __init__(self, root: Path) -> None:
        self.root, self.bin, self.said = root, root / "bin", root / "said.json"
        self.bin.mkdir()
        self.terminal = Terminal(root, OFFLINE | {"PATH": str(self.bin)})

    def install(self, *tools: str) -> None:
        for tool in tools:
            file = self.bin / TOOLS[tool].command
            file.write_text(SAYS.format(python=sys.executable, file=str(self.said)))
            file.chmod(0o755)

    def start(self, *words: str) -> dict[str, Any]:
        said = self.terminal.process("launch", *words)
        assert (said.code, said.err) == (7, ""), "the tool's own exit code"
        value = json.loads(self.said.read_text())
        assert isinstance(value, dict)
        return value


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def url(machine: Machine) -> Iterator[str]:
    """The address of a gateway that runs."""
    with daemon(machine.terminal.paths) as address:
        yield address


def test_the_names_on_the_command_line_are_those_of_the_table() -> None:
    assert tuple(TOOLS) == TOOL_NAMES
    assert set(TOOL_SETTINGS) <= set(TOOLS)
    assert all(tool.point or name in TOOL_SETTINGS for name, tool in TOOLS.items())


@pytest.mark.parametrize("tool", [name for name, tool in TOOLS.items() if tool.point])
def test_a_tool_is_given_the_address_and_what_the_person_typed(
    machine: Machine, url: str, tool: str
) -> None:
    machine.install(tool)
    said = machine.start(tool, "--", "-x", "two words", "$(id)")
    assert said["words"][-3:] == ["-x", "two words", "$(id)"]
    target = GatewayTarget(url, ALIAS, machine.terminal.paths.clients)
    point = TOOLS[tool].point
    assert point is not None
    pointing = point(target)
    assert {name: said["env"].get(name) for name in pointing.environment} == pointing.environment
    assert said["words"][:-3] == list(pointing.arguments)
    given = f"{said['words']} {said['env']} {[file.read_text() for file in pointing.files]}"
    assert url.partition("://")[2] in given
    assert said["env"]["QI_LEARN_HOME"] == str(machine.root / "home"), "the rest is passed on"


def test_each_names_the_model_where_it_reads_it(machine: Machine) -> None:
    target = GatewayTarget("http://127.0.0.1:5", ALIAS)
    named = {
        name for name, tool in TOOLS.items() if tool.point and ALIAS in str(tool.point(target))
    }
    assert named == set(TOOLS) - {"llm", "ollama", "cline"}, "those two are told by `-m`, or `run`"


def test_codex_is_given_values_that_are_toml(machine: Machine, url: str) -> None:
    import tomllib

    machine.install("codex")
    words = machine.start("codex", "--", "exec")["words"]
    options = [words[n + 1] for n, word in enumerate(words) if word == "-c"]
    config = tomllib.loads("\n".join(options))
    assert config["model_providers"][config["model_provider"]] == {
        "name": "qi-learn",
        "base_url": f"{url}/v1",
        "wire_api": "responses",
    }


def test_continues_file_is_of_this_start_and_ours(machine: Machine, url: str) -> None:
    machine.install("continue")
    _, file = machine.start("continue", "--", "-p", "hi")["words"][:2]
    assert Path(file).parent == machine.terminal.paths.clients
    assert stat.S_IMODE(Path(file).stat().st_mode) == 0o600
    assert f'apiBase: "{url}"' in Path(file).read_text()
    assert not (machine.root / ".continue").exists()


def test_without_a_name_they_are_listed(machine: Machine) -> None:
    machine.install("opencode")
    listed = machine.terminal.qi("launch", "--json").json["tools"]
    assert [each["name"] for each in listed] == list(TOOLS)
    assert {each["name"] for each in listed if each["program"]} == {"opencode"}
    out = machine.terminal.qi("launch").out
    assert "opencode  found  OPENCODE_CONFIG_CONTENT" in out
    assert "claude    -      ANTHROPIC_BASE_URL" in out


def test_what_is_missing_is_said_with_what_to_type(machine: Machine) -> None:
    said = machine.terminal.qi("launch", "aider")
    assert (said.code, "pip install aider-chat" in said.err) == (EXIT_FAILED, True)
    machine.install("aider", "cline", "claude")
    said = machine.terminal.qi("launch", "aider")
    assert (said.code, "qi-learn daemon start" in said.err) == (EXIT_NO_DAEMON, True)
    said = machine.terminal.qi("launch", "cline")
    assert (said.code, "launch cline --config" in said.err) == (EXIT_FAILED, True)
    said = machine.terminal.qi("launch", "aider", "--config")
    assert (said.code, "OLLAMA_API_BASE" in said.err) == (EXIT_FAILED, True)
    assert machine.terminal.qi("launch", "emacs").code == EXIT_USAGE
    assert machine.terminal.qi("launch", "--config").code == EXIT_USAGE
    assert machine.terminal.qi("launch", "cline", "--config", "--restore").code == EXIT_USAGE
    assert machine.terminal.qi("launch", "cline", "--config", "--", "x").code == EXIT_USAGE
    assert machine.terminal.qi("launch", "cline", "--json").code == EXIT_USAGE
    assert not machine.said.exists()


def test_with_the_embedded_engine_what_it_refuses_is_not_started(machine: Machine) -> None:
    machine.install("claude")
    embedded = Terminal(
        machine.root, {**machine.terminal.env, "QI_LEARN__SERVE__BACKEND": "embedded"}
    )
    said = embedded.qi("launch", "claude")
    assert (said.code, "embedded engine" in said.err) == (EXIT_FAILED, True)
    assert (
        "claude    found  ANTHROPIC_BASE_URL and --model; needs Ollama" in embedded.qi("launch").out
    )


# --- settings -------------------------------------------------------------------------------------

CONTINUE = {
    "nothing": None,
    "an empty file": "",
    "no models": "name: mine\nversion: 1.0.0\n",
    "no end of line": "name: mine",
    "models": "name: mine\nmodels:\n  - name: other\n    provider: openai\n# end\n",
    "models without an indent, in the middle": "models: # mine\n\n- name: other\nrules: []\n",
    "Windows's ends": "name: mine\r\nmodels:\r\n  - name: other\r\n",
    "no UTF-8": "name: \udcff\n",
    "a mark of its encoding": "\ufeffmodels:\n- name: other\n",
    "a name in quotes": '"models":\n  - name: other\n',
    "a dash by itself": "models:\n    -\n      name: other\n",
    "a document": "---\nname: mine\nmodels:\n-\n  name: other\n",
}
CLINE = {
    "nothing": None,
    "another choice": json.dumps({"version": 1, "lastUsedProvider": "x", "providers": {"x": {}}}),
    "an Ollama of the person's": '{"version":1,"modes":{},"lastUsedProvider":"ollama","providers":'
    '{"ollama":{"settings":{"provider":"ollama","baseUrl":"http://box:11434"},"tokenSource":"m"}}}',
}
CASES = [("continue", each) for each in CONTINUE.values()] + [
    ("cline", each) for each in CLINE.values()
]


def file_of(machine: Machine, tool: str, before: str | None) -> Path:
    file = TOOL_SETTINGS[tool].place(machine.root, {})
    if before is not None:
        file.parent.mkdir(parents=True)
        file.write_bytes(before.encode("utf-8", "surrogateescape"))
        file.chmod(0o644)
    return file


def bytes_of(file: Path) -> bytes | None:
    return file.read_bytes() if file.exists() else None


@pytest.mark.parametrize(("tool", "before"), CASES)
def test_settings_are_written_and_given_back(
    machine: Machine, url: str, tool: str, before: str | None
) -> None:
    file = file_of(machine, tool, before)
    was = bytes_of(file)
    for _ in range(2):  # a second time, with another port
        said = machine.terminal.qi("launch", tool, "--config", "--json")
        assert said.json == {"tool": tool, "file": str(file)}
        assert file.read_bytes().count(url.encode()) == (2 if tool == "continue" else 1)
    restored = machine.terminal.qi("launch", tool, "--restore", "--json").json
    assert restored["restored"] == "as it was"
    assert bytes_of(file) == was
    assert [each.name for each in file.parent.iterdir()] == ([file.name] if was is not None else [])
    assert "nothing to restore" in machine.terminal.qi("launch", tool, "--restore").out


@pytest.mark.parametrize("before", [each for each in CONTINUE.values() if each])
def test_what_the_person_wrote_meanwhile_stays(machine: Machine, url: str, before: str) -> None:
    file = file_of(machine, "continue", before)
    machine.terminal.qi("launch", "continue", "--config")
    with file.open("ab") as out:
        out.write(b"# mine too\n")
    assert "only ours was taken out" in machine.terminal.qi("launch", "continue", "--restore").out
    end = "" if before.endswith("\n") else "\n"
    kept = f"{before}{end}# mine too\n".encode("utf-8", "surrogateescape")
    assert file.read_bytes() == kept


def test_what_cline_wrote_meanwhile_stays(machine: Machine, url: str) -> None:
    """It writes the file at each run."""
    before = CLINE["an Ollama of the person's"]
    file = file_of(machine, "cline", before)
    machine.terminal.qi("launch", "cline", "--config")
    now = json.loads(file.read_text())
    assert now["lastUsedProvider"] == "ollama"
    now["providers"]["ollama"]["updatedAt"] = "2026-02-02T00:00:00.000Z"
    now["providers"]["added"] = {"settings": {}}
    file.write_text(json.dumps(now))
    assert "only ours was taken out" in machine.terminal.qi("launch", "cline", "--restore").out
    was = json.loads(before or "")
    was["providers"]["added"] = {"settings": {}}
    assert json.loads(file.read_text()) == was


@pytest.mark.parametrize(
    ("tool", "old", "new"), [("continue", "# end", "# mine"), ("cline", '"modes"', '"mine"')]
)
def test_what_the_person_wrote_between_two_configs_stays(
    machine: Machine, url: str, tool: str, old: str, new: str
) -> None:
    before = {"continue": CONTINUE["models"], "cline": '{"version": 1, "modes": {}}'}[tool]
    file = file_of(machine, tool, before)
    machine.terminal.qi("launch", tool, "--config")
    file.write_text(file.read_text().replace(old, new))
    machine.terminal.qi("launch", tool, "--config")
    machine.terminal.qi("launch", tool, "--restore")
    assert url not in file.read_text()
    assert new in file.read_text()
    assert old not in file.read_text()


@pytest.mark.parametrize("tool", ["continue", "cline"])
def test_killed_before_the_settings_were_written_they_are_what_they_were(
    machine: Machine, url: str, tool: str
) -> None:
    before = {"continue": CONTINUE["models"], "cline": CLINE["another choice"]}[tool]
    file = file_of(machine, tool, before)
    was = file.read_bytes()
    machine.terminal.qi("launch", tool, "--config")
    file.write_bytes(was)  # what was kept is put down first
    said = machine.terminal.qi("launch", tool, "--restore", "--json").json
    assert (said["restored"], file.read_bytes()) == ("as it was", was)


@pytest.mark.parametrize(
    "gone",
    [["# qi-learn: end"], ["# qi-learn: begin"], ["# qi-learn: begin", "# qi-learn: end"]],
    ids=["the end", "the beginning", "both"],
)
def test_without_the_marks_around_ours_nothing_is_taken_out(
    machine: Machine, url: str, gone: list[str]
) -> None:
    """Tools that write YAML anew leave comments out."""
    file = file_of(machine, "continue", CONTINUE["models"])
    machine.terminal.qi("launch", "continue", "--config")
    text = "".join(
        line for line in file.read_text().splitlines(keepends=True) if line.strip() not in gone
    )
    file.write_text(text)
    for option in ("--restore", "--config", "--restore"):
        said = machine.terminal.qi("launch", "continue", option)
        assert (said.code, "by hand" in said.err) == (EXIT_FAILED, True)
        assert file.read_text() == text


def test_taken_out_by_hand_there_is_nothing_left_to_take_out(machine: Machine, url: str) -> None:
    file = file_of(machine, "continue", CONTINUE["models"])
    machine.terminal.qi("launch", "continue", "--config")
    file.write_text("name: mine\n")
    assert "only ours" in machine.terminal.qi("launch", "continue", "--restore").out
    assert file.read_text() == "name: mine\n"


def test_a_file_that_was_deleted_comes_back_as_it_was(machine: Machine, url: str) -> None:
    """The copy beside it is the only one left of the person's own settings."""
    text = CLINE["another choice"]
    file = file_of(machine, "cline", text)
    machine.terminal.qi("launch", "cline", "--config")
    file.unlink()
    assert "is as it was" in machine.terminal.qi("launch", "cline", "--restore").out
    assert file.read_text() == text
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize(
    ("tool", "text"),
    [
        ("continue", "models: []\n"),
        ("continue", "models: [{name: x}]\n"),
        ("continue", '{"name": "mine"}\n'),
        ("continue", "name: mine\n...\n"),
        ("continue", "---\nname: mine\n---\nname: other\n"),
        ("cline", "[]"),
        ("cline", "{"),
        ("cline", '{"providers": []}'),
    ],
)
def test_settings_that_are_not_understood_are_left(
    machine: Machine, url: str, tool: str, text: str
) -> None:
    file = file_of(machine, tool, text)
    said = machine.terminal.qi("launch", tool, "--config")
    assert (said.code, "by hand" in said.err) == (EXIT_FAILED, True)
    assert (file.read_text(), len(list(file.parent.iterdir()))) == (text, 1)


def test_the_models_stand_among_the_persons_own(machine: Machine, url: str) -> None:
    yaml = pytest.importorskip("yaml")
    for text in (each for each in CONTINUE.values() if each and "\udcff" not in each):
        written = TOOL_SETTINGS["continue"].with_ours(text, GatewayTarget(url, "qi agent: #1"))
        models = yaml.safe_load(written)["models"]
        assert [m["model"] for m in models[:2]] == ["qi agent: #1"] * 2
        assert [m["name"] for m in models[2:]] == ["other"] * text.count("other")


def test_uninstall_undoes_it_and_does_not_tell_of_it(machine: Machine, url: str) -> None:
    file = file_of(machine, "continue", CONTINUE["models"])
    was = file.read_bytes()
    machine.terminal.qi("launch", "continue", "--config")
    leaving = Leaving(machine.terminal.paths, home=machine.root, env={})
    found = find_everything(leaving)
    assert not any(str(file) in left for left in found.left)
    (removal,) = (each for each in found.removals if each.kind == "settings")
    removal.do()
    removal.do()
    assert file.read_bytes() == was
    assert find_written_settings(machine.root, {}).removals == ()


def test_what_was_kept_and_is_damaged_is_told(machine: Machine, url: str) -> None:
    file = file_of(machine, "cline", CLINE["another choice"])
    machine.terminal.qi("launch", "cline", "--config")
    file.with_name(f"{file.name}.before-qi-learn").write_text("{")
    with pytest.raises(NotFound, match="damaged"):
        launch.restore_config("cline", machine.root, {})
    assert machine.terminal.qi("launch", "cline", "--restore").code != EXIT_DONE
