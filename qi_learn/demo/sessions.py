"""The work that is played: the functions of an installed package, or of the user's repository.

What would be too little for a cycle is refused before anything is started.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from qi_learn.bench.functions import DemoFunction, DemoSession, package_functions, sessions
from qi_learn.bench.repositories import repository_functions
from qi_learn.demo.size import DemoSize
from qi_learn.errors import NotFound
from qi_learn.outside import git

PACKAGE = "rich"
"""The installed package whose functions are played: a dependency, so it is there; written by people
who never saw this program.
"""


def choose_sessions(repo: Path | None, size: DemoSize) -> tuple[Path, list[DemoSession]]:
    """The root of the sources, and one session for each module, of a repository or of `PACKAGE`.

    Raises NotFound if there is no such repository or package.
    """
    root, functions = _of_package() if repo is None else _of_repository(repo)
    return root, sessions(functions, asked=size.asked, held_out=size.aside)


def check_enough(groups: Sequence[Sequence[DemoSession]], size: DemoSize) -> None:
    """Raises NotFound if a cycle would have too little to learn from."""
    for group in groups:
        functions = sum(len(session.asked) for session in group)
        if len(group) < size.min_sessions or functions < size.min_functions:
            raise NotFound(
                f"For each of {len(groups)} cycles there are about {functions} usable functions in "
                f"{len(group)} modules; it takes {size.min_functions} in {size.min_sessions}.",
                "Ask for fewer cycles (--cycles 1), or give a larger Python repository.",
            )


def _of_repository(repo: Path) -> tuple[Path, list[DemoFunction]]:
    top = git.top(repo.absolute())
    if top is None:
        raise NotFound(
            f"{repo} is not in a git repository.", "Give the path of a git working tree."
        )
    return top, [introduced.function for introduced in repository_functions(top)]


def _of_package() -> tuple[Path, list[DemoFunction]]:
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise NotFound(
            f"The package {PACKAGE} is not installed.",
            "Install qi-learn with its dependencies, or give --repo PATH.",
        )
    package = Path(spec.submodule_search_locations[0])
    return package.parent, package_functions(package)
