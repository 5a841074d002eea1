"""Releases of a package as steps, newest first: sub-folders, sdists, wheels, npm tarballs.

They are put in order by the numbers in their names, and what one changed since the one before it is
that release's work. When it was done is not known, so they are played a week apart.
"""

from __future__ import annotations

import re
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

from qi_learn.bench.day.history import MAX_FILE, Step, Texts, is_code
from qi_learn.errors import NotFound

FEWEST = 20
"""Releases: fewer are no history."""
FIRST, APART = 1_577_836_800.0, 7 * 86400.0
"""2020-01-01 UTC, and a week."""
_TARS = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar")
_ZIPS = (".whl", ".zip")


def steps_of_releases(directory: Path) -> Iterator[Step]:
    """What each release changed, newest first. Raises NotFound if there are fewer than `FEWEST`."""
    releases = find_releases(directory)
    if len(releases) < FEWEST:
        raise NotFound(
            f"{directory} is no git repository, and has {len(releases)} releases of {FEWEST}.",
            "Give a repository, or a folder with the releases of one package, a folder, sdist, "
            "wheel or tarball each.",
        )
    for number, (old, new) in reversed(list(enumerate(pairwise(releases), 1))):
        name = f"release {version_of(new.name)}"
        yield Step(name, FIRST + number * APART, name, partial(_changed, old, new))


def _changed(old: Path, new: Path) -> Texts:
    was, now = texts_of(old), texts_of(new)
    changed = {file for file in {*was, *now} if was.get(file) != now.get(file)}
    return Texts(
        {file: was[file] for file in changed if file in was},
        {file: now[file] for file in changed if file in now},
    )


def find_releases(directory: Path) -> list[Path]:
    """The releases in a folder, oldest first; of one version the first by name."""
    found = [
        path
        for path in sorted(directory.iterdir() if directory.is_dir() else ())
        if (path.is_dir() or path.name.endswith((*_TARS, *_ZIPS))) and version_of(path.name)
    ]
    by_version: dict[tuple[int, ...], Path] = {}
    for path in found:
        by_version.setdefault(_order(version_of(path.name)), path)
    return [by_version[version] for version in sorted(by_version)]


def version_of(name: str) -> str:
    """`1.2.3` of `name-1.2.3.tar.gz`; empty if there is none."""
    match = re.search(r"(?:^|[-_v])(\d+(?:\.\d+)*)(?=$|[-.+_a-z])", name)
    return match[1].strip(".") if match else ""


def _order(version: str) -> tuple[int, ...]:
    numbers = [int(number) for number in version.split(".")]
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()  # 1.0 is 1.0.0
    return tuple(numbers)


def texts_of(release: Path) -> dict[str, str]:
    """The code of a release by file, without the one folder that holds everything."""
    if release.is_dir():
        files = dict(_in_folder(release))
    elif release.name.endswith(_ZIPS):
        files = dict(_in_zip(release))
    else:
        files = dict(_in_tar(release))
    return {_inner(file, list(files)): text for file, text in files.items()}


def _inner(file: str, files: Sequence[str]) -> str:
    """The path below the release's own folder, which is named after its version."""
    top = file.split("/", 1)[0]
    whole = all(one.startswith(f"{top}/") for one in files)
    return file.split("/", 1)[1] if whole and (version_of(top) or top == "package") else file


def _in_folder(release: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(release.rglob("*")):
        file = path.relative_to(release).as_posix()
        if is_code(file) and path.is_file() and path.stat().st_size <= MAX_FILE:
            yield file, path.read_bytes().decode("utf-8", "replace")


def _in_zip(release: Path) -> Iterator[tuple[str, str]]:
    with zipfile.ZipFile(release) as archive:
        for member in archive.infolist():
            if is_code(member.filename) and member.file_size <= MAX_FILE:
                yield member.filename, archive.read(member).decode("utf-8", "replace")


def _in_tar(release: Path) -> Iterator[tuple[str, str]]:
    with tarfile.open(release) as archive:
        for member in archive:
            if not member.isfile() or not is_code(member.name) or member.size > MAX_FILE:
                continue
            if (file := archive.extractfile(member)) is not None:
                yield member.name, file.read().decode("utf-8", "replace")
