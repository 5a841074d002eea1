"""Secrets that are known by their own shape: keys of services, private keys, passwords in URLs.

A rule is tried only where one of its needles stands, and looks at a bounded piece of text from
there: no run of needles makes it slow. The shapes are the services' own. What stands behind a
prefix must read as made at random: `sk-learn-contrib-2024-release-notes` and `hf_YOUR_TOKEN_HERE`
are none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

from qi_learn.redact import base64_texts, command_lines, key_objects, private_keys, urls
from qi_learn.redact.letter_pairs import is_jumbled
from qi_learn.redact.literals import JUDGED, is_example, is_wordy
from qi_learn.redact.spans import Span

Find = Callable[[str, int], tuple[int, int] | None]
NO_DIGIT = -10.0
"""What a token without a digit reads like at most, as `letter_pairs` counts."""
_CHARACTERS = {
    "alnum": "A-Za-z0-9",
    "url": "A-Za-z0-9_-",
    "hex": "0-9a-f",
    "upper": "A-Z0-9",
    "b64": "A-Za-z0-9+/=",
    "dotted": "A-Za-z0-9_.-",
    "b64-url": "A-Za-z0-9_+/=.-",
}


@dataclass(frozen=True, slots=True)
class Rule:
    """How to look where one of the needles (lower case) stands: `find(text, start of needle)`."""

    kind: str
    needles: tuple[str, ...]
    find: Find

    def span(self, text: str, at: int, _end: int) -> Span | None:
        """The secret at a needle, if one is there."""
        found = self.find(text, at)
        return Span(found[0], found[1], self.kind) if found else None


# kind, what it begins with, characters after that, the fewest of them
_PREFIXES = """
github-token ghp_ alnum 36
github-token gho_ alnum 36
github-token ghu_ alnum 36
github-token ghs_ alnum 36
github-token ghr_ alnum 36
github-token github_pat_ url 22
gitlab-token glpat- dotted 20
gitlab-token gldt- url 20
gitlab-token glrt- dotted 20
gitlab-token glptt- url 20
gitlab-token glcbt- url 20
slack-token xoxa- url 10
slack-token xoxb- url 10
slack-token xoxe- url 10
slack-token xoxe. dotted 10
slack-token xoxo- url 10
slack-token xoxp- url 10
slack-token xoxr- url 10
slack-token xoxs- url 10
slack-token xapp- url 20
anthropic-key sk-ant- url 20
openai-key sk- url 32
stripe-key sk_live_ alnum 16
stripe-key sk_test_ alnum 16
stripe-key rk_live_ alnum 16
stripe-key rk_test_ alnum 16
stripe-key whsec_ b64 24
npm-token npm_ alnum 36
pypi-token pypi- url 50
huggingface-token hf_ alnum 30
huggingface-token api_org_ alnum 30
google-key AIza url 35
google-oauth GOCSPX- url 24
google-oauth ya29. url 20
netlify-token nfp_ alnum 36
netlify-token nfc_ alnum 36
netlify-token nfo_ alnum 36
netlify-token nfu_ alnum 36
netlify-token nfb_ alnum 36
groq-key gsk_ alnum 32
xai-key xai- alnum 40
replicate-token r8_ alnum 30
perplexity-key pplx- alnum 32
langsmith-key lsv2_ url 32
nvidia-key nvapi- url 32
tavily-key tvly- url 24
cerebras-key csk- alnum 32
fireworks-key fw_ alnum 22
together-key tgp_v url 32
jina-key jina_ url 32
pinecone-key pcsk_ url 40
elevenlabs-key sk_ hex 40
firecrawl-key fc- hex 32
digitalocean-token dop_v1_ hex 40
digitalocean-token doo_v1_ hex 40
digitalocean-token dor_v1_ hex 40
vault-token hvs. url 20
vault-token hvb. url 20
vault-token hvr. url 20
databricks-token dapi hex 32
docker-token dckr_pat_ url 20
docker-token dckr_oat_ url 20
tailscale-key tskey- url 20
pulumi-token pul- hex 40
grafana-token glsa_ url 32
grafana-token glc_ b64 32
newrelic-key NRAK- upper 27
planetscale-token pscale_ dotted 32
supabase-key sbp_ hex 40
supabase-key sb_secret_ url 20
doppler-token dp.st. dotted 20
doppler-token dp.pt. dotted 20
shopify-token shpat_ hex 32
shopify-token shpca_ hex 32
shopify-token shppa_ hex 32
shopify-token shpss_ hex 32
linear-key lin_api_ alnum 32
linear-key lin_oauth_ alnum 32
notion-token ntn_ alnum 40
figma-token figd_ url 30
figma-token figu_ url 30
atlassian-token ATATT3 b64-url 60
atlassian-token ATCTT3 b64-url 60
atlassian-token ATBB alnum 28
postman-key PMAK- url 50
square-token sq0atp- url 20
square-token sq0csp- url 30
square-token EAAAE url 50
rubygems-key rubygems_ hex 40
crates-token cio alnum 32
nuget-key oy2 alnum 43
sentry-token sntrys_ b64-url 40
sentry-token sntryu_ hex 40
heroku-key HRKU- url 30
onepassword-token ops_eyJ b64-url 60
render-key rnd_ alnum 28
brevo-key xkeysib- url 60
resend-key re_ url 32
artifactory-key AKCp alnum 60
alibaba-key LTAI alnum 17
buildkite-token bkua_ alnum 40
circleci-token CCIPAT_ url 40
readme-key rdme_ alnum 60
typeform-token tfp_ dotted 40
prefect-key pnu_ alnum 36
sourcegraph-token sgp_ url 40
shippo-token shippo_live_ hex 40
shippo-token shippo_test_ hex 40
clojars-token CLOJARS_ hex 60
contentful-token CFPAT- url 40
easypost-key EZAK alnum 54
frameio-token fio-u- url 60
dynatrace-token dt0c01. dotted 80
duffel-token duffel_live_ url 40
infracost-key ico- alnum 32
mapbox-token sk.eyJ dotted 60
fly-token fo1_ url 40
fly-token fm2_ b64 60
neon-key napi_ alnum 50
langfuse-key sk-lf- url 32
airtable-token patx dotted 60
cloudflare-key v1.0- url 100
twilio-key SK hex 32
mailgun-key key- hex 32
aws-session-token FwoGZXIvYXdz b64 60
aws-session-token IQoJb3JpZ2lu b64 60
"""
# The first letters of a bot's number in base64: `MTA` is 10..., `NDg1` begins 485...
_DISCORD = " ".join(
    ["mt" + c for c in "aeimquycgk"]
    + [
        f"{a}{c}{d}"
        for a in (["mj", "mz", "nd", "nt", "nj", "nz", "od", "ot"])
        for c in "aeimquycgk"
        for d in "wxyz012345"
    ]
)
_PATTERNS: tuple[tuple[str, str, str], ...] = (
    ("aws-key", "akia asia abia acca", r"(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}(?![A-Za-z0-9])"),
    ("slack-webhook", "hooks.slack.com", r"hooks\.slack\.com/services/(?P<s>[A-Za-z0-9/]{20,90}+)"),
    (
        "discord-webhook",
        "/api/webhooks/",
        r"/api/webhooks/[0-9]{15,20}/(?P<s>[A-Za-z0-9_-]{50,90}+)",
    ),
    (
        "sendgrid-key",
        "sg.",
        r"SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{16,64}+",
    ),
    (
        "jwt",
        "eyj",
        r"(?<![A-Za-z0-9])eyJ[A-Za-z0-9_-]{10,600}+\.eyJ[A-Za-z0-9_-]{10,8000}+\.[A-Za-z0-9_-]{10,2000}+",
    ),
    (
        "azure-key",
        "accountkey= sharedaccesskey=",
        r"(?i:AccountKey|SharedAccessKey)=(?P<s>[A-Za-z0-9+/]{40,200}={0,2})",
    ),
    ("azure-sas", "sig=", r"sig=(?P<s>[A-Za-z0-9+/%]{40,160}={0,2})(?=[&\s\"'<;]|$)"),
    ("aws-signature", "x-amz-signature=", r"(?i:X-Amz-Signature)=(?P<s>[0-9a-f]{64})"),
    (
        "django-key",
        "django-insecure-",
        r"django-insecure-(?P<s>(?=[a-z_-]{0,48}[0-9!@#$%^&*(=+)])[a-z0-9!@#$%^&*(\-_=+)]{40,60})",
    ),
    (
        "discord-token",
        _DISCORD,
        r"(?<![A-Za-z0-9_-])[MNO][A-Za-z0-9]{22,27}\.[A-Za-z0-9_-]{6,7}\.[A-Za-z0-9_-]{27,50}+",
    ),
    ("login", "eyjhdxrocy", r"eyJhdXRocy[A-Za-z0-9+/]{40,20000}+={0,2}"),
    ("assigned", "fernet(", r"(?i:fernet)\(\s{0,8}b?[\"'](?P<s>[A-Za-z0-9_-]{43}=)"),
    ("age-key", "age-secret-key-1", r"AGE-SECRET-KEY-1[0-9A-Z]{50,70}+"),
    ("mailchimp-key", "-us", r"-us[0-9]{1,2}(?![A-Za-z0-9])"),
    ("terraform-token", ".atlasv1.", r"\.atlasv1\.[A-Za-z0-9_=-]{60,100}+"),
    (
        "telegram-token",
        ":aa",
        r":AA[A-Za-z0-9_-]{32,36}(?![A-Za-z0-9_-])",
    ),
)
# What stands before the needle and belongs to the secret, and the most characters of it.
_BEFORE = {
    "mailchimp-key": (re.compile(r"(?<![0-9a-f])[0-9a-f]{32}\Z"), 33),
    "terraform-token": (re.compile(r"(?<![A-Za-z0-9])[A-Za-z0-9]{14}\Z"), 15),
    "telegram-token": (re.compile(r"(?<![0-9A-Za-z])[0-9]{8,10}\Z"), 11),
}


def _prefixed(prefix: str, charset: str, fewest: int) -> re.Pattern[str]:
    chars = _CHARACTERS[charset]
    end = "(?![A-Za-z0-9])" if charset in ("hex", "alnum", "upper") else ""
    return re.compile(rf"(?<![A-Za-z0-9]){re.escape(prefix)}[{chars}]{{{fewest},}}+{end}")


def _at_random(find: Find, prefix: str) -> Find:
    """What is found unless it reads like a name, or like what stands for a token."""

    def found(text: str, at: int) -> tuple[int, int] | None:
        span = find(text, at)
        if span is None:
            return None
        token = text[span[0] : span[1]]
        if any(map(str.isdigit, token[len(prefix) :])):
            return None if is_wordy(token) else span
        rest = token[len(prefix) : len(prefix) + JUDGED]
        return span if is_jumbled(rest, NO_DIGIT) and not is_example(rest) else None

    return found


def _matching(pattern: re.Pattern[str], before: tuple[re.Pattern[str], int] | None = None) -> Find:
    def find(text: str, at: int) -> tuple[int, int] | None:
        match = pattern.match(text, at)
        if match is None:
            return None
        start, end = match.span("s" if "s" in pattern.groupindex else 0)
        if before is not None:
            head = before[0].search(text[max(0, at - before[1]) : at])
            if head is None:
                return None
            start = at - len(head[0])
        return start, start + len(text[start:end].rstrip("."))

    return find


@cache
def rules() -> tuple[Rule, ...]:
    """Every rule, compiled once."""
    return tuple(_rules())


def _rules() -> Iterator[Rule]:
    for line in _PREFIXES.split("\n"):
        if line:
            kind, prefix, charset, fewest = line.split()
            find = _matching(_prefixed(prefix, charset, int(fewest)))
            yield Rule(
                kind, (prefix.lower(),), find if charset == "hex" else _at_random(find, prefix)
            )
    for kind, needles, pattern in _PATTERNS:
        find = _matching(re.compile(pattern), _BEFORE.get(kind))
        yield Rule(kind, tuple(needles.split()), find)
    yield Rule("private-key", ("private key",), private_keys.after_its_head)
    yield Rule("private-key", ("private-lines",), private_keys.of_putty)
    yield Rule("private-key", ("ls0tls1crudjti",), private_keys.in_base64)
    yield Rule("url-password", ("://",), urls.password)
    yield Rule("assigned", base64_texts.NEEDLES, base64_texts.encoded_text)
    for kind, words, find in (*command_lines.RULES, *key_objects.RULES):
        yield Rule(kind, words, find)
