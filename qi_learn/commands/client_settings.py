"""Settings of tools that name their server nowhere else: written by `launch --config`, and undone.

The invariant: what the file was before is kept beside it, and `launch --restore` gives those bytes
back, also if the file is gone. If it was changed since, only what is ours is taken out of it, and
the rest stays as it is now. A file that is not understood is left and told.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from qi_learn.commands.clients import GatewayTarget, continue_models
from qi_learn.commands.removal import Removal, Removals, rewrite
from qi_learn.errors import NotFound
from qi_learn.paths import replace_file

Restored = Literal["as it was", "only ours taken out", "nothing"]
_BESIDE = ".before-qi-learn"
_BEGIN, _END = "# qi-learn: begin", "# qi-learn: end"


@dataclass(frozen=True, slots=True)
class ToolSettings:
    """The settings of one tool."""

    tool: str
    place: Callable[[Path, Mapping[str, str]], Path]
    """The file, by the person's home and environment."""
    with_ours: Callable[[str | None, GatewayTarget], str]
    """The file's text with the gateway in it; None: there is no file. Raises ValueError."""
    without_ours: Callable[[str, str | None], str | None]
    """A text without what is ours, by the text before; None if nothing is left of it."""


def write_settings(settings: ToolSettings, file: Path, target: GatewayTarget) -> None:
    """Point a tool at the gateway in its settings, and keep what they were.

    Raises NotFound if they are not understood, OSError if they cannot be written.
    """
    now, kept = _text(file), _kept(file)
    try:
        base = _base(settings, now, kept)
        after = settings.with_ours(base, target)
    except ValueError as error:
        raise _not_known(file, error) from error
    before = _before(kept) if kept and _is_ours(now, kept) else base
    file.parent.mkdir(parents=True, exist_ok=True)
    note = {"before": before, "after": _digest(after)}
    replace_file(_beside(file), json.dumps(note) + "\n")
    _put(file, after)


def restore_settings(settings: ToolSettings, file: Path) -> Restored:
    """Undo that. Raises NotFound if the file is not understood, OSError if it cannot be written."""
    kept, now = _kept(file), _text(file)
    if kept is None:
        return "nothing"
    before = _before(kept)
    try:
        after = before if _is_ours(now, kept) else _base(settings, now, kept)
    except ValueError as error:
        raise _not_known(file, error) from error
    _put(file, after)
    _beside(file).unlink(missing_ok=True)
    return "as it was" if after == before else "only ours taken out"


def _is_ours(now: str | None, kept: Mapping[str, Any]) -> bool:
    """Whether nobody changed the file since: it is as we wrote it, as it was before, or gone."""
    return now is None or now == _before(kept) or _digest(now) == kept.get("after")


def _not_known(file: Path, error: ValueError) -> NotFound:
    return NotFound(f"{file} is not as qi-learn knows it: {error}.", "Change it by hand.")


def written_settings(home: Path, environment: Mapping[str, str]) -> Iterator[tuple[str, Path]]:
    """The tools whose settings were written, each with its file."""
    for tool, settings in TOOL_SETTINGS.items():
        if _beside(file := settings.place(home, environment)).exists():
            yield tool, file


def find_written_settings(home: Path, environment: Mapping[str, str]) -> Removals:
    """What an uninstallation undoes of them."""
    return Removals(
        tuple(
            Removal(
                "settings",
                f"{file}: what points {tool} at the gateway",
                partial(_undo, TOOL_SETTINGS[tool], file),
            )
            for tool, file in written_settings(home, environment)
        )
    )


def _undo(settings: ToolSettings, file: Path) -> None:
    restore_settings(settings, file)


def _base(settings: ToolSettings, now: str | None, kept: Mapping[str, Any] | None) -> str | None:
    """A file's text without ours, if there is any in it."""
    if now is None or kept is None:
        return now
    return settings.without_ours(now, _before(kept))


def _before(kept: Mapping[str, Any]) -> str | None:
    before = kept.get("before")
    return before if isinstance(before, str) else None


def _beside(file: Path) -> Path:
    return file.with_name(f"{file.name}{_BESIDE}")


def _kept(file: Path) -> Mapping[str, Any] | None:
    try:
        value = json.loads(_beside(file).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise NotFound(f"{_beside(file)} is damaged: {error}.", "Change both by hand.") from error
    return value if isinstance(value, Mapping) else None


def _text(file: Path) -> str | None:
    try:
        return file.read_bytes().decode("utf-8", "surrogateescape")
    except (FileNotFoundError, NotADirectoryError):
        return None


def _put(file: Path, text: str | None) -> None:
    if text is None:
        file.unlink(missing_ok=True)
    elif file.exists():
        rewrite(file, lambda _: text.encode("utf-8", "surrogateescape"))
    else:
        replace_file(Path(os.path.realpath(file)), text)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


# --- Continue: config.yaml ------------------------------------------------------------------------


def _continue_file(home: Path, environment: Mapping[str, str]) -> Path:
    chosen = environment.get("CONTINUE_GLOBAL_DIR")
    return (Path(chosen) if chosen else home / ".continue") / "config.yaml"


_MODELS = re.compile(r"^\ufeff?([\"']?)models\1[ \t]*:([^\n]*)(?:\n|\Z)", re.MULTILINE)
_ITEM = re.compile(r"(?:[ \t]*(?:#[^\n]*)?\r?\n)*([ ]*)-(?=\s)")
_NO_LINES = re.compile(r"^(?:[{\[]|\.\.\.\s|---\s(?s:.*)^---\s)", re.MULTILINE)
"""A value in brackets, or several documents: no member can be put behind it."""
_OUR_MODEL = re.compile(
    r"^[ \t]*(?:-[ \t]+|[ \t])[\"']?name[\"']?:[ \t]*[\"']?qi-learn\b", re.MULTILINE
)


def _with_continue(text: str | None, target: GatewayTarget) -> str:
    """Our models in front of the others of the list, between two comments."""
    if text is None or not text.strip("\ufeff \t\r\n"):
        head = "name: qi-learn\nversion: 1.0.0\nschema: v1\n"
        return f"{text or ''}{head}{_continue_block('', target, 'models:')}"
    if _NO_LINES.search(text.removeprefix("\ufeff")):
        raise ValueError("its members do not stand in lines of their own")
    match = _MODELS.search(text)
    if match is None:
        end = "" if text.endswith("\n") else "\n"
        return f"{text}{end}{_continue_block('', target, 'models:')}"
    if not re.fullmatch(r"\s*(?:#.*)?", match[2]):
        raise ValueError("its models do not stand in lines of their own")
    item = _ITEM.match(text, match.end())
    block = _continue_block(item[1] if item else "  ", target)
    end = "" if match[0].endswith("\n") else "\n"
    return f"{text[: match.end()]}{end}{block}{text[match.end() :]}"


def _continue_block(indent: str, target: GatewayTarget, head: str = "") -> str:
    lines = [_BEGIN, *([head] if head else []), *continue_models(target).splitlines(), _END]
    return "".join(f"{indent}{line}\n" for line in lines)


def _without_continue(text: str, before: str | None) -> str | None:
    kept: list[str] = []
    ours = False
    for line in text.splitlines(keepends=True):
        mark = line.strip()
        if mark in (_BEGIN, _END):
            if ours == (mark == _BEGIN):
                raise ValueError(f"one of its lines `{_BEGIN}` and `{_END}` is missing")
            ours = not ours
        elif not ours:
            kept.append(line)
    rest = "".join(kept)
    if ours or _OUR_MODEL.search(rest):
        raise ValueError(f"our models do not stand between `{_BEGIN}` and `{_END}`")
    if before is None and rest == "name: qi-learn\nversion: 1.0.0\nschema: v1\n":
        return None
    return rest


# --- Cline: providers.json ------------------------------------------------------------------------


def _cline_file(home: Path, _environment: Mapping[str, str]) -> Path:
    return home / ".cline" / "data" / "settings" / "providers.json"


def _with_cline(text: str | None, target: GatewayTarget) -> str:
    """As Cline 3.0.65 writes it; what lacks a member that it wants, it throws away."""
    top = _object(text) if text and text.strip() else {"version": 1, "modes": {}}
    given = {"provider": "ollama", "model": target.model, "baseUrl": target.url}
    provider = {
        "settings": given,
        "updatedAt": "2026-01-01T00:00:00.000Z",
        "tokenSource": "manual",
    }
    providers = {**_member(top, "providers"), "ollama": provider}
    changed = {**top, "lastUsedProvider": "ollama", "providers": providers}
    return json.dumps(changed, indent=2, ensure_ascii=False) + "\n"


def _without_cline(text: str, before: str | None) -> str | None:
    """The text with the provider and the choice that were there before; what else it says stays."""
    top, was = _object(text), _object(before) if before and before.strip() else {}
    providers = dict(_member(top, "providers"))
    theirs = _member(was, "providers").get("ollama")
    if theirs is None:
        providers.pop("ollama", None)
    else:
        providers["ollama"] = theirs
    changed = {**top, "providers": providers}
    if changed.get("lastUsedProvider") == "ollama":
        del changed["lastUsedProvider"]
        if "lastUsedProvider" in was:
            changed["lastUsedProvider"] = was["lastUsedProvider"]
    if before is None and not providers:
        return None
    return json.dumps(changed, indent=2, ensure_ascii=False) + "\n"


def _object(text: str) -> dict[str, Any]:
    value = json.loads(text)
    if not isinstance(value, dict) or not isinstance(value.get("providers", {}), dict):
        raise ValueError("it is no object with providers")
    return value


def _member(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = value.get(name)
    return found if isinstance(found, Mapping) else {}


TOOL_SETTINGS: Mapping[str, ToolSettings] = {
    "continue": ToolSettings("continue", _continue_file, _with_continue, _without_continue),
    "cline": ToolSettings("cline", _cline_file, _with_cline, _without_cline),
}
