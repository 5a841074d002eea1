"""What is checked of the pages and of the built site, beside what Zensical's strict mode checks.

Zensical fails on a link to a page or heading that is not there. It does not see a page that the
navigation leaves out or names in vain, nor that a page would load something from another machine.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

_LOADING = dict.fromkeys(("script", "img", "iframe", "source", "video"), "src") | {"link": "href"}
"""Elements that make a browser fetch something, and by which attribute."""
_URL = re.compile(r"url\(\s*[\"']?((?:https?:)?//[^)\"']+)")
_LINK_ONLY = ("canonical", "alternate", "next", "prev", "author", "license")


def problems(root: Path) -> list[str]:
    """What is wrong, a line each."""
    return [*_navigation(root), *_foreign(root / "site")]


def _navigation(root: Path) -> Iterator[str]:
    nav = tomllib.loads((root / "zensical.toml").read_text(encoding="utf-8"))["project"]["nav"]
    named = set(_pages(nav))
    docs = root / "docs"
    there = {page.relative_to(docs).as_posix() for page in docs.rglob("*.md")}
    yield from (
        f"the navigation names {name}, which is not there" for name in sorted(named - there)
    )
    yield from (f"{name} is in no navigation" for name in sorted(there - named))


def _pages(nav: object) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    elif isinstance(nav, dict):
        for below in nav.values():
            yield from _pages(below)
    elif isinstance(nav, list):
        for below in nav:
            yield from _pages(below)


class _Loads(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        address = given.get(_LOADING.get(tag, "")) or ""
        if tag == "link" and given.get("rel") in _LINK_ONLY:
            return
        if re.match(r"(https?:)?//", address):
            self.addresses.append(address)


def _foreign(site: Path) -> Iterator[str]:
    for page in sorted(site.rglob("*.html")):
        parser = _Loads()
        parser.feed(page.read_text(encoding="utf-8"))
        yield from (f"{page.relative_to(site)} loads {address}" for address in parser.addresses)
    for sheet in sorted(site.rglob("*.css")):
        text = sheet.read_text(encoding="utf-8")
        yield from (f"{sheet.relative_to(site)} loads {match[1]}" for match in _URL.finditer(text))
