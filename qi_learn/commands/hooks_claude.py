"""The hook for Claude Code: entries in its `settings.json` that call a script of ours.

The invariant: taking them away undoes putting them there, byte for byte; what has to be known for
that (which of the file, `hooks` and the event's list is new) stands behind a `#` in the command
itself. If Claude Code has written the file anew meanwhile, ours go and the rest stays as it is now.

Only events that every version with hooks has are asked for: one that it does not know makes Claude
Code 1.0.120 ignore all hooks of the file. That a tool failed, or that the person declined it, is
read from the transcript, whose path the other events name.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from qi_learn.commands.json_text import JsonSpan, put_first, read_json_text, take_out
from qi_learn.commands.removal import Removal, Removals, rewrite
from qi_learn.errors import NotFound
from qi_learn.paths import replace_file

SCRIPT = "qi-learn.claude"
EVENTS = ("PostToolUse", "Stop", "SessionEnd")
TOOLS = "Edit|MultiEdit|Write|NotebookEdit|Bash"
SECONDS = 5
"""After so many seconds Claude Code ends the script."""
_NOTE = " # qi-learn hooks:"
_NEW_FILE, _NEW_TEXT, _NEW_HOOKS, _NEW_LIST = "new file", "new text", "new hooks", "new list"


def claude_settings(home: Path, environment: Mapping[str, str]) -> Path:
    """Claude Code's own settings, of this person in all projects."""
    chosen = environment.get("CLAUDE_CONFIG_DIR")
    return (Path(chosen) if chosen else home / ".claude") / "settings.json"


def has_claude_hook(file: Path) -> bool:
    """Whether all events have the hook. Raises OSError if the file cannot be read."""
    try:
        text = _text_of(file.read_bytes())
        top = read_json_text(text)
    except (FileNotFoundError, ValueError):
        return False
    return top is not None and {event for event, *_ in _ours(top)} >= set(EVENTS)


def install_claude_hook(file: Path, script: Path) -> bool:
    """Put the hook there for each event that lacks it; False if all have it.

    Raises NotFound if the file is not what Claude Code reads, OSError if it cannot be written.
    """
    if has_claude_hook(file):
        return False
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        replace_file(file.resolve(), _installed("", script, (_NEW_FILE,), file) + "\n")
        return True
    rewrite(file, lambda data: _bytes_of(_installed(_text_of(data), script, (), file)))
    return True


def uninstall_claude_hook(file: Path) -> bool:
    """Take the hook away; False if it is not there. Raises NotFound or OSError as above."""
    if not file.is_file():
        return False
    text = _text_of(file.read_bytes())
    if SCRIPT not in text:
        return False
    kept, notes = _uninstalled(text, file)
    if kept == text:
        return False
    if _NEW_FILE in notes and not kept.strip():
        file.resolve().unlink()
    else:
        rewrite(file, lambda _: _bytes_of(kept))
    return True


def find_claude_hook(home: Path, environment: Mapping[str, str]) -> Removals:
    """The hook in the settings that Claude Code reads, here and by default."""
    found = Removals()
    files = (claude_settings(home, environment), claude_settings(home, {}))
    for file in dict.fromkeys(files):
        try:
            there = file.is_file() and SCRIPT in _text_of(file.read_bytes())
        except OSError as error:
            found += Removals(left=(f"{file} cannot be read: {error.strerror}",))
            continue
        if there:
            what = f"{file}: what calls {SCRIPT}"
            found += Removals((Removal("hook", what, partial(_take, file)),))
    return found


def _take(file: Path) -> None:
    uninstall_claude_hook(file)


# --- putting it there -----------------------------------------------------------------------------


def _installed(text: str, script: Path, notes: tuple[str, ...], file: Path) -> str:
    for event in reversed(EVENTS):
        top = _read(text, file)
        if top is None:
            said = notes or (_NEW_TEXT,)
            value = _entry(event, script, (*said, _NEW_HOOKS, _NEW_LIST))
            begin = len(text) - len(text.removeprefix("\ufeff"))
            text = f'{text[:begin]}{{"hooks": {{{json.dumps(event)}: [{value}]}}}}{text[begin:]}'
        elif event not in {each for each, *_ in _ours(top)}:
            text = _put(text, top, event, script, file)
    return text


def _put(text: str, top: JsonSpan, event: str, script: Path, file: Path) -> str:
    hooks = top.member("hooks")
    name = json.dumps(event)
    if hooks is None:
        value = _entry(event, script, (_NEW_HOOKS, _NEW_LIST))
        return put_first(text, top, f'"hooks": {{{name}: [{value}]}}')
    _expect(hooks.value, "{", "hooks", file)
    listed = hooks.value.member(event)
    if listed is None:
        value = _entry(event, script, (_NEW_LIST,))
        return put_first(text, hooks.value, f"{name}: [{value}]")
    _expect(listed.value, "[", f"hooks.{event}", file)
    return put_first(text, listed.value, _entry(event, script, ()))


def _entry(event: str, script: Path, notes: tuple[str, ...]) -> str:
    word = shlex.quote(os.fspath(script))
    note = f"{_NOTE} {', '.join(notes)}" if notes else ""
    command = f"test ! -f {word} || sh {word}{note}"
    hook = {"type": "command", "command": command, "timeout": SECONDS}
    matcher = {"matcher": TOOLS} if event == "PostToolUse" else {}
    return json.dumps({**matcher, "hooks": [hook]}, ensure_ascii=False)


# --- taking it away -------------------------------------------------------------------------------


def _uninstalled(text: str, file: Path) -> tuple[str, set[str]]:
    """The text without ours, and what the notes of ours said."""
    notes: set[str] = set()
    while (top := _read(text, file)) is not None:
        found = next(iter(_ours(top)), None)
        if found is None:
            return text, notes
        event, number, within, command = found
        said = {note.strip() for note in command.partition(_NOTE)[2].split(",")}
        notes |= said
        text = _without(text, top, event, number, within)
        text = _tidied(text, event, said | notes - {_NEW_LIST}, file)
    return text, notes


def _without(text: str, top: JsonSpan, event: str, number: int, within: int) -> str:
    """The text without one hook of ours, and without the entry if it was all there was in it."""
    hooks = top.member("hooks")
    listed = None if hooks is None else hooks.value.member(event)
    if listed is None:
        return text
    entry = listed.value.members[number].value
    inner = entry.member("hooks")
    if inner is not None and len(inner.value.members) > 1:
        return take_out(text, inner.value, within)
    return take_out(text, listed.value, number)


def _tidied(text: str, event: str, said: set[str], file: Path) -> str:
    """The text without what was made for ours, if it is empty now."""
    top = _read(text, file)
    hooks = None if top is None else top.member("hooks")
    if top is None or hooks is None:
        return text
    names = [member.name for member in hooks.value.members]
    if _NEW_LIST in said and event in names:
        listed = hooks.value.members[names.index(event)]
        if listed.value.kind == "[" and not listed.value.members:
            text = take_out(text, hooks.value, names.index(event))
            return _tidied(text, event, said - {_NEW_LIST}, file)
    if _NEW_HOOKS in said and not names:
        text = take_out(text, top, [member.name for member in top.members].index("hooks"))
        top = _read(text, file)
        if top is not None and not top.members and said & {_NEW_FILE, _NEW_TEXT}:
            return text[: top.start] + text[top.end :]
    return text


# --- reading --------------------------------------------------------------------------------------


def _ours(top: JsonSpan) -> Iterator[tuple[str, int, int, str]]:
    """Each hook of ours: its event, the number of its entry, its own in that, and its command."""
    hooks = top.member("hooks")
    for event in () if hooks is None else hooks.value.members:
        for number, entry in enumerate(event.value.members):
            inner = entry.value.member("hooks")
            for within, hook in enumerate(() if inner is None else inner.value.members):
                command = hook.value.member("command")
                said = None if command is None else command.value.value
                if isinstance(said, str) and SCRIPT in said:
                    yield event.name, number, within, said


def _read(text: str, file: Path) -> JsonSpan | None:
    try:
        top = read_json_text(text)
    except ValueError as error:
        raise NotFound(f"{file} is no JSON: {error}.", "Mend it, then try again.") from error
    if top is not None:
        _expect(top, "{", "it", file)
    return top


def _expect(value: JsonSpan, kind: str, name: str, file: Path) -> None:
    if value.kind != kind:
        raise NotFound(
            f"{file} is not as Claude Code has it: {name} is no "
            f"{'object' if kind == '{' else 'list'}.",
            "Mend it, then try again.",
        )


def _text_of(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _bytes_of(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
