"""Model names and digests are read as Ollama reads them."""

from __future__ import annotations

import pytest

from qi_learn.errors import ServerError
from qi_learn.outside.ollama_names import check_digest, parse_name

NO_NAMES = [
    "",
    ":",
    "a:",
    ":b",
    "a b",
    "../etc",
    "a/../b",
    "a:../b",
    "/a",
    "a/b/c/d",
    "https://m",
    "https://me/m",
    ".a",
    "a:" + "x" * 81,
    "a\n",
    "a?b",
    "a#b",
    "m.n/x/../y",
    "é",
]


@pytest.mark.parametrize(
    ("text", "short", "manifest"),
    [
        ("qi-agent", "qi-agent:latest", "registry.ollama.ai/library/qi-agent/latest"),
        ("qi-agent:v1.1.0", "qi-agent:v1.1.0", "registry.ollama.ai/library/qi-agent/v1.1.0"),
        ("me/Model:x", "me/Model:x", "registry.ollama.ai/me/Model/x"),
        (
            "registry.ollama.ai/library/qi-agent",
            "qi-agent:latest",
            "registry.ollama.ai/library/qi-agent/latest",
        ),
        (
            "https://registry.ollama.ai/library/qi-agent:v1.1.0",
            "qi-agent:v1.1.0",
            "registry.ollama.ai/library/qi-agent/v1.1.0",
        ),
        ("http://localhost:5000/me/m", "localhost:5000/me/m:latest", "localhost:5000/me/m/latest"),
        ("hf.co/me/m", "hf.co/me/m:latest", "hf.co/me/m/latest"),
        ("localhost:5000/me/m", "localhost:5000/me/m:latest", "localhost:5000/me/m/latest"),
    ],
)
def test_names_are_read_as_ollama_does(text: str, short: str, manifest: str) -> None:
    assert str(parse_name(text)) == short
    assert str(parse_name(text).manifest) == manifest
    assert parse_name(text).full == ":".join(manifest.rsplit("/", 1))
    assert parse_name(text.upper()).key == parse_name(short).key


@pytest.mark.parametrize("text", NO_NAMES)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(ServerError, match="not a model name"):
        parse_name(text)


@pytest.mark.parametrize(
    "digest",
    ["", "sha256:", "xyz", "0" * 63, "0" * 65, "A" * 64, "../" + "0" * 61, "sha256-" + "0" * 64],
)
def test_what_is_no_digest_is_refused(digest: str) -> None:
    with pytest.raises(ServerError, match="not a sha256"):
        check_digest(digest)
