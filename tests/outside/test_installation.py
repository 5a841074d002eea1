"""How to add an optional part: the command names what this installation came from, never a bare
package name.
"""

from __future__ import annotations

import importlib.metadata
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from qi_learn.outside.installation import (
    Installation,
    how_to_add,
    source_of,
    this_installation,
    tool_of,
)

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize(
    ("tool", "editable", "command"),
    [
        ("pip", True, "/env/bin/python -m pip install -e '/a b/qi-learn[train]'"),
        ("pip", False, "/env/bin/python -m pip install '/a b/qi-learn[train]'"),
        ("uv", False, "uv pip install --python /env/bin/python '/a b/qi-learn[train]'"),
        ("uv tool", False, "uv tool install --force '/a b/qi-learn[embedded,train]'"),
        ("pipx", False, "pipx install --force '/a b/qi-learn[embedded,train]'"),
    ],
)
def test_the_command_is_the_one_of_the_tool_that_installed(
    tool: str, editable: bool, command: str
) -> None:
    here = Installation("/a b/qi-learn", editable, tool, "/env/bin/python")
    assert here.command("train") == command


def test_without_a_recorded_source_the_wheel_is_named_and_no_package() -> None:
    command = Installation("", False, "pip", "/env/bin/python").command("embedded")
    target = shlex.split(command)[-1]
    assert re.fullmatch(r"PATH/TO/qi_learn-[\w.]+-py3-none-any\.whl\[embedded\]", target)


def test_the_source_is_read_from_what_the_installer_recorded(tmp_path: Path) -> None:
    wheel = tmp_path / "a wheel.whl"
    wheel.touch()
    url = tmp_path.as_uri()
    assert source_of({"url": url, "dir_info": {"editable": True}}) == (str(tmp_path), True)
    assert source_of({"url": url, "dir_info": {}}) == (str(tmp_path), False)
    assert source_of({"url": wheel.as_uri(), "archive_info": {}}) == (str(wheel), False)
    assert source_of({"url": f"{url}/gone.whl", "archive_info": {}}) == ("", False)
    assert source_of({}) == ("", False)


def test_the_tool_is_told_by_the_files_it_leaves(tmp_path: Path) -> None:
    assert tool_of(tmp_path, "pip") == "pip"
    (tmp_path / "pipx_metadata.json").touch()
    assert tool_of(tmp_path, "pip") == "pipx"
    (tmp_path / "uv-receipt.toml").touch()
    assert tool_of(tmp_path, "uv") == "uv tool"


def test_this_installation_names_a_checkout_that_is_there() -> None:
    here = this_installation()
    assert (Path(here.source) / "pyproject.toml").exists() or here.source.endswith(".whl")
    assert here.python == sys.executable


def test_what_installed_a_wheel_recorded_is_found_by_another_interpreter(tmp_path: Path) -> None:
    """A directory as an installer leaves it, with the package and its record, and nothing else."""
    version = importlib.metadata.version("qi-learn")
    wheel = tmp_path / f"qi_learn-{version}-py3-none-any.whl"
    wheel.touch()
    site = tmp_path / "site"
    site.mkdir()
    (site / "qi_learn").symlink_to(ROOT / "qi_learn")
    record = site / f"qi_learn-{version}.dist-info"
    record.mkdir()
    (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: qi-learn\nVersion: {version}\n")
    (record / "INSTALLER").write_text("pip\n")
    (record / "direct_url.json").write_text(f'{{"archive_info": {{}}, "url": "{wheel.as_uri()}"}}')
    code = "from qi_learn.outside.installation import how_to_add; print(how_to_add('train'))"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env={"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shlex.split(done.stdout.rstrip("`\n"))[-1] == f"{wheel}[train]"


def test_no_message_names_a_package_that_an_index_may_have() -> None:
    sources = [p for p in (ROOT / "qi_learn").rglob("*.py") if p.name != "installation.py"]
    assert [p.name for p in sources if "qi-learn[" in p.read_text(encoding="utf-8")] == []
    assert "pip install qi-learn" not in how_to_add("embedded")
