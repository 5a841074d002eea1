"""By what git decides which files it leaves out, besides the `.gitignore` files of a tree."""

from __future__ import annotations

import os
from pathlib import Path

from qi_learn.outside.git_call import ask, names


def settings_files() -> tuple[str, ...]:
    """The files of the person's settings for all repositories; some may not be there."""
    if (named := os.environ.get("GIT_CONFIG_GLOBAL")) is not None:
        return (named,)
    return os.path.expanduser("~/.gitconfig"), f"{_own_directory()}/config"


def excludes_file(directory: Path) -> str:
    """The person's own list of what git leaves out in every repository; it may not be there."""
    done = ask(directory, "config", "--type=path", "--get", "core.excludesFile", check=False)
    named = done.output.decode("utf-8", "surrogateescape").removesuffix("\n")
    return os.path.join(directory, named) if named else f"{_own_directory()}/ignore"


def _own_directory() -> str:
    named = os.environ.get("XDG_CONFIG_HOME")
    return f"{named}/git" if named else os.path.expanduser("~/.config/git")


def tracked_ignored(directory: Path) -> tuple[str, ...]:
    """The files that git has though it would leave them out. Raises NotFound."""
    options = ("-z", "--cached", "--ignored", "--exclude-standard")
    return names(ask(directory, "ls-files", *options))
