"""What was taken out once is known again where no rule tells it; its file tells it to no reader."""

from __future__ import annotations

import os
import random
import string
import time
from pathlib import Path

import pytest

from qi_learn.errors import StoreError
from qi_learn.redact import find_secrets, holds_secret, load_redactor, load_seen
from qi_learn.redact.seen_secrets import MOST, SeenSecrets, load_seen_secrets
from tests.support.odd_homes import root_only

WORDS = random.Random(11)
SECRET = "".join(WORDS.choices(string.ascii_letters + string.digits, k=20))
SIGNS = "Xk9$fQ2!vB7#mW4z"
TOKEN = "ghp_" + "".join(WORDS.choices(string.ascii_letters + string.digits, k=36))
PEM = "\n".join(
    (
        "-----BEGIN RSA PRIVATE KEY-----",
        *("".join(WORDS.choices(string.ascii_letters + string.digits + "+/", k=64)) for _ in "abc"),
        "-----END RSA PRIVATE KEY-----",
    )
)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return tmp_path / "redaction.key"


def test_a_secret_without_its_word_is_known_again(key: Path) -> None:
    bare = f"Take {SECRET}, it is mine."
    assert find_secrets(bare) == ()
    assert not load_seen(key).holds(bare)
    redactor = load_redactor(key)
    assert SECRET not in redactor.text(f'db_password = "{SECRET}"')
    seen = load_seen(key)
    assert [bare[start:end] for start, end in seen.find(bare)] == [SECRET]
    for text in (SECRET, f'"{SECRET}"', f"x={SECRET};", f"(a:{SECRET}@b)", f"_{SECRET}_"):
        assert seen.holds("nothing here", text), text
    for text in ("", SECRET[1:], SECRET.lower(), SECRET[::-1], f"x{SECRET}y", SECRET[:10]):
        assert not seen.holds(text), text


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (f"password: '{SIGNS}'", f"login({SIGNS})"),
        (f"token {TOKEN}", f"[{TOKEN}]"),
        ("pwd = 'aX9,(kQ2;vB7]mW4z'", "it is 'aX9,(kQ2;vB7]mW4z'."),
        ("pwd = 'aX9,(kQ2;vB7]mW4z'", "say aX9,(kQ2;vB7]mW4z, please"),
        (PEM, f"then comes {PEM.splitlines()[2]} and so on"),
        (f"postgres://app:{SIGNS.replace('#', '-')}@db/x", f"'{SIGNS.replace('#', '-')}'"),
    ],
)
def test_signs_tokens_and_the_lines_of_a_key(key: Path, given: str, said: str) -> None:
    load_redactor(key).text(given)
    assert load_seen(key).holds(said)


def test_a_weak_word_is_not_kept(key: Path) -> None:
    redactor = load_redactor(key)
    assert "[REDACTED" in redactor.text("postgres://app:correcthorse@db/x")
    assert not load_seen(key).holds("a correcthorse, and its battery")


def test_nothing_of_it_stands_in_the_file(key: Path) -> None:
    redactor = load_redactor(key)
    redactor.text(f'password = "{SECRET}"')
    redactor.text(f'password = "{SECRET}"')
    file = key.with_name("redacted-secrets")
    data = file.read_bytes()
    assert len(data) == 9
    assert data[0] == len(SECRET) // 8
    assert not any(SECRET[n : n + 3].encode() in data for n in range(len(SECRET) - 2))
    assert file.stat().st_mode & 0o777 == 0o600
    other = load_seen_secrets(os.urandom(32), file)
    assert not other.holds(SECRET)  # without the key it says nothing


def test_looking_alone_keeps_nothing(key: Path) -> None:
    load_redactor(key)
    assert holds_secret(f'password = "{SECRET}"')
    assert not key.with_name("redacted-secrets").exists()
    load_seen(key.with_name("no.key"))
    assert not key.with_name("no.key").exists()


def test_it_is_bounded_and_the_newest_stay(tmp_path: Path) -> None:
    file = tmp_path / "redacted-secrets"
    seen = SeenSecrets(b"k", file)
    seen.note(SECRET)
    oldest, record = file.read_bytes(), 9
    more = b"".join(bytes([2]) + n.to_bytes(8, "big") for n in range(MOST))
    file.write_bytes(oldest + more + b"torn")
    SeenSecrets(b"k", file, frozenset()).note(TOKEN)
    again = load_seen_secrets(b"k", file)
    assert len(again) == MOST * 3 // 4
    assert file.stat().st_size == len(again) * record
    assert not again.holds(SECRET)


def test_a_torn_end_costs_one_entry(tmp_path: Path) -> None:
    file = tmp_path / "redacted-secrets"
    SeenSecrets(b"k", file).note(SECRET)
    whole = file.read_bytes()
    file.write_bytes(whole + whole[:4])
    seen = load_seen_secrets(b"k", file)
    assert seen.holds(SECRET)
    seen.note(TOKEN)
    again = load_seen_secrets(b"k", file)
    assert again.holds(SECRET)
    assert again.holds(TOKEN)


def test_a_disk_without_room_stops_no_redaction(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    seen = SeenSecrets(b"k", tmp_path / "no such directory" / "file")
    seen.note(SECRET)
    seen.note(TOKEN)
    assert seen.holds(SECRET)
    assert caplog.text.count("cannot be written") == 1


@root_only
def test_what_cannot_be_read_is_told(key: Path) -> None:
    load_redactor(key)
    key.with_name("redacted-secrets").mkdir()
    with pytest.raises(StoreError, match="cannot be read"):
        load_redactor(key)


def test_ordinary_text_costs_little(key: Path) -> None:
    redactor = load_redactor(key)
    for n in range(300):
        value = "".join(WORDS.choices(string.ascii_letters + string.digits, k=12 + n % 60))
        redactor.text(f'password = "{value}"')
    seen = load_seen(key)
    text = (Path(__file__).read_text() * 100)[:100_000]
    began = time.process_time()
    assert not seen.holds(text)
    assert time.process_time() - began < 2.0
