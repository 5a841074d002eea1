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
    ("DB_PASSWORD={}", "YgvYkSGamKgGSgZk"),
    ("sshpass -p {} ssh root@10.1.1.1", "x9kQ2mfLpa"),
    ("SSHPASS={} scp a b:", "x9kQ2mfLpa7d"),
    ('password = (\n    "{}"\n)', "S5TpvtwMxy1WViMPnhga"),
    ('$p = ConvertTo-SecureString "{}" -AsPlainText -Force', SHORT),
    ('gh secret set DEPLOY_KEY --body "{}"', TOKEN),
    ('sql.Open("mysql", "app:{}@tcp(db:3306)/shop")', SHORT),
    ("jdbc:oracle:thin:app/{}@db:1521:x", SHORT),
    ("sqlplus app/{}@db", SHORT),
    ("sqlcmd -S h -U sa -P {}", SHORT),
    ("zip -P {} a.zip b", SHORT),
    ("smbclient //h/s -U me%{}", SHORT),
    ("smtp_password {}", "h6GtLN0deruroBh8mK"),
    ("nmcli d wifi connect home password {}", SHORT),
    ("echo {} | sudo -S ls", SHORT),
    ('printf "{}" | docker secret create db_password -', SHORT),
    ('proxy_set_header Authorization "Bearer {}";', TOKEN),
    ('pw = "{}"', SHORT),
    ('client.login("{}")', "MT" + "A1NTk3NzY4NDQ1Njc4OTAx.GgWXfj." + TOKEN + "Zk"),
    ('HfApi("{}")', "hf" + "_YuKSTASFaupEuCyGIFMLmepHtpyTRaohAq"),
    ("my token is {}, why 401?", "hf" + "_YuKSTASFaupEuCyGIFMLmepHtpyTRaohAq"),
    ("TOKEN: {}", "glpat-" + "ddiSyjt74tATInXshauQ"),
    ('password: "{}"', "LfQVG0iS6Hc7xLKu.SjP"),
    ('password: "{}"', "-vuUyV05E&e63Dr9uH%U"),
    ("aws_secret_access_key = {}", "/Ki7pzfpqnO3zk1hcSWBH2V7NBeOuleoVNPHBd4e"),
    ("SECRET_KEY={}", "b8d330feaaaac258d32c1bb0dc290106c9981904c09d0da8a25c23e98fde4fcc"),
    ("db.example:6543:app:me:{}", SHORT),
    ("*:*:*:me:{}", SHORT),
    ("password: >-\n  {}\n", SHORT),
    ("keytool -genkey -storepass {}", SHORT),
    ("requirepass {}\n", "ALDgxkhOFosZYG9uVqv8ExVu"),
    ("Das Passwort lautet: {}", "kLoaz48FcB9Q88"),
    ('send "{}\\r"', SHORT),
    ('Fernet(b"{}")', "8vPcGpKnG8Od6LwpZA6m78USOI8SL0_qywfyRLH1aME="),
    (
        ".dockerconfigjson: {}",
        "eyJhdXRocyI6" + "IHsiZ2hjci5pbyI6IHsiYXV0aCI6ICJkVG8wWjBWT1FYTkpjbk5FIn19fQ==",
    ),
    (
        "Public-Lines: 1\nAAAA\nPrivate-Lines: 1\n{}\n",
        "4yZCAqZcBhfAIGx4yZCAqZcBhfAIGx4yZCAqZcBhfAIGx4y=",
    ),
    ("SECRET_KEY = '{}'", "django-insecure-u*+cqif!$(w1#_s3r@kq+9xb@+6x+r@rwg=a$3mj4$w6!&s7"),
]
KEPT = [
    'tokenizer = "Qwen/Qwen2.5-Coder-7B-Instruct"',
    'tokenizer_name="bert-base-uncased-v1"',
    'PASSWORD_HASHER = "pbkdf2_sha256_v1"',
    'tokens_file = "tokens_2024-01-01.json"',
    'password_reset_template = "emails/reset-password-v2.html"',
    "sk-learn-contrib-compat-2024-release-notes-1",
    "hf_" + "x" * 34,
    "HF_TOKEN=hf_YOURHUGGINGFACETOKENGOESHEREPLEASE",
    "hf_AbCdEfGhIjKlMnOpQrStUvWxYzAbCdEfGh",
    "hf_automodelforcausallanguagemodelling(name)",
    "sk_live_YOUR_KEY_HERE",
    "sk_live_YourStripeSecretKeyGoesHere",
    "glpat-xxxxxxxxxxxxxxxxxxxx",
    "glpat-your-personal-access-token",
    'password = (\n    "please choose another one"\n)',
    "ConvertTo-SecureString $env:DB_PASSWORD -AsPlainText",
    "gh secret set DEPLOY_KEY --body $DEPLOY_KEY",
    "gh secret set DEPLOY_KEY --body-file key.txt",
    'sql.Open("mysql", "app:"+password+"@tcp(db:3306)/shop")',
    'sql.Open("mysql", "app:password@tcp(db:3306)/shop")',
    "scp -P 222222 a b:",
    "echo installed | sudo -S ls",
    "bypass: Qwen3OmniMoeConvNeXtBlock",
    "the password ResetPasswordConfirmationEmail",
    'proxy_set_header Authorization "Bearer $token";',
    "requirepass changeme",
    'send "yes\\r"',
    "trespass Qx7",
    "Fernet(key)",
    "12:5434:a:b:production",
    "mkdir /MTE1/abc.defghi.klm",
]


@pytest.mark.parametrize(("frame", "secret"), MISSED)
def test_what_was_missed_is_found(frame: str, secret: str) -> None:
    out = REDACTOR.text(frame.format(secret))
    assert "[REDACTED:" in out
    assert not remains(secret, out)


@pytest.mark.parametrize("text", KEPT)
def test_what_was_taken_for_a_secret_stays(text: str) -> None:
    assert REDACTOR.text(text) == text
