"""The blocks by name, and the pages that hold them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from . import cli, decisions, events, examples, layers, root_pages, routes, settings

Block = Callable[[Path], str]
"""Makes a block's text from the repository's root."""

BLOCKS: Mapping[str, Block] = {
    "settings": settings.tables,
    "commands": cli.commands,
    "exit codes": cli.exit_codes,
    "event kinds": events.kinds,
    "event fields": events.fields_of_a_line,
    "routes of the gateway": routes.gateway,
    "routes of the engine": routes.engine,
    "layers": layers.table,
    "decisions": decisions.index,
    "systemd unit": examples.systemd,
    "launchd file": examples.launchd,
    "contributing": root_pages.contributing,
    "security": root_pages.security,
}
_BLOCK = re.compile(r"(<!-- generated: (?P<name>[\w ]+) -->\n).*?(<!-- end -->\n)", re.DOTALL)


def outdated(root: Path) -> dict[Path, str]:
    """The pages whose text differs from what the code says, with the text they should have.

    Raises LookupError if a page asks for a block that is not there, or no page asks for one.
    """
    used: set[str] = set()
    differing: dict[Path, str] = {}
    for page in sorted((root / "docs").rglob("*.md")):
        old = page.read_text(encoding="utf-8")
        new = _BLOCK.sub(lambda match: _written(match, root, used), old)
        if new != old:
            differing[page] = new
    if unused := set(BLOCKS) - used:
        raise LookupError(f"no page has the blocks {', '.join(sorted(unused))}")
    return differing


def _written(match: re.Match[str], root: Path, used: set[str]) -> str:
    name = match["name"]
    if name not in BLOCKS:
        raise LookupError(f"there is no block {name!r}; there are {', '.join(BLOCKS)}")
    used.add(name)
    return f"{match[1]}\n{BLOCKS[name](root).strip()}\n\n{match[3]}"
