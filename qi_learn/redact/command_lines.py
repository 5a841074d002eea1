"""Passwords on command lines, in headers and in the files of logins.

`curl -u me:password`, `mysql -ppassword`, `Authorization: Basic ...`, netrc, a line of pgpass:
places that are known by what stands around them rather than by a name with `=`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from qi_learn.redact.letter_pairs import is_jumbled
from qi_learn.redact.literals import is_basic_auth, is_key, is_password, is_random, is_reference

Find = Callable[[str, int], tuple[int, int] | None]

_LINE = 400
_USER = re.compile(
    r"\s[\"']?(?:-u|-U|-a|--user|--proxy-user|--auth)(?:[ =]\s{0,3}|)\\{0,4}[\"']?"
    r"(?P<user>[^\s:%\"'\\$]{1,100})[:%](?P<secret>[^\s\"'\\]{4,200})"
)
_SHORT = re.compile(
    r"\s[\"']?-(?:p|a|w|P|pw)(?:[ =]\s{0,3}|[\"'],\s{0,3}(?=[\"'])|)\\{0,4}"
    r"(?P<quote>[\"']?)(?P<secret>[^\s\"'\\]{6,200})(?P=quote)"
)
_SHORT_BEFORE = re.compile(
    r"\b(?:mysql\w*|mariadb\w*|login|sshpass|twine|redis-cli|mongo\w*|htpasswd|azcopy|7z|zip|smbclient"
    r"|ldap\w+|rabbitmqctl|cqlsh|influx|http|https|psql|sqlcmd|oc|skopeo|crane|helm"
    r"|mosquitto_(?:pub|sub|rr)|bcp|isql|osql|unzip|plink|pscp)\b"
)
_OPENSSL = re.compile(r"\s-k\s{1,3}(?P<quote>[\"']?)(?P<secret>[^\s\"'\\]{6,200})(?P=quote)", re.I)
_OPENSSL_BEFORE = re.compile(r"\bopenssl\s+(?:enc|aes|des|camellia|aria|chacha)\b")
_FREERDP = re.compile(r"\s/p:(?P<quote>[\"']?)(?P<secret>[^\s\"']{6,200})(?P=quote)")
_FREERDP_BEFORE = re.compile(r"\b(?:[xws]l?freerdp\d?|sdl-freerdp|mstsc|vncviewer)\b")
# the share may hold what `_unescaped` has blanked, as the `n` of `\\nas`
_NET_USE = re.compile(
    r"net\s{1,3}use\s{1,3}(?:[A-Za-z*]:?\s{1,3})?[\"']?"
    r"\\(?:\S|[ ][\n\t\r])[^\s\"']{2,160}[\"']?\s{1,3}"
    r"(?:/u(?:ser)?:\S{1,100}\s{1,3})?(?P<secret>[^\s/*]\S{5,200})"
)
_NET_USER = re.compile(r"net\s{1,3}user\s{1,3}[^\s/]{1,60}\s{1,3}(?P<secret>[^\s/*]\S{5,200})")
_SSM = re.compile(
    r"put-parameter(?=(?:[^\n]|\\\n){0,600}SecureString)"
    r"(?:[^\n]|\\\n){0,400}?\s--value(?:[ =]\s{0,3})"
    r"(?P<quote>[\"']?)(?P<secret>[^\s\"']{6,400})(?P=quote)",
)
_HEADER = re.compile(
    r"authorization\\{0,8}[\"']?\]?(?:\s{0,3}(?:[:=,]|=>)|[ \t])\s{0,3}[bfr$@]?\\{0,8}[\"'`]?"
    r"(?P<scheme>Basic|Bearer|Token|ApiKey|Api-Key|Key|GenieKey|SSWS|Bot|Splunk|OAuth)"
    r"(?:\s{1,3}|%20)(?P<secret>[A-Za-z0-9+/=_.~:-]{8,4000}+)",
    re.I,
)
_BASIC = re.compile(r"basic\s+(?P<secret>[A-Za-z0-9+/]{12,400}+={0,2})", re.I)
_AUTH = re.compile(
    r"_?auth(?:\\{0,4}\"\s{0,4}:|\s{0,4}=)\s{0,4}(?:\\{0,4}[\"'])?(?P<secret>[A-Za-z0-9+/]{8,400}+={0,2})"
)
_COOKIE = re.compile(
    r"(?i:cookie)\\{0,4}[\"']?\s{0,3}[:=]\s{0,3}\\{0,4}[\"']?(?P<all>[^\n\"']{8,1000})"
)
_COOKIES = re.compile(
    r"(?i:cookies)\\{0,4}[\"']?\s{0,3}[:=]\s{0,3}(?:dict\()?[{(](?P<all>[^{}\n]{8,1000})"
)
_PAIR_OF_ALL = re.compile(
    r"[\"']?(?P<name>[A-Za-z0-9_.-]{1,60})\\{0,4}[\"']?\s{0,3}[:=]\s{0,3}\\{0,4}[\"']"
    r"(?P<secret>[A-Za-z0-9%+/_.~=-]{16,1000})\\{0,4}[\"']"
)
_CRUMB = re.compile(r"(?P<name>[A-Za-z0-9_.-]{1,60})=(?P<secret>[A-Za-z0-9%+/_.~=-]{16,1000})")
_SESSION = re.compile(r"sess|sid|auth|aspnet|identity|token|jwt|login|remember|csrf", re.I)
_NETRC = re.compile(
    r"login\s+\S{1,100}\s+(?:account\s+\S{1,100}\s+)?password\s+[\"']?(?P<secret>[^\s\"']{6,200})"
)
_IDENTIFIED = re.compile(
    r"identified\s+by\s+(?:password\s+)?[\"'](?P<secret>[^\"'\n]{6,200})", re.I
)
_PGPASS = re.compile(
    r":(?:\d{2,5}|\*):[^\s:]{1,60}:[^\s:]{1,60}:(?P<secret>[^\s:\"']{8,100})(?=\s|$)"
)
_PORTS = tuple(f":{port}:" for port in (*range(5431, 5440), 3306, 6432, 6543, 25060, 26257, "*"))
_SEND = re.compile(r"send \"(?P<secret>[^\s\"\\]{8,100})(?:\\{1,8}r| ?\r)\"")
_HERE = re.compile(r"<<<\s{0,3}[\"'](?P<secret>[^\"'\n]{8,400})[\"']")
_STDIN = re.compile(
    r"(?:echo|printf)\s+(?:-n\s+|[\"']%s[^\"'%]{0,4}[\"']\s+)?(?P<quote>[\"']?)(?P<secret>[^\s\"'|]{8,200})(?P=quote)"
    r"\s{0,3}\|[^\n|]{0,80}(?:--?password-stdin|sudo\s+-S|secret\s+create|--stdin|chpasswd"
    r"|secrets?\s+(?:put|set)|env\s+add|variable\s+set)"
)
_SECURE_STRING = re.compile(
    r"convertto-securestring\s+(?:-string\s+)?[\"'](?P<secret>[^\"'\n]{6,200})[\"']", re.I
)
_SECRET_SET = re.compile(
    r"(?:secret|variable)\s+set\s[^\n]{0,120}?\s(?:--body|-b|--value)(?:[ =]\s{0,3}|)"
    r"(?P<quote>[\"']?)(?P<secret>[^\s\"']{6,400})(?P=quote)"
)
_ORACLE = re.compile(
    r"(?:oracle:(?:thin|oci8?):|sqlplus\s+(?:-\w+\s+){0,4})[\w$#.]{1,60}/(?P<secret>[^\s@\"'/]{4,100})"
    r"(?=@|\s|$)"
)
_BEFORE_NETWORK = re.compile(r"[\w.$-]{1,60}:(?P<secret>[^\s:\"'`]{4,100})\Z")
_PAIR = re.compile(
    r"(?:usernamepasswordcredentials|auth\s{0,3}[=:]\s{0,3}|basicauth|networkcredential|httpbasicauth"
    r"|passwordauthentication|setbasicauth|basic_auth)\s{0,3}[(\[]\s{0,3}"
    r"[\"'][^\"'\n]{1,100}[\"']\s{0,3},\s{0,3}[\"'](?P<secret>[^\"'\n]{6,200})[\"']",
    re.I,
)
_USERPWD = re.compile(r"userpwd\s{0,3},\s{0,3}\"[^\":\n]{1,100}:(?P<secret>[^\"\n]{6,200})\"", re.I)
_HTPASSWD = re.compile(
    r"htpasswd\s+(?:-\w+\s+){0,4}\S{1,100}\s+[\w.@-]{1,60}\s+[\"']?(?P<secret>[^\s\"']{6,100})"
)


def _at(pattern: re.Pattern[str], counts: Callable[[str], bool]) -> Find:
    def find(text: str, at: int) -> tuple[int, int] | None:
        match = pattern.match(text, at)
        return match.span("secret") if match and counts(match["secret"]) else None

    return find


def _password(secret: str) -> bool:
    return is_password(secret, quoted=False)


def _random(secret: str) -> bool:
    return is_jumbled(secret) and is_password(secret, quoted=True)


def _quoted_password(secret: str) -> bool:
    return is_password(secret, quoted=True)


def _short(text: str, at: int) -> tuple[int, int] | None:
    match = _SHORT.match(text, at)
    if match is None or not _password(match["secret"]):
        return None
    return match.span("secret") if _SHORT_BEFORE.search(_line_before(text, at)) else None


def _behind(tool: re.Pattern[str], pattern: re.Pattern[str]) -> Find:
    """An option that holds a password for this tool alone."""

    def find(text: str, at: int) -> tuple[int, int] | None:
        match = pattern.match(text, at)
        if match is None or not _password(match["secret"]):
            return None
        return match.span("secret") if tool.search(_line_before(text, at)) else None

    return find


def _line_before(text: str, at: int) -> str:
    return text[max(text.rfind("\n", max(0, at - _LINE), at) + 1, at - _LINE, 0) : at]


def _before_network(text: str, at: int) -> tuple[int, int] | None:
    """The password of Go's `user:password@tcp(host)`, which stands before the needle."""
    match = _BEFORE_NETWORK.search(text, max(0, at - _LINE // 2), at)
    return match.span("secret") if match and _password(match["secret"]) else None


def _header(text: str, at: int) -> tuple[int, int] | None:
    match = _HEADER.match(text, at)
    if match is None or is_reference(match["secret"]):
        return None
    secret = match["secret"]
    known = is_basic_auth(secret) if match["scheme"].lower() == "basic" else is_random(secret)
    return match.span("secret") if known or is_key(secret, quoted=True) else None


def _cookie(text: str, at: int) -> tuple[int, int] | None:
    """The first value of a cookie that says who is logged in."""
    for whole, one in ((_COOKIE, _CRUMB), (_COOKIES, _PAIR_OF_ALL)):
        if match := whole.match(text, at):
            for crumb in one.finditer(text, match.start("all"), match.end("all")):
                if _SESSION.search(crumb["name"]) and is_key(crumb["secret"], quoted=False):
                    return crumb.span("secret")
    return None


RULES: tuple[tuple[str, tuple[str, ...], Find], ...] = (
    (
        "login",
        (" -u", " '-u", ' "-u', " --user", " --proxy-user", " -a", " --auth"),
        _at(_USER, _password),
    ),
    ("login", (" -p", " -a", " -w", " '-p", ' "-p'), _short),
    ("login", (" -k ",), _behind(_OPENSSL_BEFORE, _OPENSSL)),
    ("login", (" /p:",), _behind(_FREERDP_BEFORE, _FREERDP)),
    ("login", ("net use ",), _at(_NET_USE, _password)),
    ("login", ("net user ",), _at(_NET_USER, _password)),
    ("assigned", ("put-parameter",), _at(_SSM, _quoted_password)),
    ("assigned", ("authorization",), _header),
    ("login", ("basic ",), _at(_BASIC, is_basic_auth)),
    ("login", ('auth":', 'auth" :', 'auth\\":', "_auth=", "_auth ="), _at(_AUTH, is_basic_auth)),
    ("cookie", ("cookie",), _cookie),
    ("login", ("login",), _at(_NETRC, _password)),
    ("login", ("identified",), _at(_IDENTIFIED, _quoted_password)),
    ("login", _PORTS, _at(_PGPASS, _password)),
    ("login", ('send "',), _at(_SEND, _random)),
    ("login", ("<<<",), _at(_HERE, _quoted_password)),
    ("login", ("echo ", "printf "), _at(_STDIN, _quoted_password)),
    ("login", ("convertto-securestring",), _at(_SECURE_STRING, _quoted_password)),
    ("login", ("secret set ",), _at(_SECRET_SET, _quoted_password)),
    ("login", ("oracle:thin:", "oracle:oci", "sqlplus "), _at(_ORACLE, _password)),
    ("login", ("@tcp(", "@unix("), _before_network),
    (
        "login",
        ("usernamepass", "auth=", "auth =", "auth:", "basicauth", "networkcred", "basic_auth"),
        _at(_PAIR, _quoted_password),
    ),
    ("login", ("userpwd",), _at(_USERPWD, _quoted_password)),
    ("login", ("htpasswd",), _at(_HTPASSWD, _password)),
)
"""Kind, needles in lower case, and what looks from there."""
