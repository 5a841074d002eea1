"""Secrets out: every known shape, literals beside a telling word, and nothing else."""

from __future__ import annotations

import base64
import json
import random
import stat
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qi_learn.errors import StoreError
from qi_learn.records import Message, Turn
from qi_learn.redact import Redactor, find_secrets, has_placeholder, load_redactor, rules

REDACTOR = Redactor(b"k" * 32)
RANDOM = random.Random(7)
WORD = "".join(RANDOM.choices(string.ascii_letters + string.digits, k=64))
HEX = "".join(RANDOM.choices("0123456789abcdef", k=64))


def jwt() -> str:
    parts = [
        base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=").decode()
        for p in ({"alg": "HS256", "typ": "JWT"}, {"sub": "1234567890"})
    ]
    return ".".join([*parts, WORD[:43]])


PEM = (
    "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n"
    + "\n".join([WORD] * 12)
    + "==\n-----END RSA PRIVATE KEY-----\n"
)

# The secrets are put together here, so that no scanner takes this file for a leak.
SECRETS = {
    "aws-key": ["AKIA" + "IOSFODNN7EXAMPLE", "ASIA" + "Y34FZKBOKMUTVV7A"],
    "github-token": [
        "ghp_" + WORD[:36],
        "gho_" + WORD[:36],
        "ghs_" + WORD[:40],
        "github_pat_" + WORD[:22] + "_" + WORD[:59],
    ],
    "gitlab-token": ["glpat-" + WORD[:20]],
    "slack-token": ["xoxb-123456789012-" + WORD[:24], "xoxp-" + "1" * 12 + "-" + WORD[:12]],
    "anthropic-key": ["sk-ant-api03-" + WORD + "AA"],
    "openai-key": ["sk-" + WORD[:48], "sk-proj-" + WORD + "_x"],
    "stripe-key": ["sk_live_" + WORD[:24], "rk_test_" + WORD[:24]],
    "npm-token": ["npm_" + WORD[:36]],
    "pypi-token": ["pypi-" + "AgEIcHlwaS5vcmc" + WORD],
    "huggingface-token": ["hf_" + WORD[:34]],
    "google-key": ["AIza" + WORD[:35]],
    "netlify-token": ["nfp_" + WORD[:36]],
    "sendgrid-key": ["SG." + WORD[:22] + "." + WORD[:43]],
    "jwt": [jwt()],
}
SHAPES = [(kind, secret) for kind, secrets in SECRETS.items() for secret in secrets]


def tags(text: str) -> list[str]:
    return [part.split(":")[1] for part in text.split("[REDACTED")[1:]]


@pytest.mark.parametrize(
    ("kind", "secret"), SHAPES, ids=[f"{kind}-{i}" for i, (kind, _) in enumerate(SHAPES)]
)
@pytest.mark.parametrize(
    "around", ["{}", "key is {}.", 'client("{}")', "x\n{}\ny", "https://host/?k={}&v=1", "'{}',"]
)
def test_a_known_shape_is_taken_out_wherever_it_stands(kind: str, secret: str, around: str) -> None:
    out = REDACTOR.text(around.format(secret))
    before, after = around.split("{}")
    assert tags(out) == [kind]
    assert out.startswith(before)
    assert out.endswith(after)
    assert secret[4:] not in out
    assert has_placeholder(out)


def test_the_kinds_that_were_known_from_the_start_are_known() -> None:
    assert {rule.kind for rule in rules()} >= {
        *SECRETS,
        "private-key",
        "slack-webhook",
        "azure-key",
        "url-password",
    }


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (
            f"key = '''{PEM}'''",
            "key = '''-----BEGIN RSA PRIVATE KEY-----[REDACTED:private-key:TAG]-----END RSA "
            "PRIVATE KEY-----\n'''",
        ),
        (
            json.dumps({"k": PEM}),
            '{"k": "-----BEGIN RSA PRIVATE KEY-----[REDACTED:private-key:TAG]-----END RSA PRIVATE '
            'KEY-----\\n"}',
        ),
        (
            "postgres://app:s3cr3t!x@db:5432/app",
            "postgres://app:[REDACTED:url-password:TAG]@db:5432/app",
        ),
        (
            "git clone https://:abc123xyz@host/r.git",
            "git clone https://:[REDACTED:url-password:TAG]@host/r.git",
        ),
        (
            "https://" + "hooks.slack.com/services/T00000000/B00000000/" + WORD[:24],
            "https://hooks.slack.com/services/[REDACTED:slack-webhook:TAG]",
        ),
        (
            "AccountName=a;AccountKey=" + WORD + WORD[:22] + "==;",
            "AccountName=a;AccountKey=[REDACTED:azure-key:TAG];",
        ),
        (f'API_KEY = "{WORD[:24]}"', 'API_KEY = "[REDACTED:assigned:TAG]"'),
        (f"db_password: '{WORD[10:26]}'  # old", "db_password: '[REDACTED:assigned:TAG]'  # old"),
        (f'{{"clientSecret": "{HEX[:32]}"}}', '{"clientSecret": "[REDACTED:assigned:TAG]"}'),
        (f"const accessToken=`{WORD[:30]}`;", "const accessToken=`[REDACTED:assigned:TAG]`;"),
        (f"export SECRET_TOKEN={WORD[:32]}\n", "export SECRET_TOKEN=[REDACTED:assigned:TAG]\n"),
        (
            f'headers["Authorization"] = "Bearer {WORD[:40]}"',
            'headers["Authorization"] = "Bearer [REDACTED:assigned:TAG]"',
        ),
        (f"auth_key := {HEX[:40]}", "auth_key := [REDACTED:assigned:TAG]"),
    ],
)
def test_what_stands_around_a_secret_stays(text: str, left: str) -> None:
    out = REDACTOR.text(text)
    assert out.replace(out.split("[REDACTED:")[1].split(":")[1].split("]")[0], "TAG") == left


@pytest.mark.parametrize(
    "text",
    [
        "def check(password: str, token: str | None = None) -> bool:\n    return "
        "hmac.compare_digest(password, token)",
        "token = tokenizer.decode(ids[0], skip_special_tokens=True)",
        "self.tokens_per_second_10 = average_tokens_per_second_over_10",
        "password = os.environ['DATABASE_PASSWORD_2024']",
        'password = "changeme"',
        'password = "${DB_PASSWORD_2024_PROD}"',
        'token_url = "https://auth.example.com/oauth2/v1/token"',
        "secret = get_secret_value('projects/123/secrets/name')",
        "postgres://postgres:postgres@localhost/test",
        "https://{user}:{password}@host",
        "http://localhost:8080/a@b",
        "sha256 = '" + HEX + "'",
        "commit " + HEX[:40],
        ".sk-fading-circle .sk-circle-10:before { animation-delay: -0.3s; } "
        ".sk-cube-grid-animation-delay-and-more { }",
        "-----BEGIN PRIVATE KEY----- is how a key begins",
        'MARK = "-----BEGIN RSA PRIVATE KEY-----"',
        "-----BEGIN PUBLIC KEY-----\n" + WORD + "\n-----END PUBLIC KEY-----",
        "eyJhbGciOiJIUzI1NiJ9 alone is no token",
        "A passphrase is a sequence of words used to control access in 2024.",
        "the model makes audio tokens `num_audio_codebooks_8_times_2` in a row",
        "The bearer of 12345678901234567890 may pass",
        "xoxo",
        "",
    ],
)
def test_code_that_only_speaks_of_secrets_stays(text: str) -> None:
    assert REDACTOR.text(text) == text


def test_no_module_of_the_standard_library_loses_more_than_a_literal() -> None:
    """Real code, much of it about passwords and tokens: nothing but test certificates and the like
    may go.
    """
    import getpass
    import secrets
    import smtplib
    import tokenize
    import urllib.request

    for module in (getpass, secrets, smtplib, tokenize, urllib.request, json, random):
        source = Path(str(module.__file__)).read_text(encoding="utf-8")
        assert REDACTOR.text(source) == source


def test_the_same_secret_has_the_same_tag_and_another_key_another() -> None:
    one, two = "ghp_" + WORD[:36], "ghp_" + WORD[1:37]
    first = REDACTOR.text(f"{one} {two} {one}").split()
    assert first[0] == first[2] != first[1]
    assert Redactor(b"j" * 32).text(one) != first[0]


PIECES = [
    *(s for _, s in SHAPES),
    PEM,
    "password = ",
    '"',
    f'"{WORD[:20]}"',
    "api_key: ",
    "\n",
    " ",
    "x",
    "ü",
    "://a:b12@",
]


@given(st.lists(st.sampled_from(PIECES), max_size=12))
def test_redacting_twice_changes_nothing_more(parts: list[str]) -> None:
    once = REDACTOR.text("".join(parts))
    assert REDACTOR.text(once) == once


def test_half_a_character_becomes_one_that_can_be_stored() -> None:
    assert REDACTOR.text("a\ud83db") == "a\ufffdb"
    assert REDACTOR.text("a\U0001f600b") == "a\U0001f600b"


def test_values_are_redacted_through_and_through() -> None:
    secret = "ghp_" + WORD[:36]
    value = {
        "a": [1, None, True, {"b": f"x {secret}"}],
        "env": {"API_TOKEN": WORD[:24], "name": WORD[:24]},
        "\ud83d": 2.5,
    }
    out = REDACTOR.value(value)
    assert WORD[:36] not in json.dumps(out)
    assert out["a"][:3] == [1, None, True]
    assert out["env"]["name"] == WORD[:24]
    assert has_placeholder(out["env"]["API_TOKEN"])
    assert out["\ufffd"] == 2.5
    plain = {"a": ["x", {"b": 1}]}
    assert REDACTOR.value(plain) is plain


def test_a_turn_is_redacted_in_all_its_texts() -> None:
    secret = "AIza" + WORD[:35]
    turn = Turn(
        "T1",
        "/api/chat",
        "m",
        "m",
        (Message("user", f"use {secret}", {"tool_calls": [{"arguments": {"key": secret}}]}),),
        f"ok {secret}",
        1.0,
        2.0,
        answer_extra={"thinking": secret},
        options={"stop": [secret]},
        request={"system": secret},
        context={"files": [secret]},
    )
    out = REDACTOR.clean(turn).value
    assert secret not in repr(out)
    assert repr(out).count("[REDACTED:google-key:") == 7
    clean = Turn("T1", "/api/chat", "m", "m", (Message("user", "use it"),), "ok", 1.0, 2.0)
    assert REDACTOR.clean(clean).value is clean


def test_the_key_is_this_installations_own(tmp_path: Path) -> None:
    place = tmp_path / "data" / "redaction.key"
    one = load_redactor(place)
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    secret = "ghp_" + WORD[:36]
    assert load_redactor(place).text(secret) == one.text(secret)
    assert load_redactor(tmp_path / "other.key").text(secret) != one.text(secret)
    place.write_bytes(b"short")
    with pytest.raises(StoreError, match="damaged"):
        load_redactor(place)
    place.unlink()
    place.mkdir()
    with pytest.raises(StoreError, match="cannot be read"):
        load_redactor(place)


@pytest.mark.parametrize(
    ("kind", "secret"), SHAPES, ids=[f"{kind}-{i}" for i, (kind, _) in enumerate(SHAPES)]
)
def test_what_would_be_taken_out_can_be_looked_for(kind: str, secret: str) -> None:
    assert find_secrets(f"first {secret} and {secret} again") == ((kind, secret),)
    assert find_secrets(REDACTOR.text(f"first {secret}")) == ()


def test_literals_beside_a_word_are_found_too() -> None:
    assert find_secrets(f'password = "{HEX[:20]}"\nname = "{HEX[20:40]}"\n') == (
        ("assigned", HEX[:20]),
    )
    assert find_secrets("nothing of the kind") == ()
