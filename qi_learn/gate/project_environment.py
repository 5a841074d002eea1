"""What the command of a project's tests needs of this machine, shown to it read-only.

A command is taken only if its tool is known (`TOOLS`), so that what it needs can be told: its
interpreter and virtual environment, `node_modules`, the toolchain, and downloaded packages. It is
started as a list of words, never as a shell's line. What cannot be told is a reason, in words, to
leave the command out. Of an installation in the person's home only the directories are shown that
hold programs (`~/.local` holds keyrings too). Nothing is shown that could be a home, the project's
working tree, or what is above one.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PYTEST = ("pytest", "py.test")
NO_TOOL = "its tests are run by a tool whose environment is not known"
_PYTHON_VARIABLES = {
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "0",
    "PYTEST_ADDOPTS": "-p no:cacheprovider",
}


@dataclass(frozen=True, slots=True)
class TestCommand:
    """A command that runs tests, as it was typed, without what stood before it."""

    __test__ = False  # pytest would take it for a test
    tool: str
    """`pytest`, `go`, ..."""
    argv: tuple[str, ...]
    """The command's own words; the first one may be a path."""
    interpreter: str = ""
    """The interpreter that was named before `-m`; empty if none was."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Those that were set on its line."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A file or directory of this machine, and where the command sees it."""

    source: Path
    at: Path


@dataclass(frozen=True, slots=True)
class ProjectEnvironment:
    """A command as it runs in the sandbox."""

    argv: tuple[str, ...]
    shown: tuple[Shown, ...]
    variables: Mapping[str, str] = field(default_factory=dict)


def environment_of(command: TestCommand, top: Path, cwd: Path) -> ProjectEnvironment | str:
    """What a command that is run in `cwd` needs; if that cannot be told, why.

    `top`: of the project's working tree, both without links in their names.
    """
    make = TOOLS.get(command.tool)
    if make is None:
        return NO_TOOL
    made = make(command, top, cwd)
    if isinstance(made, str):
        return made
    for shown in made.shown:
        if not _is_harmless(shown.source, cwd) or cwd.is_relative_to(shown.at):
            return f"it would have to see {shown.source}"
    return ProjectEnvironment(made.argv, made.shown, {**made.variables, **command.variables})


def _is_harmless(place: Path, cwd: Path) -> bool:
    """Whether a place is none that must not be seen, nor above one.

    Those are the person's home, what all programs keep there, and the directory that is worked in.
    """
    real, home = place.resolve(), Path.home().resolve()
    kept = [home, *(home / name for name in (".local", ".local/share", ".config", ".cache"))]
    return real.exists() and not any(each.is_relative_to(real) for each in (*kept, cwd))


_ENVIRONMENT_PARTS = ("bin", "etc", "include", "lib", "lib64", "pyvenv.cfg", "share")
_PYTHON_PARTS = ("bin", "include", "lib*/python3*", "lib*/lib*.so*")
_NODE_PARTS = ("bin", "include", "lib/node_modules")
_GO_PARTS = ("VERSION", "bin", "go.env", "lib", "pkg", "src")
_CARGO_PARTS = ("bin", "lib", "libexec")


def _installation(prefix: Path, parts: Sequence[str]) -> Iterator[Shown]:
    """What is shown of what is installed under a prefix: in the person's home parts of it alone."""
    real, home = prefix.resolve(), Path.home().resolve()
    if str(prefix).startswith("/usr"):
        return
    if home in real.parents:
        yield from _parts_of(prefix, parts)
    else:
        yield Shown(real, prefix)


def _parts_of(prefix: Path, parts: Sequence[str]) -> Iterator[Shown]:
    for part in parts:
        yield from (Shown(place.resolve(), place) for place in sorted(prefix.glob(part)))


def _program(name: str) -> Path | None:
    """A program on PATH; none of the scripts by which version managers choose one."""
    for directory in os.get_exec_path():
        file = Path(directory, name)
        if file.is_absolute() and os.access(file, os.X_OK) and file.is_file():
            with file.open("rb") as opened:
                if opened.read(2) != b"#!":
                    return file
    return None


# --- Python ---------------------------------------------------------------------------------------


def _python(command: TestCommand, top: Path, cwd: Path) -> ProjectEnvironment | str:
    interpreter = _interpreter(command, top, cwd)
    if interpreter is None:
        return "its Python is not known"
    shown = dict.fromkeys([*_of_environment(interpreter, cwd), *_of_interpreter(interpreter)])
    tool = command.argv[0]
    script = interpreter.parent / os.path.basename(tool)
    rest = command.argv[1:]
    if command.interpreter or command.tool not in PYTEST or not script.is_file():
        argv = (str(interpreter), "-m", os.path.basename(tool), *rest)
    else:
        argv = (str(interpreter), str(script), *rest)
    path = f"{interpreter.parent}:/usr/local/bin:/usr/bin:/bin"
    return ProjectEnvironment(argv, tuple(shown), {**_PYTHON_VARIABLES, "PATH": path})


def _interpreter(command: TestCommand, top: Path, cwd: Path) -> Path | None:
    """The Python of a command: the one it names, else the project's own, else the system's."""
    if "/" in command.interpreter:
        found = [cwd / command.interpreter]
    elif "/" in command.argv[0]:
        found = [(cwd / command.argv[0]).parent / "python"]
    else:
        names = (".venv", "venv", "env")
        found = [place / name / "bin" / "python" for place in (cwd, top) for name in names]
        found += [*filter(None, [_program(command.interpreter or "python3")])]
    return next((Path(os.path.normpath(each)) for each in found if each.is_file()), None)


def _of_interpreter(interpreter: Path) -> Iterator[Shown]:
    """The installation that an interpreter is of, by every name that leads to it."""
    for hop in _hops(interpreter):
        prefix = hop.parent.parent
        if any(prefix.glob("lib*/python3*/os.py")):
            yield from _installation(prefix, _PYTHON_PARTS)
        elif hop.parent != interpreter.parent and not str(hop).startswith("/usr"):
            yield Shown(hop.resolve(), hop)


def _of_environment(interpreter: Path, cwd: Path) -> Iterator[Shown]:
    """The virtual environment that an interpreter is of, and the installation that it names.

    Of the environment what is installed: code of the person's may lie beside that. One that `cwd`
    lies in is shown whole, which is refused.
    """
    place = interpreter.parent.parent
    try:
        text = (place / "pyvenv.cfg").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return
    if cwd.is_relative_to(place):  # then its `lib` is the working tree's
        yield Shown(place.resolve(), place)
    yield from _parts_of(place, _ENVIRONMENT_PARTS)
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals and name.strip() == "home" and (home := Path(value.strip())).is_dir():
            yield from _of_interpreter(home / "python3")


def _hops(file: Path) -> Iterator[Path]:
    """A file, and every name that its links lead over."""
    for _ in range(16):
        yield file
        if not file.is_symlink():
            return
        file = Path(os.path.normpath(file.parent / file.readlink()))


# --- JavaScript -----------------------------------------------------------------------------------


def _node(command: TestCommand, top: Path, cwd: Path) -> ProjectEnvironment | str:
    node = _program("node")
    places = [place for place in (cwd, *cwd.parents) if place == top or top in place.parents]
    modules = [p / "node_modules" for p in places if (p / "node_modules").is_dir()]
    if node is None:
        return "node is not found"
    shown = [Shown(each.resolve(), each) for each in modules]
    installation = node.resolve().parent.parent
    shown += _installation(installation, _NODE_PARTS)
    path = f"{installation / 'bin'}:/usr/local/bin:/usr/bin:/bin"
    if command.tool == "node":
        return ProjectEnvironment(
            (str(installation / "bin" / "node"), *command.argv[1:]), tuple(shown), {"PATH": path}
        )
    name = os.path.basename(command.argv[0])
    programs = (each / ".bin" / name for each in modules)
    program = next((str(each) for each in programs if each.exists()), None)
    if program is None:
        return f"{name} is not in the project's node_modules"
    # vitest would write into node_modules, which is read-only
    more = ("--no-cache",) if command.tool == "vitest" else ()
    return ProjectEnvironment((program, *command.argv[1:], *more), tuple(shown), {"PATH": path})


# --- Go and Rust ----------------------------------------------------------------------------------


def _go(command: TestCommand, top: Path, cwd: Path) -> ProjectEnvironment | str:
    go = _program("go")
    if go is None:
        return "go is not found"
    root = go.resolve().parent.parent
    modules = Path.home() / "go" / "pkg" / "mod"
    built = Path(os.environ.get("GOCACHE") or Path.home() / ".cache" / "go-build")
    shown = [*_installation(root, _GO_PARTS)]
    # without what was built before it would build Go's own library each time
    shown += [Shown(each.resolve(), each) for each in (modules, built) if each.is_dir()]
    rest = command.argv[1:]
    if rest[:1] == ("test",) and not {"-v", "-json"} & set(rest):
        rest = ("test", "-v", *rest[1:])  # else go does not count what passed
    variables = {
        "PATH": f"{root / 'bin'}:/usr/local/bin:/usr/bin:/bin",
        "GOROOT": str(root),
        "GOMODCACHE": str(modules),
        "GOCACHE": str(built) if built.is_dir() else "/tmp/go-build",
        "GOTOOLCHAIN": "local",
        "GOPROXY": "off",
        "GOFLAGS": "-count=1",
    }
    return ProjectEnvironment((str(root / "bin" / "go"), *rest), tuple(shown), variables)


def _cargo(command: TestCommand, top: Path, cwd: Path) -> ProjectEnvironment | str:
    cargo = _cargo_program()
    if cargo is None:
        return "cargo is not found"
    root, packages = cargo.parent.parent, Path.home() / ".cargo"
    shown = [*_installation(root, _CARGO_PARTS)]
    home = Path("/tmp/cargo")
    for name in ("registry", "git"):
        if (packages / name).is_dir():
            shown.append(Shown((packages / name).resolve(), home / name))
    variables = {
        "PATH": f"{root / 'bin'}:/usr/local/bin:/usr/bin:/bin",
        "CARGO_HOME": str(home),
        "CARGO_TARGET_DIR": "/tmp/target",
        "CARGO_NET_OFFLINE": "true",
    }
    rest = tuple(word for word in command.argv[1:] if not word.startswith("+"))
    return ProjectEnvironment((str(cargo), *rest), tuple(shown), variables)


def _cargo_program() -> Path | None:
    """The cargo of the toolchain that is used by default: the one on PATH may only choose it."""
    rustup = Path(os.environ.get("RUSTUP_HOME") or Path.home() / ".rustup")
    try:
        settings = tomllib.loads((rustup / "settings.toml").read_text(encoding="utf-8"))
        name = str(settings["default_toolchain"])
    except (OSError, ValueError, KeyError):
        found = _program("cargo")
        return found.resolve() if found else None
    own = sorted((rustup / "toolchains").glob(f"{name}*/bin/cargo"))
    return own[0] if own else None


TOOLS: Mapping[str, Callable[[TestCommand, Path, Path], ProjectEnvironment | str]] = {
    **dict.fromkeys((*PYTEST, "unittest"), _python),
    **dict.fromkeys(("jest", "vitest", "node"), _node),
    "go": _go,
    "cargo": _cargo,
}
"""By tool, what tells its environment."""


def is_of_tests(tool: str, argv: Sequence[str]) -> bool:
    """Whether a command of a tool runs tests, once, and does nothing else."""
    words = list(argv[1:])
    if tool == "cargo":
        words = [word for word in words if not word.startswith("+")]
    if tool in ("go", "cargo"):
        return words[:1] == ["test"]
    if tool == "node":
        return "--test" in words
    return tool in TOOLS and not {"--watch", "watch", "--watchAll", "--ui"} & set(words)
