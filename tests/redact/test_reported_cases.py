"""Secrets that were reported as missed, and ordinary text that was taken for one."""

from __future__ import annotations

import pytest

from qi_learn.redact import Redactor
from tests.support.secret_vectors import remains

REDACTOR = Redactor(b"k" * 32)
TOKEN = "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1x"
SHORT = "aB3dE5fG7hJ9kL1m"
MISSED = [
    ('API_KEY: str = "{}"', TOKEN),
    ('const apiKey: string = "{}";', TOKEN),
    ('const API_KEY: &str = "{}";', TOKEN),
    ('const apiKey string = "{}"', TOKEN),
    ('private val apiKey: String = "{}"', TOKEN),
    ('public string ApiKey {{ get; set; }} = "{}";', TOKEN),
    ("Authorization: Basic {}", "YWRtaW46YUIzZEU1Zkc3aEo5a0wxbU4="),
    ("curl -u admin:{} https://x.example", SHORT),
    ('DB_PASS="{}"', SHORT),
    ('password = "{}"', "aB3$dE5fG7(hJ9"),
    ("SECRET_KEY = '{}'", "django-insecure-a3$d&5fg7h#k9m1n3(p5"),
    ("Server=db;Password={};", SHORT),
    ('{{"name":"API_KEY","value":"{}"}}', TOKEN),
    ('os.environ.setdefault("API_KEY", "{}")', TOKEN),
    ("tool --token {}", TOKEN),
    ("machine x login y password {}", SHORT),
    ("{}", "GOC" + "SPX-" + TOKEN[:28]),
    ("{}", "hv" + "s." + TOKEN * 3),
    ("{}", "dop" + "_v1_" + "0123456789abcdef" * 4),
    ("{}", "gs" + "k_" + TOKEN + TOKEN[:21]),
    ("postgres://u:{}@h/x", "aB3/dE5fG7"),
    ("postgres://u:{}@h/x", "aB3@dE5fG7"),
    ('DB_PASSWORD = "{}"', "never-shown-to-a-model-42"),
    ('AWS_KEY = "{}"', "AK" + "IAIOSFODNN7NEVERQZ"),
    ("mysql -p{} shop", SHORT),
    ("mysql --password {}", SHORT),
    (r'{{"output": "{{\"api_key\": \"{}\"}}"}}', TOKEN),
    ("password: {}", "aB3^dE5fG7hJ9"),
]
KEPT = [
    'tokenizer = "Qwen/Qwen2.5-Coder-7B-Instruct"',
    'tokenizer_name="bert-base-uncased-v1"',
    'PASSWORD_HASHER = "pbkdf2_sha256_v1"',
    'tokens_file = "tokens_2024-01-01.json"',
    'password_reset_template = "emails/reset-password-v2.html"',
    "sk-learn-contrib-compat-2024-release-notes-1",
]


@pytest.mark.parametrize(("frame", "secret"), MISSED)
def test_what_was_missed_is_found(frame: str, secret: str) -> None:
    out = REDACTOR.text(frame.format(secret))
    assert "[REDACTED:" in out
    assert not remains(secret, out)


@pytest.mark.parametrize("text", KEPT)
def test_what_was_taken_for_a_secret_stays(text: str) -> None:
    assert REDACTOR.text(text) == text
