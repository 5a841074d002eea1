"""Pages of the repository's root that are pages of the site too, their links as the site needs."""

from __future__ import annotations

import re
from pathlib import Path

_LINK = re.compile(r"\[(?P<text>[^\]]+)\]\((?P<target>[^)#\s]*)(?P<anchor>#[^)\s]*)?\)")


def contributing(root: Path) -> str:
    """CONTRIBUTING.md without its title."""
    return _for_the_site(root, "CONTRIBUTING.md")


def security(root: Path) -> str:
    """SECURITY.md without its title."""
    return _for_the_site(root, "SECURITY.md")


def _for_the_site(root: Path, name: str) -> str:
    text = (root / name).read_text(encoding="utf-8")
    return _LINK.sub(_link, re.sub(r"\A# [^\n]*\n+", "", text))


def _link(match: re.Match[str]) -> str:
    """A link to `docs/` loses the folder; a link to what the site lacks becomes a name."""
    target = match["target"]
    if "://" in target or not target:
        return match[0]
    if target.startswith("docs/") or target in ("CONTRIBUTING.md", "SECURITY.md"):
        where = target.removeprefix("docs/") if target.startswith("docs/") else target.lower()
        return f"[{match['text']}]({where}{match['anchor'] or ''})"
    return match["text"] if match["text"].startswith("`") else f"`{match['text']}`"
