"""Recorded answers, given again on a socket."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


def _read_request(link: socket.socket) -> None:
    raw = b""
    while b"\r\n\r\n" not in raw:
        raw += link.recv(1 << 16)
    head, _, body = raw.partition(b"\r\n\r\n")
    size = next(
        (
            int(line.partition(b":")[2])
            for line in head.splitlines()
            if line.lower().startswith(b"content-length")
        ),
        0,
    )
    while len(body) < size:
        body += link.recv(1 << 16)


@contextmanager
def replaying(*exchanges: tuple[str, list[list[str]], bytes]) -> Iterator[str]:
    """A socket that gives the recorded answers, one a connection, whatever it is asked."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(5)

        def serve() -> None:
            for status, headers, body in exchanges:
                try:
                    link, _ = listening.accept()
                except TimeoutError:  # the test failed before it asked everything
                    return
                with link:
                    link.settimeout(5)
                    _read_request(link)
                    kept = [
                        f"{k}: {v}"
                        for k, v in headers
                        if k not in ("Transfer-Encoding", "Content-Length")
                    ]
                    link.sendall("\r\n".join([status, *kept, "", ""]).encode() + body)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread.join()
