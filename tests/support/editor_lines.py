"""Lines as an editor writes them to its own file in the spool."""

from __future__ import annotations

import hashlib
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def digest(text: str) -> str:
    """The hash by which an editor tells a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def taken_line(
    file: Path,
    text: str,
    *,
    lead: str,
    above: str,
    ts: float,
    said: str = "accepted",
    wrong: Any = None,
) -> dict[str, Any]:
    """What an editor tells of a completion that was put into a file."""
    body = {
        "said": said,
        "file": str(file),
        "text": digest(text),
        "bytes": len(text.encode()),
        "lead": digest(lead),
        "above": digest(above.strip()),
        "by": "minuet",
    }
    at = datetime.fromtimestamp(ts, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "v": 1,
        "ts": at,
        "kind": "sign",
        "source": "nvim",
        "author": "person",
        "project": str(file.parent),
        "body": {**body, **(wrong or {})},
    }


def write_lines(spool: Path, *lines: dict[str, Any]) -> Path:
    """A file of a producer that is gone."""
    spool.mkdir(parents=True, exist_ok=True)
    file = spool / f"nvim-4194304-{time.time_ns()}.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file
