"""Model names and digests, as Ollama reads them.

A name is `[host/][namespace/]model[:tag]`, with `registry.ollama.ai/library/` and `:latest`
understood. It is checked before any URL or path is made of it, so that no name can climb out of a
model store. Names compare without regard to case.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from qi_learn.errors import ServerError
from qi_learn.record_class import dataclass

HOST, NAMESPACE, TAG = "registry.ollama.ai", "library", "latest"
_PART = r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,79}"
_NAMESPACE = r"[A-Za-z0-9_][A-Za-z0-9_\-]{0,79}"
_HOST = r"[A-Za-z0-9_][A-Za-z0-9_.\-:]{0,349}"
_DIGEST = r"[0-9a-f]{64}"


@dataclass(frozen=True, slots=True)
class ModelName:
    """A complete name. `str()` is its short form with the tag: `qi-agent:v1.1.0`."""

    host: str
    namespace: str
    model: str
    tag: str

    def __str__(self) -> str:
        short = f"{self.model}:{self.tag}"
        if self.host != HOST:
            return f"{self.host}/{self.namespace}/{short}"
        return short if self.namespace == NAMESPACE else f"{self.namespace}/{short}"

    @property
    def full(self) -> str:
        """The name with nothing left out: `registry.ollama.ai/library/qi-agent:v1.1.0`."""
        return f"{self.host}/{self.namespace}/{self.model}:{self.tag}"

    @property
    def key(self) -> str:
        """The same for two names of one model."""
        return self.full.lower()

    @property
    def manifest(self) -> PurePosixPath:
        """Where a model store keeps it, below `manifests/`."""
        return PurePosixPath(self.host, self.namespace, self.model, self.tag)

    def tagged(self, tag: str) -> ModelName:
        """The same model under another tag.

        Raises ServerError for a tag that Ollama would refuse.
        """
        return parse_name(str(ModelName(self.host, self.namespace, self.model, tag)))


def read_name(text: str) -> ModelName | None:
    """The name that a text means, complete; None if Ollama would refuse it."""
    path, colon, tag = text.rpartition(":")
    if not colon or "/" in tag:
        path, tag = text, TAG
    parts = path.rsplit("/", 2)
    host, namespace, model = [*(HOST, NAMESPACE)[: 3 - len(parts)], *parts]
    if "://" in host:  # Ollama does without the scheme, whatever it is
        host = host.partition("://")[2] or HOST
    if not (
        re.fullmatch(_HOST, host)
        and re.fullmatch(_NAMESPACE, namespace)
        and re.fullmatch(_PART, model)
        and re.fullmatch(_PART, tag)
    ):
        return None
    return ModelName(host, namespace, model, tag)


def parse_name(text: str) -> ModelName:
    """The name that a text means, complete. Raises ServerError if Ollama would refuse it."""
    name = read_name(text)
    if name is None:
        raise ServerError(
            f"{text!r} is not a model name.",
            "A name looks like `qi-agent:latest`: at most 80 letters, digits, `_`, `-` or `.`.",
            status=400,
        )
    return name


def check_digest(digest: str) -> str:
    """The 64 hexadecimal digits of a sha256, with or without `sha256:` in front.

    Raises ServerError for anything else.
    """
    digits = digest.removeprefix("sha256:")
    if not re.fullmatch(_DIGEST, digits):
        raise ServerError(
            f"{digest!r} is not a sha256 digest.",
            "It must be 64 lower-case hexadecimal digits.",
            status=400,
        )
    return digits
