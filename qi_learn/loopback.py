"""What counts as this machine: addresses to listen on, Host headers to answer to, pages to talk to.

Prompts must not leave the machine, and a web page that resolves its own name to 127.0.0.1 (DNS
rebinding) must not get in. The engine takes what Ollama would take (`is_local_host`,
`is_local_origin`); the gateway builds its stricter rules on the same names (gateway/guard.py).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

ADDRESSES: Mapping[str, str] = {"127.0.0.1": "127.0.0.1", "localhost": "127.0.0.1", "::1": "::1"}
"""Hosts that the settings may name, each with the address to listen on."""
HOSTS = ("127.0.0.1", "localhost", "[::1]")
"""The same hosts, as a Host header writes them."""
SCHEMES = ("app", "file", "tauri", "vscode-webview", "vscode-file")
"""Schemes of the Origins that applications and editors' webviews have: they are on this machine."""

_UNSPECIFIED = r"0\.0\.0\.0(:\d{1,5})?"
WITHOUT_CREDENTIALS = (
    "write the address without a name or a password: every status and log would show them, and "
    "they cannot go with a client's own Authorization. A proxy in front of the server can add them."
)


def holds_credentials(url: str) -> bool:
    """Whether a server's address holds a user's name or password."""
    return "@" in re.split(r"[/?#]", url.partition("//")[2] or url, maxsplit=1)[0]


def is_local_host(value: str) -> bool:
    """Whether a Host header names this machine.

    That is localhost, *.localhost or a loopback address, and any port.
    """
    match = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]]+)(:\d{1,5})?", value)
    if not match:
        return False
    name = match[1].strip("[]").lower().removesuffix(".")
    return name == "localhost" or name.endswith(".localhost") or is_loopback_address(name)


def is_loopback_address(name: str) -> bool:
    """Whether a name is an IP address of the loopback range."""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def is_local_origin(value: str) -> bool:
    """Whether a page of this Origin is local.

    That is http or https on a local host (also as `0.0.0.0`, under which people open their own
    pages), or an application's own scheme.
    """
    parts = urlsplit(value)
    return parts.scheme in SCHEMES or (
        parts.scheme in ("http", "https")
        and (is_local_host(parts.netloc) or re.fullmatch(_UNSPECIFIED, parts.netloc) is not None)
    )
