"""Whether another version of this program is installed by now than the one that runs.

The installer writes a directory `qi_learn-VERSION.dist-info` beside the package. Looking costs one
`stat` while nothing is installed there. Halfway through an installation there is none, or no list
of its files yet (`RECORD`, which comes last): then nothing is said, and two looks have to agree.
Of an editable installation only the version counts: its files change while somebody works on them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from qi_learn import __version__

PATTERN = "qi_learn-*.dist-info"


@dataclass(frozen=True, slots=True)
class Installed:
    """What is installed: the version, and what changes if the same version is installed again."""

    version: str
    stamp: tuple[int, int]


class InstalledVersion:
    """Remembers what was installed at the start; `look` now and then."""

    def __init__(self, places: Iterable[str] | None = None, running: str = __version__) -> None:
        """`places`: where packages are looked for, in order; this interpreter's if not given."""
        self._places = tuple(sys.path if places is None else places)
        self._running = running
        self._directory: Path | None = None
        self._looked: tuple[int, int] | None = None
        self._first = self._last = self._installed()
        if self._directory is not None:  # what another place has is another installation
            self._places = (str(self._directory),)

    def look(self) -> str:
        """The version that is installed now, if two looks in a row saw another than runs."""
        if self._directory is not None and self._looked == _stamp(self._directory):
            now = self._last
        else:
            now = self._installed()
        settled = now == self._last
        self._last = now
        if now is None or not settled or not self._is_another(now):
            return ""
        return now.version

    def _is_another(self, now: Installed) -> bool:
        if now.version != self._running:
            return True
        return self._first is not None and now != self._first

    def _installed(self) -> Installed | None:
        for place in self._places:
            for found in sorted(Path(place or ".").glob(PATTERN)):
                self._directory = found.parent
                self._looked = _stamp(found.parent)
                return _read(found)
        self._directory = None
        return None


def _read(found: Path) -> Installed | None:
    """What a complete directory says; None while it is written."""
    record = _stamp(found / "RECORD")
    version = next(_lines(found / "METADATA", "Version: "), "")
    if record is None or not version:
        return None
    return Installed(version, (0, 0) if _is_editable(found) else record)


def _lines(file: Path, head: str) -> Iterator[str]:
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    yield from (line[len(head) :].strip() for line in text.splitlines() if line.startswith(head))


def _is_editable(found: Path) -> bool:
    try:
        about = json.loads((found / "direct_url.json").read_text(encoding="utf-8"))
        return bool(about["dir_info"]["editable"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino
