"""Whether a name says that what is assigned to it is a secret.

`api_key`, `dbPassword` and `JWT_SECRET_PROD` do; `tokenizer_name`, `PASSWORD_HASHER`, `tokens_file`
and `page_token` do not, though the same word is in them: what a name is about stands at its end.
"""

from __future__ import annotations

import re
from unicodedata import normalize

from qi_learn.redact.literals import is_wordy

_LABELS = """
passwort kennwort wachtwoord contraseña contrasena clave senha palavra-passe hasło haslo heslo
lösenord пароль 密码 密碼 口令 パスワード 비밀번호 şifre parola
"""
_KEY_LABELS = """
токен api-ключ 令牌 密钥 密鑰 トークン apiキー api-schlüssel clé_api clave_api clave_de_api
chiave_api chave_de_api klucz_api
"""


def _in_both_forms(words: str) -> tuple[str, ...]:
    spelled = [word.replace("_", " ") for word in words.split()]
    return tuple(dict.fromkeys(normalize(form, w) for w in spelled for form in ("NFC", "NFD")))


PASSWORDS = (
    *("password", "passwd", "passphrase", "passcode", "pwd", "pass", "psk", "pw"),
    # in other languages, their accents in one character or in two
    *_in_both_forms(_LABELS),
    *("mot de passe", "parola d'ordine", "parola chiave"),
)
_KEY_OF = (
    *("api", "access", "auth", "app", "application", "signing", "sign", "encryption", "encrypt"),
    *("master", "shared", "account", "private", "crypt", "cipher", "jwt", "hmac", "license"),
    *("subscription", "storage", "admin", "service", "consumer", "webhook", "session", "function"),
    *("root", "write", "ingest", "integration", "logged_in", "nonce", "client", "deploy", "secure"),
)
KEYS = (
    *("secret", "token", "bearer", "credential", "auth_salt", "nonce_salt", "logged_in_salt"),
    *(f"{of}{joint}key" for of in _KEY_OF for joint in ("_", "", "-", ".")),
    "api key",
    "access key",
    "client-key-data",
    *("jwt:key", "jwt__key"),
    *_in_both_forms(_KEY_LABELS),
)
_SPLIT = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Words that make a name one about secrets rather than of one.
_ABOUT = _words(
    """
    name names file files filename path paths url uri urls urn type types length len size sizes
    count counts template templates hasher hashers hash hashes hashed algorithm algo policy regex re
    pattern patterns prefix suffix field fields header headers label labels placeholder hint help
    error errors message messages msg version versions model models class classes expiry ttl expires
    expire expiration expired at date endpoint endpoints provider providers store manager ref refs
    reference arn dir directory folder format encoding config settings index column table limit
    limits max min rotation rotate strategy rule rules validator validators validation view views
    page form route action event events digest checksum fingerprint sha md ids list mode scope
    scopes issuer audience lifetime per id identifier kind kinds iterator iter izer ize reset
    required enabled disabled lookup stdin changed updated created on exists valid invalid is has
    needs usage budget bucket cache env var variable param parameter argument arg option options
    attr attribute prop property source resolver factory builder generator parser lexer stream set
    map dict ring pool status state level age ages days hours minutes seconds timeout window
    position offset range pair pairs literal pos span lines cb callback func fn method selector
    title description text_length expression location namespace alias input inputs output outputs
    button dialog screen modal component icon show visible toggle strength score meter confirm_label
    port
    """
)
# Words before `token` that make it a piece of text, a place in a list, or a handle.
_TEXT_TOKENS = _words(
    """
    page next continuation cancel cancellation eos bos pad unk mask sep cls special stop start
    end prompt completion input output max min total num n word text image audio video public
    first last current prev previous string number operator keyword lex parse new per vocab
    placeholder mention sub byte char draft sample sampled reserved added extra resume sync
    cursor position punct fim lookup idempotency
    """
)
# What may be joined to `pass` in its own case: `SSHPASS` is one, `bypass` is none.
_OWNER = re.compile(
    r"(?:\b|_)(?:db|ssh|ftp|smtp|imap|mail|mysql|pg|redis|ldap|root|admin|user|sudo|vnc|rdp|my"
    r"|store|key|trust|require)\Z",
    re.I,
)
_IDENTIFIER = re.compile(r"[A-Za-z]\w*")
_PLAIN_AFTER = frozenset({"key", "s", "data", "value", "val", "string", "str"})


def is_secret_name(text: str, start: int, end: int, tail: str) -> bool:
    """Whether the name with the telling word at start:end and `tail` after it names a secret."""
    word = text[start:end]
    if not _whole_word(text, start, word, tail):
        return False
    pieces = [piece.lower() for piece in _SPLIT.findall(_without_joined(tail))]
    if any(piece in _ABOUT for piece in pieces):
        return False
    if word.lower() == "token" or word.lower() == "credential":
        return _last_word(text, start) not in _TEXT_TOKENS
    return True


def is_of_rendering(text: str, start: int, literal: str) -> bool:
    """Whether the `pass` at `start` is of rendering or compiling: no owner, a name in words.

    `renderPass: "GBuffer_Pass_01"` is; `DB_PASS` and a value with other signs are not.
    """
    owner = _OWNER.search(text[max(0, start - 24) : start].rstrip("_-."))
    return owner is None and _IDENTIFIER.fullmatch(literal) is not None and is_wordy(literal)


def _without_joined(tail: str) -> str:
    """The tail without what belongs to the word itself: `s` in `secrets`, `key` in `secretkey`."""
    joined = re.match("[a-z]+|[A-Z]+(?![a-z])", tail)
    return tail[joined.end() :] if joined else tail


def _whole_word(text: str, start: int, word: str, tail: str) -> bool:
    joined = re.match("[a-z]+" if word[-1].islower() else "[A-Z]+(?![a-z])", tail)
    if joined and joined[0].lower() not in _PLAIN_AFTER:
        return False
    if word.lower() in ("pass", "psk", "pwd", "pw", "sign_key"):
        before = text[start - 1] if start else " "
        if joined:
            return False
        if before.isalpha() and before.islower() == word[0].islower():
            return _OWNER.search(text, max(0, start - 12), start) is not None
    return True


def _last_word(text: str, start: int) -> str:
    """The word of the name that stands before the telling one; none if that begins it."""
    head = text[max(0, start - 24) : start]
    before = re.search(r"([A-Za-z]+)[_\-. ]?\Z", head)
    if before is None:
        return ""
    words = _SPLIT.findall(before[1])
    return words[-1].lower() if words else ""
