"""Synthetic values for the contexts of `tests/redact/contexts`: nothing real, nothing stored.

Each kind is put together at run time from pieces and a seed, in the form that the service or tool
documents, so that no scanner of a forge takes this repository for a leak.
"""

from __future__ import annotations

import base64
import json
import random
import string
import uuid
from collections.abc import Callable

ALNUM = string.ascii_letters + string.digits
B64 = ALNUM + "+/"
URLSAFE = ALNUM + "-_"
HEX = "0123456789abcdef"
WORDS = ("never", "shown", "maple", "orbit", "to", "model", "kettle", "granite", "window", "seven")


def value(kind: str, rng: random.Random) -> str:
    """A value of the kind; `digits3` and `hex40` are that many characters."""
    if kind in MAKERS:
        return MAKERS[kind](rng)
    name = kind.rstrip(string.digits)
    return chars(rng, {"digits": string.digits, "hex": HEX}[name], int(kind[len(name) :]))


def is_filler(kind: str) -> bool:
    """Whether a value of the kind is no secret, in whatever context."""
    return kind.startswith("digits")


def chars(rng: random.Random, alphabet: str, count: int) -> str:
    return "".join(rng.choices(alphabet, k=count))


def mixed(rng: random.Random, alphabet: str, count: int, digits: int = 2) -> str:
    """Characters of the alphabet with upper case, lower case and at least so many digits."""
    while True:
        text = chars(rng, alphabet, count)
        if (
            sum(c.isdigit() for c in text) >= digits
            and any(c.isupper() for c in text)
            and any(c.islower() for c in text)
            and text[0].isalpha()
            and text[-1].isalnum()
        ):
            return text


def _with(rng: random.Random, signs: str, count: int) -> str:
    """A password with at least two of the signs in its middle."""
    text = list(mixed(rng, ALNUM, count))
    for at in rng.sample(range(2, count - 2), 3):
        text[at] = rng.choice(signs)
    return "".join(text)


def _b64(rng: random.Random, count: int) -> str:
    return base64.b64encode(rng.randbytes(count)).decode()


def _encoded(rng: random.Random, what: str) -> str:
    lines = "\n".join([f"-----BEGIN {what}-----", *_pem_lines(rng), f"-----END {what}-----", ""])
    return base64.b64encode(lines.encode()).decode()


def _pem_lines(rng: random.Random) -> list[str]:
    return [chars(rng, B64, 64) for _ in range(12)] + [chars(rng, B64, 26) + "=="]


def _pem(begin: str, end: str, joint: str) -> Callable[[random.Random], str]:
    return lambda rng: joint.join(f"{begin}{line}{end}" for line in _pem_lines(rng))


def _numbered(rng: random.Random) -> str:
    return "\n".join(f"{i:6}\t{line}" for i, line in enumerate(_pem_lines(rng), 2))


def _after(prefix: str, alphabet: str, count: int) -> Callable[[random.Random], str]:
    return lambda rng: prefix + mixed(rng, alphabet, count, 3)


def _hex_after(prefix: str, count: int) -> Callable[[random.Random], str]:
    return lambda rng: prefix + chars(rng, HEX, count)


def _jwt(rng: random.Random) -> str:
    head, body = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
        for part in ({"alg": "HS256", "typ": "JWT"}, {"sub": str(rng.randrange(10**9))})
    )
    return f"{head}.{body}.{mixed(rng, URLSAFE, 43)}"


MAKERS: dict[str, Callable[[random.Random], str]] = {
    "token": lambda r: mixed(r, ALNUM, r.choice((24, 32, 40)), 3),
    "password": lambda r: mixed(r, ALNUM, r.choice((12, 14, 16))),
    "words": lambda r: "-".join([*r.sample(WORDS, 4), chars(r, string.digits, 2)]),
    "symbols": lambda r: _with(r, "$(){}!^*#", r.choice((14, 16, 18))),
    "caret": lambda r: _with(r, "^", 14),
    "urlslash": lambda r: _with(r, "/", 14),
    "urlat": lambda r: _with(r, "@", 14),
    "django": lambda r: (
        "a" + chars(r, "abcdefghijklmnopqrstuvwxyz0123456789!@#$%^&*(-_=+)", 48) + "7"
    ),
    "aws": lambda r: mixed(r, B64, 40, 1),
    "awsid": lambda r: "AK" + "IA" + chars(r, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16),
    "b64": lambda r: _b64(r, 33),
    "b64key": lambda r: _b64(r, 64),
    "b64long": lambda r: _b64(r, 210),
    "b64key43": lambda r: chars(r, B64, 43),
    "b64sha256": lambda r: _b64(r, 32),
    "b64sha512": lambda r: _b64(r, 64),
    "b64image": lambda r: _b64(r, 300),
    "b64png": lambda r: "iVBORw0KGgo" + _b64(r, 240),
    "basic": lambda r: base64.b64encode(f"user:{mixed(r, ALNUM, 14)}".encode()).decode(),
    "sas": lambda r: _b64(r, 32).replace("+", "%2B").replace("/", "%2F").replace("=", "%3D"),
    "phpsalt": lambda r: mixed(r, ALNUM + "!#%*+,-./:;=?@^_`{|}~ []", 64),
    "b64pem": lambda r: _encoded(r, "RSA PRIVATE KEY"),
    "b64cert": lambda r: _encoded(r, "CERTIFICATE"),
    "uuid": lambda r: str(uuid.UUID(bytes=r.randbytes(16), version=4)),
    "pem": _pem("", "", "\n"),
    "pemescaped": _pem("", "", r"\n"),
    "pemtwice": _pem("", "", r"\\n"),
    "pemindented": _pem("    ", "", "\n"),
    "pemquoted": _pem('        "', '\\n"', "\n"),
    "pemplus": _pem('\t\t"', '\\n" +', "\n"),
    "pemdiff": _pem("+", "", "\n"),
    "pemmail": _pem("> ", "", "\n"),
    "pemnumbered": _numbered,
    "github": _after("gh" + "p_", ALNUM, 36),
    "gitlab": _after("gl" + "pat-", URLSAFE, 20),
    "slack": lambda r: f"xo{'xb'}-{chars(r, string.digits, 12)}-{mixed(r, ALNUM, 24)}",
    "stripe": _after("sk_" + "live_", ALNUM, 24),
    "npm": _after("np" + "m_", ALNUM, 36),
    "pypi": _after("py" + "pi-AgEIcHlwaS5vcmc", URLSAFE, 120),
    "hf": _after("h" + "f_", ALNUM, 34),
    "google": _after("AI" + "za", URLSAFE, 35),
    "gocspx": _after("GOC" + "SPX-", URLSAFE, 28),
    "ya29": _after("ya" + "29.a0", URLSAFE, 120),
    "openai": lambda r: f"s{'k-proj-'}{mixed(r, ALNUM, 74)}T3BlbkFJ{mixed(r, ALNUM, 74)}",
    "anthropic": _after("sk-" + "ant-api03-", URLSAFE, 93),
    "groq": _after("gs" + "k_", ALNUM, 52),
    "xai": _after("xa" + "i-", ALNUM, 80),
    "openrouter": _hex_after("sk-" + "or-v1-", 64),
    "replicate": _after("r" + "8_", ALNUM, 37),
    "perplexity": _after("pp" + "lx-", ALNUM, 48),
    "langsmith": lambda r: f"lsv2{'_pt_'}{chars(r, HEX, 32)}_{chars(r, HEX, 10)}",
    "nvidia": _after("nv" + "api-", URLSAFE, 64),
    "tavily": _after("tv" + "ly-", ALNUM, 32),
    "digitalocean": _hex_after("dop" + "_v1_", 64),
    "vault": _after("hv" + "s.", URLSAFE, 92),
    "databricks": _hex_after("da" + "pi", 32),
    "docker": _after("dc" + "kr_pat_", URLSAFE, 27),
    "age": lambda r: "AGE-" + "SECRET-KEY-1" + chars(r, "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L", 58),
    "tailscale": lambda r: f"tsk{'ey-auth-'}{mixed(r, ALNUM, 17)}-{mixed(r, ALNUM, 32)}",
    "pulumi": _hex_after("pu" + "l-", 40),
    "tfcloud": lambda r: f"{mixed(r, ALNUM, 14)}.atlas{'v1.'}{mixed(r, ALNUM, 67)}",
    "grafana": lambda r: f"gl{'sa_'}{mixed(r, ALNUM, 32)}_{chars(r, HEX, 8)}",
    "newrelic": lambda r: "NR" + "AK-" + chars(r, string.ascii_uppercase + string.digits, 27),
    "planetscale": _after("pscale" + "_tkn_", URLSAFE, 43),
    "supabase": _hex_after("sb" + "p_", 40),
    "shopify": _hex_after("sh" + "pat_", 32),
    "linear": _after("lin" + "_api_", ALNUM, 40),
    "telegram": lambda r: f"{chars(r, '123456789', 10)}:AA{mixed(r, URLSAFE, 33)}",
    "discord": lambda r: f"M{mixed(r, ALNUM, 23)}.{mixed(r, ALNUM, 6)}.{mixed(r, URLSAFE, 38)}",
    "discordhook": _after("", URLSAFE, 68),
    "slackhook": lambda r: (
        f"T{chars(r, string.digits, 8)}/B{chars(r, string.digits, 8)}/{mixed(r, ALNUM, 24)}"
    ),
    "twilio": _hex_after("S" + "K", 32),
    "sendgrid": lambda r: f"S{'G.'}{mixed(r, URLSAFE, 22)}.{mixed(r, URLSAFE, 43)}",
    "mailgun": _hex_after("ke" + "y-", 32),
    "mailchimp": lambda r: f"{chars(r, HEX, 32)}-u{'s'}{r.randrange(1, 22)}",
    "notion": _after("nt" + "n_", ALNUM, 46),
    "figma": _after("fi" + "gd_", URLSAFE, 40),
    "atlassian": _after("AT" + "ATT3xFfGF0", URLSAFE, 172),
    "postman": lambda r: f"PM{'AK-'}{chars(r, HEX, 24)}-{chars(r, HEX, 34)}",
    "square": _after("sq0" + "atp-", URLSAFE, 22),
    "rubygems": _hex_after("ruby" + "gems_", 48),
    "jwt": _jwt,
}
