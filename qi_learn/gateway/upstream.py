"""The server behind the gateway, and the connections to it that are kept open.

No limit, no cookie, no proxy of the environment, no redirection followed, and no header added but
`Host` and what frames the body. aiohttp's client does all that as well, at 140 of the 840
microseconds that the gateway added to a request (decision 0053).
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import deque
from urllib.parse import quote, unquote, urlsplit

from multidict import CIMultiDict

from qi_learn.errors import ServerUnreachable
from qi_learn.gateway.upstream_answer import BrokenOff, UpstreamAnswer
from qi_learn.gateway.upstream_link import Body, UpstreamLink

KEPT = 60.0
"""Seconds that a connection stays open without a request."""
CONNECT = 30.0
"""Seconds for a connection to be made."""
_SAFE_TWICE = frozenset(("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"))
"""What may be asked again if a kept connection breaks off (RFC 9110, 9.2.2)."""

_IN_A_PATH = "/%:@!$&'()*+,;=~"
"""What stays as it is in a path, beside letters and digits (RFC 3986, 3.3)."""
_HAVE_BODIES = frozenset(("POST", "PUT", "PATCH"))
"""What says so if it has no body (RFC 9110, 8.6)."""


class Upstream:
    """One server, by its address. To be used on one loop."""

    def __init__(self, url: str) -> None:
        """`url` has no slash at its end and no credentials."""
        parts = urlsplit(url)
        self.url = url
        self._prefix = quote(parts.path, safe=_IN_A_PATH)
        self._host = unquote(parts.hostname or "")  # `%25` in front of an IPv6 address's zone
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._port = parts.port or (443 if self._tls else 80)
        self._named = parts.netloc
        self._idle: deque[UpstreamLink] = deque()
        """The one that was used last at the right."""
        self._sweep: asyncio.TimerHandle | None = None

    async def ask(
        self, method: str, target: str, headers: CIMultiDict[str], body: Body = None
    ) -> UpstreamAnswer:
        """Send a request and return its answer, of which the head has come.

        `headers` hold no `Host`. What tells the body's length is taken as it is for a body in
        pieces, and made anew for a whole one. Raises ServerUnreachable if no connection is made,
        and BrokenOff.
        """
        framed = self._framed(method, headers, body)
        target = self._prefix + target
        if (link := self._kept_link()) is None:
            return await _answered(await self._connect(), method, target, framed, body)
        try:
            return await _answered(link, method, target, framed, body)
        except BrokenOff:  # it may have been closed for its age just now
            if link.heard or method not in _SAFE_TWICE or body:
                raise
        return await _answered(await self._connect(), method, target, framed, body)

    def close(self) -> None:
        """End the kept connections."""
        if self._sweep is not None:
            self._sweep.cancel()
        while self._idle:
            self._idle.pop().close()

    def _framed(self, method: str, headers: CIMultiDict[str], body: Body) -> CIMultiDict[str]:
        """The headers as they go out: with the server's name, and what frames the body."""
        framed: CIMultiDict[str] = CIMultiDict(Host=self._named)
        framed.extend(headers)
        if isinstance(body, bytes):
            framed["Content-Length"] = str(len(body))
        elif "Content-Length" in framed:
            pass
        elif body is not None:
            framed["Transfer-Encoding"] = "chunked"
        elif method in _HAVE_BODIES:
            framed["Content-Length"] = "0"
        return framed

    def _kept_link(self) -> UpstreamLink | None:
        while self._idle:
            link = self._idle.pop()
            if link.is_open:
                return link
        return None

    async def _connect(self) -> UpstreamLink:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT):
                _, link = await loop.create_connection(
                    lambda: UpstreamLink(self._keep), self._host, self._port, ssl=self._tls
                )
        except (OSError, TimeoutError, UnicodeError) as error:  # the last: a name that is none
            raise ServerUnreachable(f"no connection to {self.url}: {error}") from error
        return link

    def _keep(self, link: UpstreamLink) -> None:
        """Keep a connection for the next request."""
        link.idle_since = time.monotonic()
        self._idle.append(link)
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(KEPT, self._let_go)

    def _let_go(self) -> None:
        """End the connections that were not used for long; look again while there are others."""
        self._sweep = None
        while self._idle and time.monotonic() - self._idle[0].idle_since >= KEPT:
            self._idle.popleft().close()
        if self._idle:
            self._sweep = asyncio.get_running_loop().call_later(KEPT / 2, self._let_go)


async def _answered(
    link: UpstreamLink, method: str, target: str, headers: CIMultiDict[str], body: Body
) -> UpstreamAnswer:
    """Ask over a connection, and wait for the head of the answer. Raises BrokenOff."""
    answer = link.ask(method, target, headers, body)
    try:
        await answer.head()
    except BaseException:
        link.close()
        raise
    return answer
