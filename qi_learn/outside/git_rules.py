"""By what git decides which files it leaves out, besides the `.gitignore` files of a tree."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from qi_learn.outside.git_call import ask, names
from qi_learn.paths import user_config


def settings_files() -> tuple[str, ...]:
    """The files of the person's settings for all repositories; some may not be there."""
    if (named := os.environ.get("GIT_CONFIG_GLOBAL")) is not None:
        return (named,)
    return os.path.expanduser("~/.gitconfig"), f"{_own_directory()}/config"


@dataclass(frozen=True, slots=True)
class RuleSettings:
    """What the person's settings say of what git leaves out."""

    excludes: str
    """The person's own list of what git leaves out in every repository; it may not be there."""
    files: tuple[str, ...]
    """The files with settings that count here, and those that they include; some may not be
    there.
    """


def rule_settings(directory: Path, whole: Path) -> RuleSettings:
    """What the settings say that count in a directory.

    `whole`: the top of its working tree. Raises NotFound if git does not answer in time.
    """
    done = ask(directory, "config", "--list", "--show-origin", "-z", check=False)
    parts = done.output.decode("utf-8", "surrogateescape").split("\0")
    excludes = ""
    files: list[str] = []
    for origin, setting in zip(parts[::2], parts[1::2], strict=False):
        key, _, value = setting.partition("\n")
        kind, _, name = origin.partition(":")
        file = os.path.join(whole, name)
        if kind == "file":
            files.append(file)
        if key == "core.excludesfile":
            excludes = value
        elif kind == "file" and value and key.startswith("include") and key.endswith(".path"):
            files.append(os.path.join(os.path.dirname(file), os.path.expanduser(value)))
    named = os.path.join(directory, os.path.expanduser(excludes))
    listed = named if excludes else f"{_own_directory()}/ignore"
    return RuleSettings(listed, tuple(dict.fromkeys(files)))


def _own_directory() -> str:
    return str(user_config(Path(os.path.expanduser("~"))) / "git")


def tracked_ignored(directory: Path) -> tuple[str, ...]:
    """The files that git has though it would leave them out. Raises NotFound."""
    options = ("-z", "--cached", "--ignored", "--exclude-standard")
    return names(ask(directory, "ls-files", *options))
