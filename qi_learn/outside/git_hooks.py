"""Where git looks for the hooks of a repository: its own directory, or the one that is set."""

from __future__ import annotations

from pathlib import Path

from qi_learn.outside.git import common_directory, repository_of
from qi_learn.outside.git_call import ask


def hook_directories(directory: Path) -> tuple[Path, ...]:
    """The directories with the hooks of the repository at `directory` and of its submodules.

    None outside a repository. Raises NotFound if git refuses, ToolMissing without git.
    """
    if not directory.is_dir() or repository_of(directory) is None:
        return ()
    common = common_directory(directory)
    modules = common / "modules"
    inner = sorted(
        place / "hooks"
        for depth in ("*", "*/*", "*/*/*")
        for place in modules.glob(depth)
        if (place / "HEAD").is_file()
    )
    chosen = [directory / path for path in _chosen(directory)]
    return tuple(dict.fromkeys(path.resolve() for path in (common / "hooks", *inner, *chosen)))


def own_hook_directory(directory: Path) -> Path | None:
    """The directory of the repository's own hooks; None outside one, or if another is set.

    Raises NotFound if git refuses, ToolMissing without git.
    """
    if not directory.is_dir() or repository_of(directory) is None or _chosen(directory):
        return None
    return (common_directory(directory) / "hooks").resolve()


def _chosen(directory: Path) -> list[str]:
    """What the person set as `core.hooksPath`: the last one counts, and then comes our own."""
    done = ask(directory, "config", "--type=path", "-z", "--get-all", "core.hooksPath", check=False)
    values = done.output.decode("utf-8", "surrogateescape").split("\0")[:-1]
    return values[:-1][-1:]
