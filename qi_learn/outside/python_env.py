"""What another Python has: versions of packages, and whether they are within each other's limits;
without importing any of them.

The training worker may run in an environment of its own (`train.python`), since what makes it fast
wants other versions than we do.
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
    said = []
    for text in metadata.requires(name) or []:
        wanted = Requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        try:
            there = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            said.append(f"{wanted.name} is not installed")
        else:
            if not wanted.specifier.contains(there, prereleases=True):
                said.append(f"{wanted.name} {there} is there, {wanted.specifier} is wanted")
    return said

found, problems = {}, {}
for name in sys.argv[1:]:
    if importlib.util.find_spec(name) is not None:
        try:
            found[name] = metadata.version(name)
            problems[name] = unmet(name)
        except metadata.PackageNotFoundError:
            problems[name] = ["it is no installed package, only a folder of that name"]
print(json.dumps([found, problems]))
"""
"""Standard library alone, and `packaging` where it is: it runs in an interpreter that need not have
anything of ours.
"""


@dataclass(frozen=True, slots=True)
class Packages:
    """Versions by package name, for those that are there; and what each of them misses, in words."""

    versions: dict[str, str] = field(default_factory=dict)
    unmet: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def usable(self, name: str) -> bool:
        """It is there, and everything it wants is there in a version that it wants."""
        return name in self.versions and not self.unmet.get(name)


def look_into(python: str, names: Sequence[str]) -> Packages:
    """The packages of the interpreter `python` (empty: this one) among `names`.

    Nothing where it cannot be asked: its worker will say why.
    """
    try:
        done = run([python or sys.executable, "-P", "-c", LOOK, *names], timeout=TIMEOUT)
        found, problems = json.loads(done.output)
    except (QiError, OSError, ValueError):
        return Packages()
    return Packages(found, {name: tuple(said) for name, said in problems.items()})
