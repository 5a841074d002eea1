"""How qi-learn itself was installed, and the command that adds an optional part to it.

The command names the checkout or the wheel that this installation came from (PEP 610), never a bare
package name: an index may have another project under it.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import qi_learn

DISTRIBUTION = "qi-learn"
OR_OLLAMA = "or set serve.base to a model of your Ollama (`qi-learn config` shows the file)"
"""What to do in place of adding the engine."""
TOOL_EXTRAS = ("embedded", "train")
"""What a tool's environment is made with: it is made anew, so the command names all of it."""


@dataclass(frozen=True, slots=True)
class Installation:
    """One installation of qi-learn."""

    source: str
    """The directory, file or URL that it came from; empty if that is not recorded."""
    editable: bool
    tool: str
    """What installs into this environment: `pip`, `uv` (no pip is there), `uv tool` or `pipx`."""
    python: str
    """The environment's interpreter."""

    def command(self, *extras: str) -> str:
        """The command line that adds these extras."""
        if self.tool in ("uv tool", "pipx"):
            extras = tuple(sorted({*extras, *TOOL_EXTRAS}))
        wheel = f"PATH/TO/qi_learn-{qi_learn.__version__}-py3-none-any.whl"
        target = shlex.quote(f"{self.source or wheel}[{','.join(extras)}]")
        if self.tool in ("uv tool", "pipx"):
            return f"{self.tool} install --force {target}"
        python = shlex.quote(self.python)
        install = (
            f"uv pip install --python {python}" if self.tool == "uv" else f"{python} -m pip install"
        )
        return f"{install} {'-e ' if self.editable else ''}{target}"


def how_to_add(*extras: str) -> str:
    """What to do to add these extras to the environment that runs this."""
    names = ", ".join(f"`{extra}`" for extra in extras)
    plural = "s" if len(extras) > 1 else ""
    here = this_installation()
    source = "" if here.source else " from the checkout or the wheel that qi-learn came from"
    command = here.command(*extras)
    return f"Install the extra{plural} {names} into this environment{source}: `{command}`"


def this_installation() -> Installation:
    """This installation: as its installer recorded it, else the checkout around it."""
    about, installer = _recorded()
    source, editable = source_of(about)
    if (
        not source
        and (root := Path(qi_learn.__file__).parents[1]).joinpath("pyproject.toml").exists()
    ):
        source, editable = str(root), True
    return Installation(source, editable, tool_of(Path(sys.prefix), installer), sys.executable)


def _recorded() -> tuple[Mapping[str, Any], str]:
    """`direct_url.json` and the installer's name, as far as they are recorded."""
    try:
        found = importlib.metadata.distribution(DISTRIBUTION)
        about = json.loads(found.read_text("direct_url.json") or "{}")
    except (importlib.metadata.PackageNotFoundError, OSError, ValueError):
        return {}, ""
    return about if isinstance(about, dict) else {}, (found.read_text("INSTALLER") or "").strip()


def source_of(about: Mapping[str, Any]) -> tuple[str, bool]:
    """The path or URL of a `direct_url.json`, and whether the installation is editable.

    Empty for a file that is gone by now.
    """
    url = str(about.get("url") or "")
    parts = urlsplit(url)
    if parts.scheme != "file":
        return url, False
    path = Path(unquote(parts.path))
    directory = about.get("dir_info")
    editable = isinstance(directory, dict) and bool(directory.get("editable"))
    return (str(path), editable) if path.exists() else ("", False)


def tool_of(prefix: Path, installer: str) -> str:
    """What installs into the environment at `prefix`, told by the files that tools leave there."""
    if (prefix / "uv-receipt.toml").exists():
        return "uv tool"
    if (prefix / "pipx_metadata.json").exists():
        return "pipx"
    return "uv" if installer == "uv" and importlib.util.find_spec("pip") is None else "pip"
