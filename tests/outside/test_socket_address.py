"""Where a server listens, from its URL."""

from __future__ import annotations

import subprocess
import sys

import pytest

from qi_learn.outside.socket_address import address_of


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:11434", (b"127.0.0.1", 11434)),
        ("http://[::1]:11434/api", (b"::1", 11434)),
        ("http://localhost", (b"localhost", 80)),
        ("http://m\u00fcller.example:9", ("m\u00fcller.example", 9)),
    ],
)
def test_host_and_port_of_a_url(url: str, address: tuple[bytes | str, int]) -> None:
    assert address_of(url) == address


def test_a_port_that_is_none_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="Port"):
        address_of("http://localhost:99999999")


def test_asking_a_server_here_loads_no_rules_of_foreign_names() -> None:
    """They would be a twentieth of the time that `status` takes."""
    script = (
        "import sys\n"
        "from qi_learn.outside.listening import accepts\n"
        "from qi_learn.outside.server_answers import server_answers\n"
        "from qi_learn.daemon.gateway_client import answers_at\n"
        "for ask in (accepts, server_answers, answers_at):\n"
        "    assert not ask('http://127.0.0.1:9')\n"
        "assert 'encodings.idna' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=300)
