"""Objects that git keeps as files of their own, read without a process.

What was added or committed just now lies there, and that is what is asked for most. What does not,
or might be something else to git (replaced objects), is not known here: then git is asked.
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path

from qi_learn.outside.git_files import common_of

_MOST_BYTES = 8 * 1024 * 1024
"""Bytes up to which an object is read here."""


def loose_blob(directory: Path, blob: str) -> bytes | None:
    """A content by its id; None if it does not lie by itself."""
    common = _plain(directory)
    return None if common is None else loose_object(common, blob, b"blob")


def loose_text(top: Path, commit: str, file: str) -> bytes | None:
    """What a file has in a commit; None if one of the objects on the way does not lie by itself.

    `top`: the top of a working tree.
    """
    common = _plain(top) if os.path.lexists(top / ".git") else None
    head = None if common is None else loose_object(common, commit, b"commit")
    if common is None or head is None or not head.startswith(b"tree "):
        return None
    name = head[5:].split(b"\n", 1)[0].decode("ascii")
    for part in os.fsencode(file).split(b"/"):
        tree = loose_object(common, name, b"tree")
        found = None if tree is None else _entry(tree, part, len(name) // 2)
        if found is None:
            return None
        name = found
    return loose_object(common, name, b"blob")


def loose_message(directory: Path, commit: str) -> str | None:
    """The message of a commit; None if it does not lie by itself, or is not in UTF-8."""
    common = _plain(directory)
    raw = None if common is None else loose_object(common, commit, b"commit")
    if raw is None:
        return None
    head, _, message = raw.partition(b"\n\n")
    try:
        return None if b"\nencoding " in head else message.decode("utf-8").strip()
    except UnicodeDecodeError:
        return None


def _plain(directory: Path) -> Path | None:
    """What the repository's trees share, if no object stands for another there."""
    common = common_of(directory)
    if common is None or os.path.lexists(common / "refs" / "replace"):
        return None
    try:
        return None if b" refs/replace/" in (common / "packed-refs").read_bytes() else common
    except FileNotFoundError:
        return common
    except OSError:
        return None


def loose_object(common: Path, name: str, kind: bytes) -> bytes | None:
    """The content of an object of a kind (`b"blob"`); None if it does not lie by itself whole."""
    if len(name) not in (40, 64):
        return None
    unpack = zlib.decompressobj()
    try:
        packed = (common / "objects" / name[:2] / name[2:]).read_bytes()
        raw = unpack.decompress(packed, _MOST_BYTES)
    except (OSError, zlib.error):
        return None
    head, _, content = raw.partition(b"\0")
    return content if head == b"%s %d" % (kind, len(content)) else None


def _entry(tree: bytes, name: bytes, size: int) -> str | None:
    """The id of an entry of a tree, of which each has so many bytes; None if there is none."""
    at = 0
    while at < len(tree):
        end = tree.index(b"\0", at)
        if tree[at:end].partition(b" ")[2] == name:
            return tree[end + 1 : end + 1 + size].hex()
        at = end + 1 + size
    return None
