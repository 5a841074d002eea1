"""Secrets as generators make them, a few hundred of each kind: how many of them are missed.

A single example says little: what a rule takes for words, one random text in twenty has by chance.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable

import pytest

from qi_learn.redact import Redactor
from qi_learn.redact.letter_pairs import is_jumbled, likeness_to_words

REDACTOR = Redactor(b"k" * 32)
LETTERS = string.ascii_letters
ALNUM = LETTERS + string.digits
SIGNS = ALNUM + "!@#%^&*-_."
EACH = 400
MOST_MISSED = 6
"""Of 400."""


def _of(count: int, characters: str = ALNUM) -> Callable[[random.Random], str]:
    return lambda chance: "".join(chance.choices(characters, k=count))


KINDS: dict[str, tuple[str, str, Callable[[random.Random], str]]] = {
    "hf_": ('login("{}")', "hf" + "_", _of(34, LETTERS)),
    "hf_ in prose": ("my token is {}, why 401?", "hf" + "_", _of(34, LETTERS)),
    "glpat-": ("TOKEN: {}", "glp" + "at-", _of(20, ALNUM + "_-")),
    "sk_live_": ("{}", "sk_" + "live_", _of(24)),
    "hvs.": ("{}", "hv" + "s.", _of(24)),
    "AWS secret": ("aws_secret_access_key = {}", "", _of(40, ALNUM + "+/")),
    "20 with signs": ('password: "{}"', "", _of(20, SIGNS)),
    "16 in a shell": ("DB_PASSWORD={}", "", _of(16)),
    "16 letters": ("DB_PASSWORD={}", "", _of(16, LETTERS)),
    "hex": ("SECRET_KEY={}", "", _of(64, "0123456789abcdef")),
    "14 on a command line": ("sshpass -p {} ssh root@h", "", _of(14)),
    "url-safe": ('SECRET_KEY = "{}"', "", _of(43, ALNUM + "_-")),
}


@pytest.mark.parametrize("kind", KINDS)
def test_next_to_none_of_a_kind_is_missed(kind: str) -> None:
    frame, prefix, make = KINDS[kind]
    chance = random.Random(kind)
    secrets = [prefix + make(chance) for _ in range(EACH)]
    missed = [secret for secret in secrets if secret in REDACTOR.text(frame.format(secret))]
    assert len(missed) <= MOST_MISSED, missed


def test_most_passwords_of_ten_characters_are_found_on_a_command_line() -> None:
    chance = random.Random(10)
    secrets = ["".join(chance.choices(ALNUM, k=10)) for _ in range(EACH)]
    missed = [s for s in secrets if s in REDACTOR.text(f"mysql -u root -p{s} shop")]
    assert len(missed) <= EACH / 10, missed


def test_names_of_code_read_as_words() -> None:
    names = {name for name in dir(random) + dir(string) + dir(pytest) if len(name) >= 8}
    assert len(names) > 100
    assert [name for name in names if is_jumbled(name)] == []
    assert likeness_to_words("customer_order_line") > 10 > -10 > likeness_to_words("kLoQxFZw93aB")
