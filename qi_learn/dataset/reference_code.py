"""Generic code by construction: pieces of Python that is installed on every machine.

Anchors, probes and yardsticks are of the running Python's own standard library, the same wherever
that Python runs. Package texts are of packages that this program needs, the same wherever those
versions are installed. Nothing of them is shipped.

*Anchors* stand for what the base model knows of code in general (the general Fisher, generic
replay). *Probes* measure whether it still knows it. *Yardsticks* measure how far a training moved
the model, which decides how strongly the next is held back. The invariant: no file gives two of
them, so what is measured on was never trained on, and what decides is not what judges. A module
that this machine does not have is left out and the next of the reserve takes its place. Texts are
pieces of source from the start of a function or class on, long enough for a sequence of 96 tokens;
they never overlap.
"""

from __future__ import annotations

import re
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

SEQUENCE_TOKENS = 96
TEXT_CHARACTERS = 900
"""More than 9 characters a token would be needed to fall short of 96 tokens; Python source has 2.5
to 5.
"""

ANCHOR_MODULES, ANCHORS_EACH = 40, 6
PROBE_MODULES, PROBES_EACH = 16, 4
YARDSTICK_MODULES = 16
SUITE_MODULES = 20
"""Of the probes' modules and of packages, for a suite: one text of each, so each text is a unit."""

ANCHORS = (
    "argparse", "ast", "asyncio/base_events", "asyncio/streams", "bdb", "calendar", "cmd",
    "codecs", "collections/__init__", "concurrent/futures/_base", "configparser", "contextlib",
    "copy", "csv", "dataclasses", "difflib", "dis", "doctest", "email/message", "enum",
    "fileinput", "functools", "gettext", "gzip", "heapq", "html/parser", "http/client",
    "http/cookies", "imaplib", "inspect", "json/decoder", "locale", "logging/__init__", "mailbox",
    "optparse", "os", "pdb", "pickle", "platform", "queue",
    # reserve
    "random", "selectors", "shutil", "smtplib", "socketserver", "subprocess", "tarfile",
    "tempfile", "textwrap", "threading", "tokenize", "traceback", "typing", "unittest/case",
    "urllib/request", "uuid", "weakref", "xml/dom/minidom", "zipfile",
)  # fmt: skip
PROBES = (
    "statistics", "fractions", "string", "ipaddress", "ftplib", "plistlib", "mimetypes", "sched",
    "trace", "tracemalloc", "symtable", "poplib", "pstats", "urllib/parse", "wsgiref/handlers",
    "xmlrpc/client",
    # reserve
    "graphlib", "timeit", "webbrowser", "zipapp", "unittest/mock", "multiprocessing/pool",
    "xml/etree/ElementTree", "wave", "turtle", "pydoc",
)  # fmt: skip

PACKAGES = (
    "click/core", "httpx/_urls", "h11/_connection", "aiohttp/multipart", "attr/_make",
    "pygments/lexer", "markdown_it/ruler", "sqlite_utils/db", "dateutil/relativedelta",
    "ollama/_client", "pathspec/util", "platformdirs/unix", "rapidfuzz/process_py", "idna/core",
    "pluggy/_manager", "cronsim/cronsim", "yarl/_url", "anyio/streams/buffered",
    "httpcore/_sync/connection_pool", "click/formatting",
    # reserve
    "httpx/_decoders", "aiohttp/cookiejar", "pygments/formatters/html", "dateutil/rrule",
    "sqlite_utils/cli", "h11/_readers", "attr/validators", "markdown_it/rules_inline/link",
    "click/types", "pluggy/_hooks", "tabulate/__init__", "anyio/from_thread", "aiohttp/helpers",
    "pathspec/pathspec", "httpx/_content", "platformdirs/windows",
)  # fmt: skip
"""Modules of packages that the base install brings along. None of `rich`: the demonstration plays
its functions.
"""

_DEFINITION = re.compile(r"\s*(?:async def|def|class) \w+[(:]")


@dataclass(frozen=True, slots=True)
class GenericText:
    """A piece of plain text, as it stands in a file."""

    id: str
    """`anchor:<module>:<n>`, `probe:<module>:<n>`, `yardstick:<module>:<n>` or
    `package:<module>:<n>`; of other texts (`general_texts`) the suite and a name.
    """
    module: str
    """The dotted name of the module that it is of; what texts share that hang together."""
    text: str


def anchors() -> tuple[GenericText, ...]:
    """240 texts: 6 from each of 40 modules."""
    return _collect("anchor", ANCHORS, ANCHOR_MODULES, ANCHORS_EACH)


def probes() -> tuple[GenericText, ...]:
    """64 texts: 4 from each of 16 modules, none of them an anchors' module."""
    return _collect("probe", PROBES, PROBE_MODULES, PROBES_EACH)


def yardsticks() -> tuple[GenericText, ...]:
    """16 texts, one from each of the anchors' reserve that the anchors did not need."""
    used = {text.module for text in anchors()}
    return _collect(
        "yardstick",
        [path for path in reversed(ANCHORS) if _name(path) not in used],
        YARDSTICK_MODULES,
        1,
    )


def library_texts() -> tuple[GenericText, ...]:
    """20 texts, one from each of 20 of the probes' modules."""
    return _collect("probe", PROBES, SUITE_MODULES, 1)


def package_texts(modules: Sequence[str] = PACKAGES) -> tuple[GenericText, ...]:
    """20 texts, one from each of the first 20 of these modules that are installed."""
    texts: list[GenericText] = []
    for path in modules:
        if len(texts) < SUITE_MODULES and (pieces := _pieces(_installed(path))):
            module = _name(path)
            texts.append(GenericText(f"package:{module}:0", module, pieces[len(pieces) // 2]))
    return tuple(texts)


def _installed(path: str) -> Path:
    """The file of a package's module, which is not imported; one that is not there has none."""
    package, _, within = path.partition("/")
    spec = find_spec(package)
    places = spec.submodule_search_locations if spec is not None else None
    return Path(next(iter(places or ()), package), f"{within}.py")


def _collect(kind: str, modules: Sequence[str], count: int, each: int) -> tuple[GenericText, ...]:
    root = Path(sysconfig.get_paths()["stdlib"])
    texts: list[GenericText] = []
    for path in modules:
        if len(texts) == count * each:
            break
        module = _name(path)
        pieces = _pieces(root / f"{path}.py")
        if len(pieces) >= each:
            texts += [
                GenericText(f"{kind}:{module}:{n}", module, pieces[n * len(pieces) // each])
                for n in range(each)
            ]
    return tuple(texts)


def _name(path: str) -> str:
    """`logging/__init__` -> `logging`."""
    return path.removesuffix("/__init__").replace("/", ".")


def _pieces(path: Path) -> list[str]:
    """Texts of at least TEXT_CHARACTERS from a file; nothing if the file is missing.

    Each is from the start of a function or class, and none overlaps another.
    """
    try:
        source = path.read_text(encoding="utf-8")
    except OSError:
        return []
    lines = source.split("\n")
    pieces: list[str] = []
    free = 0
    for start, line in enumerate(lines):
        if start < free or not _DEFINITION.match(line):
            continue
        end, length = start, 0
        while end < len(lines) and length < TEXT_CHARACTERS:
            length += len(lines[end]) + 1
            end += 1
        if length >= TEXT_CHARACTERS:
            pieces.append("\n".join(lines[start:end]) + "\n")
            free = end
    return pieces
