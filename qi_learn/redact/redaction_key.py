"""The key of this installation, under which the tags of secrets are made."""

from __future__ import annotations

import os
from pathlib import Path

from qi_learn.errors import StoreError
from qi_learn.paths import sync_directory
from qi_learn.redact.catalogue import installed_catalogue
from qi_learn.redact.redactor import Redactor

KEY_BYTES = 32


def load_redactor(path: Path) -> Redactor:
    """The redactor with this installation's key, which is made (0600) if it is absent.

    Raises StoreError if it cannot be read or made.
    """
    try:
        if not path.exists():
            _make_key(path)
        key = path.read_bytes()
    except OSError as error:
        what = f"The key for redacting secrets, {path}, cannot be read or made: {error}"
        raise StoreError(
            what, "Nothing is stored without it. Check who owns the file and its directory."
        ) from error
    if len(key) != KEY_BYTES:
        what = (
            f"The key for redacting secrets, {path}, is damaged "
            f"({len(key)} bytes, not {KEY_BYTES})."
        )
        raise StoreError(
            what, "Delete it: a new one is made, and the same secret gets another tag from then on."
        )
    return Redactor(key, installed_catalogue())


def _make_key(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temp = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temp.unlink(missing_ok=True)
    fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(os.urandom(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        if not path.exists():
            temp.rename(path)
    finally:
        temp.unlink(missing_ok=True)
    sync_directory(path.parent)
