"""What another Python has: versions of packages, and whether they are within each other's limits.

None of them is imported. The training worker may run in an environment of its own
(`train.python`), because what makes it fast requires other versions than qi-learn does.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from qi_learn.errors import QiError
from qi_learn.outside.process import run

TIMEOUT = 60.0
LOOK = """
import importlib.metadata as metadata, importlib.util, json, sys

def unmet(name):
    try:
        from packaging.requirements import Requirement
    except ImportError:
        return ["packaging is not installed, so versions cannot be compared"]
    problems = []
    for text in metadata.requires(name) or []:
        required = Requirement(text)
        if required.marker is not None and not required.marker.evaluate({"extra": ""}):
            continue
        try:
            installed = metadata.version(required.name)
        except metadata.PackageNotFoundError:
            problems.append(f"{required.name} is not installed")
        else:
            if not required.specifier.contains(installed, prereleases=True):
                problems.append(
                    f"{required.name} {installed} is there, {required.specifier} is wanted"
                )
    return problems

versions, problems = {}, {}
for name in sys.argv[1:]:
    if importlib.util.find_spec(name) is not None:
        try:
            versions[name] = metadata.version(name)
            problems[name] = unmet(name)
        except metadata.PackageNotFoundError:
            problems[name] = ["it is no installed package, only a folder of that name"]
print(json.dumps([versions, problems]))
"""
"""Runs in an interpreter that need not have anything of qi-learn: it uses the standard library
alone, and `packaging` if that is installed.
"""


@dataclass(frozen=True, slots=True)
class Packages:
    """Packages of a Python."""

    versions: dict[str, str] = field(default_factory=dict)
    """Of the packages that are there, by name."""
    unmet: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """What each of them lacks, in words."""

    def usable(self, name: str) -> bool:
        """Whether a package is there, and everything it requires in a version that it requires."""
        return name in self.versions and not self.unmet.get(name)


def look_into(python: str, names: Sequence[str]) -> Packages:
    """Those of the packages `names` that the interpreter `python` (empty: this one) has.

    None of them if the interpreter cannot be asked: the worker started with it will say why.
    """
    try:
        done = run([python or sys.executable, "-P", "-c", LOOK, *names], timeout=TIMEOUT)
        versions, problems = json.loads(done.output)
    except (QiError, OSError, ValueError):
        return Packages()
    return Packages(versions, {name: tuple(texts) for name, texts in problems.items()})
