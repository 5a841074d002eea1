"""Two releases each of real packages, fetched by their registries' own clients and kept in a cache.

The invariant: an archive is used only if its digest is the one that `packages.json` pins, so the
same functions are played wherever the benchmark runs. Nothing of a package is executed.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

PINNED = Path(__file__).parent / "packages.json"
LARGEST = 120_000
"""Characters of a source file beyond which it is left out."""
EXTENSIONS = {
    "python": (".py",),
    "typescript": (".ts",),
    "javascript": (".js",),
    "go": (".go",),
    "rust": (".rs",),
    "java": (".java",),
}


@dataclass(frozen=True, slots=True)
class Package:
    """Two releases of one package, the older first."""

    name: str
    registry: str
    language: str
    versions: tuple[str, str]
    sha256: tuple[str, str]
    under: str
    """The folder in the archive whose sources are read; "" is all of it."""
    aside: bool
    """Whether it is of the half that no rule was written by."""


def pinned_packages() -> tuple[Package, ...]:
    """All packages of the benchmark, in a fixed order."""
    return tuple(
        Package(
            each["name"],
            each["registry"],
            each["language"],
            (each["versions"][0], each["versions"][1]),
            (each["sha256"][0], each["sha256"][1]),
            each["under"],
            each["aside"],
        )
        for each in json.loads(PINNED.read_text(encoding="utf-8"))
    )


def sources(package: Package, cache: Path) -> tuple[dict[str, str], dict[str, str]]:
    """The source files of the older and the newer release, by their path in the package.

    Raises ValueError if an archive is not the one that is pinned, CalledProcessError if it cannot
    be fetched.
    """
    older, newer = (
        _texts(_archive(package, which, cache), package) for which in range(len(package.versions))
    )
    return older, newer


def _archive(package: Package, which: int, cache: Path) -> Path:
    version = package.versions[which]
    path = cache / f"{package.registry}-{package.name.replace('/', '+')}-{version}"
    if not path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as work:
            fetched = _FETCH[package.registry](package.name, version, Path(work))
            os.replace(fetched, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != package.sha256[which]:
        raise ValueError(f"{path.name} has the digest {digest}, not the pinned one")
    return path


def _texts(archive: Path, package: Package) -> dict[str, str]:
    found = {}
    for name, raw in _members(archive, package):
        inside = "/".join(PurePosixPath(name).parts)
        if not inside.startswith(package.under) or len(raw) > LARGEST:
            continue
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            continue
        found[inside.removeprefix(package.under).lstrip("/")] = text.replace("\r\n", "\n")
    return found


def _members(archive: Path, package: Package) -> Iterator[tuple[str, bytes]]:
    ends = EXTENSIONS[package.language]
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            for name in sorted(opened.namelist()):
                if name.endswith(ends):
                    yield _inside(name, package), opened.read(name)
        return
    with tarfile.open(archive) as tar:
        for member in sorted(tar.getmembers(), key=lambda m: m.name):
            file = tar.extractfile(member) if member.isfile() else None
            if file is not None and member.name.endswith(ends):
                yield _inside(member.name, package), file.read()


def _inside(name: str, package: Package) -> str:
    """The path in the package: archives of some registries put a folder around everything."""
    if package.registry in ("npm", "crates"):
        return name.split("/", 1)[-1]
    if package.registry == "go":
        return name.split("@", 1)[-1].split("/", 1)[-1]
    return name


def _by_pip(name: str, version: str, work: Path) -> Path:
    _call(
        "pip", "download", "-q", "--no-deps", "--only-binary=:all:", f"{name}=={version}", at=work
    )
    return next(work.glob("*.whl"))


def _by_npm(name: str, version: str, work: Path) -> Path:
    _call("npm", "pack", "--silent", f"{name}@{version}", at=work)
    return next(work.glob("*.tgz"))


def _by_go(name: str, version: str, work: Path) -> Path:
    env = {"GOMODCACHE": str(work / "modules"), "GOFLAGS": "-modcacherw"}
    told = _call("go", "mod", "download", "-json", f"{name}@{version}", at=work, env=env)
    return Path(json.loads(told)["Zip"])


def _by_cargo(name: str, version: str, work: Path) -> Path:
    (work / "src").mkdir()
    (work / "src" / "lib.rs").touch()
    (work / "Cargo.toml").write_text(
        '[package]\nname = "fetched"\nversion = "0.0.0"\nedition = "2021"\n'
        f'[dependencies]\n{name} = "={version}"\n'
    )
    _call("cargo", "fetch", "--quiet", at=work, env={"CARGO_HOME": str(work / "home")})
    return next(work.glob(f"home/registry/cache/*/{name}-{version}.crate"))


def _by_maven(name: str, version: str, work: Path) -> Path:
    _call(
        *("mvn", "-q", "-B", "dependency:get", f"-Dartifact={name}:{version}:jar:sources"),
        *("-Dtransitive=false", f"-Dmaven.repo.local={work}"),
        at=work,
    )
    return next(work.rglob(f"*-{version}-sources.jar"))


def _call(*words: str, at: Path, env: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        words, cwd=at, env={**os.environ, **(env or {})}, capture_output=True, text=True, check=True
    )
    return done.stdout


_FETCH: dict[str, Callable[[str, str, Path], Path]] = {
    "pypi": _by_pip,
    "npm": _by_npm,
    "go": _by_go,
    "crates": _by_cargo,
    "maven": _by_maven,
}
