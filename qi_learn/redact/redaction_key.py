"""The key of this installation, under which the tags of secrets are made."""

from __future__ import annotations

import os
from pathlib import Path

from qi_learn.errors import StoreError
from qi_learn.paths import sync_directory
from qi_learn.redact.catalogue import installed_catalogue
from qi_learn.redact.redactor import Redactor
from qi_learn.redact.seen_secrets import NOTHING_SEEN, SeenSecrets, load_seen_secrets

KEY_BYTES = 32
SEEN = "redacted-secrets"
"""The file beside the key with the keyed hashes of what was taken out."""


def load_redactor(path: Path) -> Redactor:
    """The redactor with this installation's key, which is made (0600) if it is absent.

    It keeps the hash of every secret that it takes out. Raises StoreError if the key cannot be read
    or made.
    """
    key, seen = _key_and_seen(path, make=True)
    return Redactor(key, installed_catalogue(), seen)


def ensure_key(path: Path) -> bytes:
    """This installation's key, which is made (0600) if it is absent.

    Raises StoreError if it cannot be read or made.
    """
    try:
        if not path.exists():
            _make_key(path)
        return _whole(path, path.read_bytes())
    except OSError as error:
        raise _unreadable(path, error) from error


def load_seen(path: Path) -> SeenSecrets:
    """What was ever taken out under the key at `path`; nothing if there is no key yet.

    Raises StoreError if the key or the hashes cannot be read.
    """
    return _key_and_seen(path, make=False)[1]


def _key_and_seen(path: Path, *, make: bool) -> tuple[bytes, SeenSecrets]:
    try:
        if not make and not path.exists():
            return b"", NOTHING_SEEN
        key = ensure_key(path)
        return key, load_seen_secrets(key, path.with_name(SEEN))
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> StoreError:
    return StoreError(
        f"The key for redacting secrets, {path}, cannot be read or made: {error}",
        "Nothing is stored without it. Check who owns the file and its directory.",
    )


def _whole(path: Path, key: bytes) -> bytes:
    """The key. Raises StoreError if it is not as long as one."""
    if len(key) != KEY_BYTES:
        what = (
            f"The key for redacting secrets, {path}, is damaged "
            f"({len(key)} bytes, not {KEY_BYTES})."
        )
        raise StoreError(
            what, "Delete it: a new one is made, and the same secret gets another tag from then on."
        )
    return key


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
