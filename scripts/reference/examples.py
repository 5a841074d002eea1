"""The files of `docs/examples/`, as they stand, within the page that explains them."""

from __future__ import annotations

from pathlib import Path


def systemd(root: Path) -> str:
    """The unit for systemd."""
    return _fenced(root, "qi-learn.service", "ini")


def launchd(root: Path) -> str:
    """The property list for launchd."""
    return _fenced(root, "qi-learn.plist", "xml")


def _fenced(root: Path, name: str, language: str) -> str:
    text = (root / "docs" / "examples" / name).read_text(encoding="utf-8")
    return f"```{language}\n{text.strip()}\n```"
