"""The answer to a routed request: the name that was asked for is put back.

That is the value of `model`, at the top or in the `message` or `response` of a typed stream, and
the served name wherever an error's text says it, in any of the forms in which Ollama writes names
(`registry.ollama.ai/library/qi-agent:v1.1.0 does not support tools`). Nothing else is changed: what
a model wrote may hold the name too, and stays.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache

from qi_learn.errors import ServerError
from qi_learn.gateway.rewrite import STRING_START, decode_value, expect
from qi_learn.gateway.routes import normalise
from qi_learn.outside.ollama_names import parse_name

NAME, WORDS = "a name", "words of an error, which may hold the name"
Places = Mapping[str, object]
_ERROR: Places = {"message": WORDS}
PLACES: Places = {
    "model": NAME,
    "message": {"model": NAME},
    "response": {"model": NAME, "error": _ERROR},
    "error": _ERROR,
}
"""Where the objects of an answer name their model. An `error` or `message` that is a text is an
error's own words (`/api/chat`; the typed error of `/v1/responses`).
"""
_DATA = b"data:"
_WORDS_THEMSELVES = ("error", "message")
Change = tuple[int, int, str]


class NameRestorer:
    """Puts the asked name back into an answer, in place of the name that was sent."""

    def __init__(self, asked: str, sent: str) -> None:
        self._asked = json.dumps(asked, ensure_ascii=False)
        served = json.dumps(sent).encode()
        self._fields = (b'"model":' + served, b'"model": ' + served)
        """The field as Go writes it, and as Python does."""
        self._value = len(served)
        self._asked_value = self._asked.encode("utf-8", "surrogatepass")
        self.sent = sent
        self._key = normalise(sent)
        self._marks, self._written = _forms(sent)
        self._held: list[bytes] = []
        self._event: list[bytes] = []
        """Lines of an event whose data goes on: its object is not whole yet."""
        self._open = 0
        """Braces that they open and do not close."""

    def whole(self, answer: bytes) -> bytes:
        """A whole JSON answer with the asked name."""
        return self._restored(answer)

    def feed(self, data: bytes) -> bytes:
        """What may go on now, given more of a stream of lines (NDJSON or server-sent events).

        An unfinished line waits, as its reader would, and an event whose data stands on several.
        """
        if b"\n" not in data:  # joined only once the line is whole: a long one has many pieces
            self._held.append(data)
            return b""
        held = b"".join((*self._held, data))
        end = held.rfind(b"\n") + 1
        self._held = [held[end:]] if end < len(held) else []
        return b"".join(map(self._line, held[:end].splitlines(keepends=True)))

    def rest(self) -> bytes:
        """What is left when the stream ends."""
        held, self._held = b"".join(self._held), []
        return self._whole_event(held) if self._event else self._restored(held)

    def _line(self, line: bytes) -> bytes:
        """What goes on with a line of a stream."""
        self._open = self._open + _open_braces(line) if line.startswith(_DATA) else 0
        if self._open:
            self._event.append(line)
            return b""
        return self._whole_event(line) if self._event else self._restored(line)

    def _whole_event(self, last: bytes) -> bytes:
        """The lines of the event that waited, restored as the one object that its data is."""
        lines, self._event = [*self._event, last], []
        read = (
            line.replace(_DATA, b" " * len(_DATA), 1) if line.startswith(_DATA) else line
            for line in lines
        )
        return self._restored(b"".join(lines), b"".join(read))

    def _restored(self, line: bytes, read: bytes | None = None) -> bytes:
        """A line with the asked name; `read`: what stands there for a reader, byte for byte."""
        read = line if read is None else read
        start = read.find(b"{")
        if start < 0 or not (names := read.lower().count(self._marks)):
            return line
        for field in self._fields if names == 1 else ():
            at = read.find(field)
            if at >= 0 and read.count(b"{", 0, at) == 1:
                # nearly every line: one name, in the outermost object
                end = at + len(field)
                return line[: end - self._value] + self._asked_value + line[end:]
        changes = sorted(self._changes(read.decode("utf-8", "surrogateescape"), start, PLACES))
        text = line.decode("utf-8", "surrogateescape") if changes else ""
        for begin, end, new in reversed(changes):
            text = text[:begin] + new + text[end:]
        return text.encode("utf-8", "surrogateescape") if changes else line

    def _changes(self, text: str, at: int, places: Places) -> Iterator[Change]:
        """What is to be exchanged in the object that begins at `at`, as far as it is whole.

        Of several values at one key the first counts.
        """
        seen: set[str] = set()
        try:
            at = expect(text, at, "{")
            while text[at : at + 1] == STRING_START:
                key, at = decode_value(text, at)
                at = expect(text, at, ":")
                place = None if key in seen else places.get(key)
                seen.add(key)
                if isinstance(place, Mapping) and text[at : at + 1] == "{":
                    yield from self._changes(text, at, place)
                value, end = decode_value(text, at)
                if isinstance(value, str):
                    yield from self._change(text, at, end, value, _kind(place, key))
                at = expect(text, end, ",")
        except (ValueError, RecursionError):
            return  # the end of the object, or a text that is none

    def _change(self, text: str, at: int, end: int, value: str, kind: object) -> Iterator[Change]:
        if kind is NAME and normalise(value) == self._key:
            yield at, end, self._asked
        elif kind is WORDS:
            raw = text[at:end]
            restored = self._written.sub(lambda _: self._asked[1:-1], raw)
            if restored != raw:
                yield at, end, restored


def _open_braces(line: bytes) -> int:
    """How many more braces are opened than closed outside of texts: not 0 if an object goes on.

    No text goes on in another line.
    """
    bare = line.replace(rb"\\", b"").replace(rb"\"", b"").split(b'"')[::2]
    return sum(part.count(b"{") - part.count(b"}") for part in bare)


def _kind(place: object, key: str) -> object:
    """What a text at a place is."""
    return WORDS if isinstance(place, Mapping) and key in _WORDS_THEMSELVES else place


@lru_cache(maxsize=64)
def _forms(sent: str) -> tuple[bytes, re.Pattern[str]]:
    """What every text that names a model holds (in lower case), and the forms of its name."""
    try:
        name = parse_name(sent)
    except ServerError:
        return sent.lower().encode(), re.compile(re.escape(sent), re.IGNORECASE)
    tags = [f":{name.tag}", *([""] if name.tag == "latest" else [])]
    models = (f"{name.host}/{name.namespace}/{name.model}", f"{name.namespace}/{name.model}")
    short = [str(name).rpartition(":")[0]]
    forms = [re.escape(model + tag) for tag in tags for model in (*models, *short)]
    bounded = rf"(?<![\w./:-])(?:{'|'.join(forms)})(?![\w:-]|\.\w)"
    return name.model.lower().encode(), re.compile(bounded, re.IGNORECASE)
