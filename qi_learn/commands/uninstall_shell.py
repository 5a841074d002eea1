"""The lines by which shells load the hooks and the completion, in the files of the person's shells.

A line is ours if it does nothing but load one of our files, as the documentation says it, with or
without a test before it whether the file is there. Every other line that names such a file is told
and left, and so is one that is all there is within an `if`: bash and zsh allow no empty body.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from qi_learn.commands.removal import Removal, Removals, rewrite
from qi_learn.paths import user_config

_NAMES = rb"qi-learn\.(?:bash|zsh|fish)|\.bash_completions/qi-learn\.sh"
_WORD = rb"(?:\"[^\"\n]*\"|'[^'\n]*'|(?:\\.|[^\s;&|#\"'])+)"
_TEST = rb"(?:\[\[?\s[^\];&|\n]*\]\]?|test\s[^;&|\n]*)\s*(?:&&|; and)\s*"
_LOADS = re.compile(rb"\s*(?:" + _TEST + rb")?(?:\.|source)\s+(" + _WORD + rb")\s*(?:#.*)?\r?\n?")
_OURS = re.compile(rb"(?:^|/)(?:" + _NAMES + rb")[\"']?$")
_NAMED = re.compile(rb"(?:" + _NAMES + rb")")
_OPENS = re.compile(rb"(?:^|[\s;])(?:then|do|else|\{)\s*(?:#.*)?$|\\$")
_CLOSES = re.compile(rb"\s*(?:fi|done|else|elif|\})(?:[\s;#]|$)")
NEW_FILE = b"# qi-learn hooks: a new file"
"""What stands behind a line in a file that `qi-learn hooks install` made."""
NO_END = b"# qi-learn hooks: and the end of the line before"
"""The same in a file whose last line had no end."""
COMPLETIONS = (
    ".bash_completions/qi-learn.sh",
    ".zfunc/qi-learn.zsh",
    ".config/fish/completions/qi-learn.fish",
)
"""What `--install-completion` writes, below the person's home."""


def shell_files(home: Path, env: Mapping[str, str]) -> Iterator[Path]:
    """The files that bash, zsh and fish read when they start, if they are there."""
    zsh = Path(env.get("ZDOTDIR") or home)
    fish = user_config(home, env) / "fish"
    names = (".bashrc", ".bash_profile", ".bash_login", ".profile", ".bash_aliases")
    files = [home / name for name in names]
    files += [
        place / name
        for place in dict.fromkeys((zsh, home))
        for name in (".zshrc", ".zprofile", ".zshenv", ".zlogin")
    ]
    files += [fish / "config.fish", *sorted(fish.glob("conf.d/*.fish"))]
    yield from (file for file in dict.fromkeys(files) if file.is_file())


def find_shell_lines(home: Path, env: Mapping[str, str]) -> Removals:
    """The lines that load something of ours, and the scripts of the completion."""
    found = Removals()
    for file in shell_files(home, env):
        try:
            found += _in_file(file, file.read_bytes())
        except OSError as error:
            found += Removals(left=(f"{file} cannot be read: {error.strerror}",))
    scripts = (home / name for name in COMPLETIONS)
    return found + Removals(
        tuple(
            Removal("hook", f"{script} (completion)", partial(_unlink, script))
            for script in scripts
            if script.is_file()
        )
    )


def _in_file(file: Path, data: bytes) -> Removals:
    going, left = [], []
    lines = data.splitlines(keepends=True)
    for number, line in enumerate(lines):
        shown = line.decode("utf-8", "replace").strip()
        if _goes(file, lines, number):
            going.append(
                Removal(
                    "hook", f"{file}, line {number + 1}: {shown}", partial(take_line, file, line)
                )
            )
        elif _NAMED.search(line) and not line.lstrip().startswith(b"#"):
            left.append(
                f"{file}, line {number + 1}, does more than load a hook; take out what is ours: "
                f"{shown}"
            )
    return Removals(tuple(going), tuple(left))


def loads_ours(line: bytes) -> bool:
    """Whether a line does nothing but load a file of ours."""
    match = _LOADS.fullmatch(line)
    return match is not None and _OURS.search(match[1]) is not None


def _goes(file: Path, lines: list[bytes], number: int) -> bool:
    """Whether a line is ours, and can go without leaving something that does not parse."""
    if not loads_ours(lines[number]):
        return False
    if file.suffix == ".fish":
        return True
    before = next((line for line in reversed(lines[:number]) if _says(line)), b"")
    after = next((line for line in lines[number + 1 :] if _says(line)), b"")
    if before.rstrip().endswith(b"\\"):
        return False
    return not (_OPENS.search(before.rstrip()) and _CLOSES.match(after))


def _says(line: bytes) -> bool:
    stripped = line.strip()
    return bool(stripped) and not stripped.startswith(b"#")


def take_line(file: Path, line: bytes) -> None:
    """Take one line out, as often as it stands there; the file is as it was before it came."""
    if not file.is_file():
        return

    def change(data: bytes) -> bytes:
        lines = data.splitlines(keepends=True)
        kept = [each for n, each in enumerate(lines) if each != line or not _goes(file, lines, n)]
        if NO_END in line and kept and lines[-1] == line:
            kept[-1] = kept[-1].removesuffix(b"\n")
        return b"".join(kept)

    rewrite(file, change)
    if NEW_FILE in line and not file.read_bytes():
        file.unlink()


def _unlink(file: Path) -> None:
    file.unlink(missing_ok=True)
    if file.parent.name in (".bash_completions", ".zfunc") and not any(file.parent.iterdir()):
        file.parent.rmdir()
