"""Names that no home can have, whatever lies there; an empty one counts as not set."""

from __future__ import annotations

import errno
import os
from pathlib import Path


def fault_of_name(home: str) -> str:
    """Why no directory can have this name; empty if one can."""
    if not home.strip(" "):
        return "is blank"
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in home):
        return "has a line break or another control character in it"
    try:
        root = Path(home).expanduser().absolute()
    except RuntimeError:
        return "begins with the name of a user who is not known here"
    except FileNotFoundError:
        return "is relative, and the directory in which you are is gone"
    if os.path.normpath(root) == os.path.sep:
        return "is / itself, the root of every file"
    try:
        os.lstat(root / "data/models/blobs" / ("b" * 80))
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return f"is too long for a path ({len(home)} letters)"
    return ""
