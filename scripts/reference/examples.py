"""The services' files as `qi-learn daemon install` writes them, for a sample home."""

from __future__ import annotations

from pathlib import Path

from qi_learn.commands.service_units import Place, launchd_agents, systemd_units
from qi_learn.paths import Paths
from qi_learn.settings import Settings

TOOL = "share/uv/tools/qi-learn/bin/python"
"""Where `uv tool install` puts the interpreter, below the user's data."""


def systemd(root: Path) -> str:
    """The three units."""
    home = Path("/home/you")
    local = home / ".local"
    paths = Paths(
        home / ".config/qi-learn", local / "share/qi-learn", local / "state/qi-learn", root
    )
    files = systemd_units(Place(local / TOOL, paths, {}), Settings())
    return "\n\n".join(_fenced(f"# {file.name}\n{file.text}", "ini") for file in files)


def launchd(root: Path) -> str:
    """The two agents."""
    library = Path("/Users/you/Library")
    support = library / "Application Support/qi-learn"
    paths = Paths(support, support, support, root)
    place = Place(Path("/Users/you/.local") / TOOL, paths, {})
    return "\n\n".join(_fenced(file.text, "xml") for file in launchd_agents(place))


def _fenced(text: str, language: str) -> str:
    return f"```{language}\n{text.strip()}\n```"
