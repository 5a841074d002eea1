"""Who may speak to the gateway, and which headers travel.

The gateway sends Ollama a Host of its own making, which takes away Ollama's defence against pages
that reach loopback through DNS rebinding. So the defence is here, and it is stricter than
`loopback.py`, which the engine asks:

* The Host header must be a loopback name (with any port: no page has such a name), or one from the
  settings. `0.0.0.0`, which people set for server and clients alike, is let in only if no browser
  sent it: browsers reach loopback by it.
* An Origin must be a local page, an editor's webview, or one from the settings.
* What changes models refuses every Origin, because no editor needs it from a page.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from multidict import CIMultiDict

from qi_learn.loopback import HOSTS, SCHEMES

MANAGEMENT = ("/api/create", "/api/push", "/api/pull", "/api/delete", "/api/copy", "/api/blobs")
OWN_PREFIX = "x-qi-learn-"
_LOCAL_HOSTS = "|".join(map(re.escape, (*HOSTS, "0.0.0.0")))
_LOCAL_PAGE = re.compile(
    rf"https?://({_LOCAL_HOSTS})(:\d{{1,5}})?|({'|'.join(SCHEMES)})://[^\s]*", re.IGNORECASE
)
_LOOPBACK = re.compile(rf"({'|'.join(map(re.escape, HOSTS))})(:\d{{1,5}})?")
_UNSPECIFIED = re.compile(r"0\.0\.0\.0(:\d{1,5})?")
_FETCH = re.compile(r"sec-fetch-", re.IGNORECASE)
_HOP_BY_HOP = frozenset(
    # RFC 9110, 7.6.1, and the proxy's own credentials (11.7.2)
    (
        "connection",
        "proxy-connection",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "proxy-authorization",
        "proxy-authenticate",
    )
)
_MADE_ANEW = frozenset(("host", "expect"))
Headers = CIMultiDict[str] | Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Guard:
    """The check of one listening port."""

    hosts: frozenset[str]
    origins: frozenset[str]

    @classmethod
    def for_port(
        cls, port: int, hosts: tuple[str, ...] = (), origins: tuple[str, ...] = ()
    ) -> Guard:
        """The guard of a port.

        It allows loopback names with any port, and further names with this one or without.
        """
        return cls(
            frozenset(name.lower() for host in hosts for name in (host, f"{host}:{port}")),
            frozenset(origin.lower().rstrip("/") for origin in origins),
        )

    def refusal(self, path: str, headers: Headers, host: str | None = None) -> str | None:
        """Why a request must not pass; None if it may.

        `host` is the one that a whole URL names; it counts in place of the header's.
        """
        if host is None:
            host = headers.get("Host", "")
        if not self._is_ours(host.lower(), headers):
            return (
                f"qi-learn does not answer to the Host {host!r}; use 127.0.0.1 or localhost, or "
                "add the name to gateway.allowed_hosts"
            )
        origin = headers.get("Origin")
        if origin is None:
            # A page's image or script tag sends no Origin, but browsers name the site it is from.
            foreign = headers.get("Sec-Fetch-Site") == "cross-site"
            return "qi-learn does not answer to pages of other sites" if foreign else None
        if path.startswith(MANAGEMENT):
            return (
                "qi-learn lets no web page create, copy, pull, push or delete models; use the "
                "command line"
            )
        if _LOCAL_PAGE.fullmatch(origin) or origin.lower().rstrip("/") in self.origins:
            return None
        return (
            f"qi-learn does not answer to pages from {origin!r}; add it to "
            "gateway.allowed_origins if it is yours"
        )

    def _is_ours(self, host: str, headers: Headers) -> bool:
        """Whether a Host header may name this gateway."""
        if _LOOPBACK.fullmatch(host) or host in self.hosts:
            return True
        browser = any(name.lower() == "origin" or _FETCH.match(name) for name in headers)
        return _UNSPECIFIED.fullmatch(host) is not None and not browser


def end_to_end(headers: Headers) -> CIMultiDict[str]:
    """The headers that travel on.

    Not those of this hop, not those that Connection names, and not the gateway's own.
    """
    named = {name.strip().lower() for name in headers.get("Connection", "").split(",")}
    kept: CIMultiDict[str] = CIMultiDict()
    for name, value in headers.items():
        lower = name.lower()
        if (
            lower not in _HOP_BY_HOP
            and lower not in named
            and lower not in _MADE_ANEW
            and not lower.startswith(OWN_PREFIX)
        ):
            kept.add(name, value)
    return kept
