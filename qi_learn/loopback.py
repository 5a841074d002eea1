"""What counts as this machine: addresses to listen on, Host headers to answer to, pages to talk to.

Prompts must not leave the machine, and a web page that resolves its own name to 127.0.0.1 (DNS
rebinding) must not get in: gateway and engine both ask here.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

ADDRESSES: Mapping[str, str] = {"127.0.0.1": "127.0.0.1", "localhost": "127.0.0.1", "::1": "::1"}
"""A host that may be named in the settings -> the address to listen on."""
HOSTS = ("127.0.0.1", "localhost", "[::1]")
"""The same as a Host header has them."""
SCHEMES = ("app", "file", "tauri", "vscode-webview", "vscode-file")
"""Origins of applications and editors' webviews: they are on this machine."""


def is_local_host(value: str) -> bool:
    """Whether a Host header names this machine: localhost, *.localhost or a loopback address, with
    any port.
    """
    match = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]]+)(:\d{1,5})?", value)
    if not match:
        return False
    name = match[1].strip("[]").lower().removesuffix(".")
    return name == "localhost" or name.endswith(".localhost") or is_loopback_address(name)


def is_loopback_address(name: str) -> bool:
    """Whether this is an IP address of the loopback range."""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def is_local_origin(value: str) -> bool:
    """Whether a page of this Origin is local: http(s) on a local host, or an application's own
    scheme.
    """
    parts = urlsplit(value)
    return parts.scheme in SCHEMES or (
        parts.scheme in ("http", "https") and is_local_host(parts.netloc)
    )
