"""What the system tells of connections of this machine, by netlink and by its tables."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterator

import pytest

from qi_learn.outside import tcp_table
from qi_learn.outside.tcp_table import ConnectionEnd, Ends

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux tells of connections")
Listed = Callable[[list[Ends]], dict[Ends, ConnectionEnd]]


def asked(ends: list[Ends]) -> dict[Ends, ConnectionEnd]:
    return {pair: end for pair in ends if (end := tcp_table.told(*pair)) is not None}


@pytest.fixture(params=["netlink", "tables"])
def listed(request: pytest.FixtureRequest) -> Listed:
    if request.param == "tables":
        return tcp_table.in_the_tables
    try:
        asked([(("127.0.0.1", 1), ("127.0.0.1", 1))])
    except OSError as error:
        pytest.skip(f"netlink does not answer here: {error}")
    return asked


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def test_each_end_has_its_owner_and_its_process(listed: Listed, server: socket.socket) -> None:
    with socket.create_connection(server.getsockname()) as near, server.accept()[0] as far:
        pairs = [(near.getsockname(), far.getsockname()), (far.getsockname(), near.getsockname())]
        found = listed(pairs)
        assert [found[pair].inode for pair in pairs] == [
            str(os.fstat(end.fileno()).st_ino) for end in (near, far)
        ]
        assert {end.owner for end in found.values()} == {os.geteuid()}
        assert not any(end.closed for end in found.values())


def test_a_client_within_ipv6_is_found_by_its_ipv4(listed: Listed, server: socket.socket) -> None:
    with socket.socket(socket.AF_INET6) as near:
        near.connect((f"::ffff:{server.getsockname()[0]}", server.getsockname()[1]))
        with server.accept()[0] as far:
            pair = (far.getpeername(), far.getsockname())
            assert listed([pair])[pair].held


def test_an_end_that_was_closed_is_held_by_no_process(
    listed: Listed, server: socket.socket
) -> None:
    with socket.create_connection(server.getsockname()) as near, server.accept()[0] as far:
        pair = (near.getsockname(), far.getsockname())
        near.close()
        assert listed([pair])[pair].closed
        assert not listed([pair])[pair].held


def test_one_that_never_was_is_not_listed_nor_who_listens(
    listed: Listed, server: socket.socket
) -> None:
    assert listed([(server.getsockname(), ("127.0.0.1", 9))]) == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_the_owner_is_who_made_the_socket(listed: Listed, server: socket.socket) -> None:
    os.seteuid(65534)
    try:
        near = socket.socket()
    finally:
        os.seteuid(0)
    with near:
        near.connect(server.getsockname())
        pair = (near.getsockname(), server.getsockname())
        assert listed([pair])[pair].owner == 65534
