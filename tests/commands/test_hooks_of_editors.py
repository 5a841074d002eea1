"""The hooks of editors come and go: Neovim's file, and the extension that VS Code takes itself."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pytest

from qi_learn.commands import hooks
from qi_learn.commands.hooks import HookPlaces, script_of
from qi_learn.commands.hooks_editors import find_editor_hooks
from qi_learn.commands.vsix import vsix_bytes
from qi_learn.errors import NotFound, QiError

CODE = """#!/bin/sh
# As `code` does: it writes down what is installed, and keeps what is in the file.
case $0 in *codium) own=.vscode-oss ;; *) own=.vscode ;; esac
list="$HOME/$own/extensions/extensions.json"
mkdir -p "$HOME/$own/extensions"
echo "$@" >>"$HOME/called"
[ ! -e "$HOME/refuse" ] || { echo "no room for it" >&2; exit 1; }
case $1 in
--install-extension)
    cp "$2" "$HOME/given.vsix"
    echo '[{"identifier": {"id": "qi-learn.qi-learn"}, "version": "0.1.0"}]' >"$list" ;;
--uninstall-extension)
    grep -q "$2" "$list" 2>/dev/null || { echo "Extension '$2' is not installed." >&2; exit 1; }
    echo '[]' >"$list" ;;
esac
"""


@pytest.fixture
def places(tmp_path: Path) -> HookPlaces:
    (tmp_path / "bin").mkdir()
    env = {
        "PATH": f"{tmp_path}/bin",
        "HOME": str(tmp_path),
        "QI_LEARN_HOME": str(tmp_path / "home"),
    }
    return HookPlaces(tmp_path, env, tmp_path)


@pytest.fixture
def code(places: HookPlaces, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = places.home / "bin" / "code"
    program.write_text(CODE)
    program.chmod(0o755)
    monkeypatch.setenv("HOME", str(places.home))
    return program


def test_neovim_gets_a_file_of_its_own_and_loses_it(places: HookPlaces) -> None:
    file = places.home / ".config/nvim/plugin/qi-learn.lua"
    assert not hooks.hook_state("nvim", places).installed
    assert hooks.install("nvim", places)
    written = file.read_text()
    assert written == f'-- qi-learn hooks\npcall(dofile, "{script_of("nvim")}")\n'
    assert not hooks.install("nvim", places)
    state = hooks.hook_state("nvim", places)
    assert (state.installed, state.file, file.read_text()) == (True, str(file), written)
    assert hooks.uninstall("nvim", places)
    assert not file.exists()
    assert not hooks.uninstall("nvim", places)


def test_the_file_lies_where_neovim_looks(places: HookPlaces) -> None:
    env = {**places.environment, "XDG_CONFIG_HOME": "/etc/own", "NVIM_APPNAME": "lazy"}
    state = hooks.hook_state("nvim", HookPlaces(places.home, env, places.repository))
    assert state.file == "/etc/own/lazy/plugin/qi-learn.lua"


def test_a_file_of_the_persons_own_stays(places: HookPlaces) -> None:
    file = places.home / ".config/nvim/plugin/qi-learn.lua"
    file.parent.mkdir(parents=True)
    file.write_text("-- mine\n")
    with pytest.raises(NotFound, match="a file of your own"):
        hooks.install("nvim", places)
    assert not hooks.uninstall("nvim", places)
    assert file.read_text() == "-- mine\n"


def test_vs_code_puts_the_extension_in_and_out(places: HookPlaces, code: Path) -> None:
    assert hooks.install("vscode", places)
    assert not hooks.install("vscode", places)
    state = hooks.hook_state("vscode", places)
    assert state.installed
    assert state.file == str(places.home / ".vscode/extensions/extensions.json")
    sources = script_of("vscode").parent
    assert (places.home / "given.vsix").read_bytes() == vsix_bytes(sources)
    assert hooks.uninstall("vscode", places)
    assert not hooks.hook_state("vscode", places).installed
    assert not hooks.uninstall("vscode", places)
    assert not (places.home / "home/data/qi-learn.vsix").exists()


def test_of_two_programs_each_is_given_and_loses_what_it_lacks_or_has(
    places: HookPlaces, code: Path
) -> None:
    lists = [places.home / own / "extensions/extensions.json" for own in (".vscode", ".vscode-oss")]
    assert hooks.install("vscode", places)
    codium = code.with_name("codium")
    codium.symlink_to(code)
    assert hooks.uninstall("vscode", places)  # `codium` never had it
    assert hooks.install("vscode", places)
    assert all("qi-learn" in file.read_text() for file in lists)
    lists[0].write_text("[]")
    assert hooks.install("vscode", places)
    assert not hooks.install("vscode", places)
    codium.unlink()
    with pytest.raises(NotFound, match="`codium` has the extension"):
        hooks.uninstall("vscode", places)
    assert "qi-learn" not in lists[0].read_text()


def test_without_vs_code_the_extension_is_made_and_named(places: HookPlaces) -> None:
    with pytest.raises(NotFound, match=r"qi-learn\.vsix") as caught:
        hooks.install("vscode", places)
    assert "Install from VSIX" in caught.value.hint
    assert zipfile.is_zipfile(places.home / "home/data/qi-learn.vsix")


def test_what_vs_code_says_against_it_is_told(places: HookPlaces, code: Path) -> None:
    (places.home / "refuse").touch()
    with pytest.raises(QiError, match="no room for it"):
        hooks.install("vscode", places)


def test_an_uninstallation_takes_both_away(places: HookPlaces, code: Path) -> None:
    hooks.install("nvim", places)
    hooks.install("vscode", places)
    found = find_editor_hooks(places.home, places.environment)
    assert [removal.kind for removal in found.removals] == ["hook", "hook"]
    for removal in found.removals:
        removal.do()
    assert find_editor_hooks(places.home, places.environment).removals == ()


def test_the_same_sources_make_the_same_bytes(tmp_path: Path) -> None:
    sources = script_of("vscode").parent
    for file in sources.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    made = vsix_bytes(sources)
    assert made == vsix_bytes(tmp_path)
    assert len(made) < 32768


def test_the_vsix_has_what_vs_code_reads() -> None:
    sources = script_of("vscode").parent
    package = json.loads((sources / "package.json").read_text())
    with zipfile.ZipFile(io.BytesIO(vsix_bytes(sources))) as archive:
        assert archive.testzip() is None
        assert json.loads(archive.read("extension/package.json")) == package
        assert archive.read("extension/extension.js") == (sources / "extension.js").read_bytes()
        manifest = ElementTree.fromstring(archive.read("extension.vsixmanifest"))
        types = ElementTree.fromstring(archive.read("[Content_Types].xml"))
    space = "{http://schemas.microsoft.com/developer/vsx-schema/2011}"
    identity = manifest.find(f"{space}Metadata/{space}Identity")
    assert identity is not None
    assert (identity.get("Publisher"), identity.get("Id")) == ("qi-learn", "qi-learn")
    assert identity.get("Version") == package["version"]
    suffixes = {each.get("Extension") for each in types}
    assert suffixes == {".json", ".js", ".vsixmanifest"}
