"""Writes the extension for VS Code, hooks/vscode, as a `.vsix`."""

from __future__ import annotations

import sys
from pathlib import Path

from qi_learn.commands.vsix import vsix_bytes

SOURCES = Path(__file__).parent.parent / "hooks" / "vscode"

if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(vsix_bytes(SOURCES))
