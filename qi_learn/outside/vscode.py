"""VS Code and VSCodium: which extensions they have, and how one goes in and out.

They write down what is installed in `extensions.json`, and change that themselves: by their own
command line, which needs no window.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from qi_learn.errors import QiError

PROGRAMS = {"code": ".vscode", "codium": ".vscode-oss"}
"""Each program, and where below the person's home its extensions are."""
SECONDS = 120.0
"""How long one may take: the first start is slow."""


def programs(environment: Mapping[str, str]) -> Mapping[str, str]:
    """The programs that are there: their paths by their names."""
    path = environment.get("PATH", os.defpath)
    found = ((name, shutil.which(name, path=path)) for name in PROGRAMS)
    return {name: program for name, program in found if program is not None}


def having(extension: str, home: Path, environment: Mapping[str, str]) -> tuple[str, ...]:
    """The names of the programs that have an extension, whether they can be found or not."""
    lists = {name: _lists_of(name, home, environment) for name in PROGRAMS}
    return tuple(
        name for name, files in lists.items() if any(extension in _listed(f) for f in files)
    )


def lists_with(extension: str, home: Path, environment: Mapping[str, str]) -> tuple[Path, ...]:
    """The lists of extensions in which one stands. One that cannot be read has none."""
    return tuple(file for file in _lists(home, environment) if extension in _listed(file))


def add_extension(program: str, vsix: Path) -> None:
    """Put an extension in, in the place of an older one. Raises QiError if that fails."""
    _run(program, "--install-extension", str(vsix), "--force")


def remove_extension(program: str, extension: str) -> None:
    """Take an extension out. Raises QiError if that fails."""
    _run(program, "--uninstall-extension", extension)


def _run(program: str, *words: str) -> None:
    try:
        subprocess.run(
            (program, *words), check=True, capture_output=True, text=True, timeout=SECONDS
        )
    except subprocess.CalledProcessError as error:
        said = " ".join((error.stderr or error.stdout or "").split())[-300:]
        raise QiError(f"`{program} {words[0]}` failed: {said or error}", _BY_HAND) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise QiError(f"`{program} {words[0]}` failed: {error}", _BY_HAND) from error


_BY_HAND = "Do it in its window: Extensions, `...`, Install from VSIX."


def _lists(home: Path, environment: Mapping[str, str]) -> Iterator[Path]:
    for name in PROGRAMS:
        yield from _lists_of(name, home, environment)


def _lists_of(name: str, home: Path, environment: Mapping[str, str]) -> Iterator[Path]:
    own = environment.get("VSCODE_EXTENSIONS")
    yield (Path(own) if own else home / PROGRAMS[name] / "extensions") / "extensions.json"


def _listed(file: Path) -> set[str]:
    try:
        entries = json.loads(file.read_text("utf-8"))
        return {str(entry["identifier"]["id"]).lower() for entry in entries}
    except (OSError, ValueError, TypeError, KeyError):
        return set()
