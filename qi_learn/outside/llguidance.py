"""llguidance: which tokens may come next, if the answer is to have a form.

llama.cpp has a grammar reader of its own, but it reads a grammar that has to be written first, and
it ends the process for some of them. llguidance takes the JSON schema itself, and counts what it
spends. What still could end a process or take for ever (see `check_grammar`) is tried before, in a
child process with limits.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from qi_learn.errors import ModelError, ServerError, ToolMissing
from qi_learn.outside.installation import how_to_add
from qi_learn.outside.llama_cpp import Vocabulary
from qi_learn.outside.process import run

if TYPE_CHECKING:
    import numpy as np
    from llguidance import LLMatcher, LLTokenizer
    from numpy.typing import NDArray

CHECK_SECONDS = 30.0
"""How long the child may take; it stops itself earlier, after `CHECK_CPU_SECONDS`."""
CHECK_CPU_SECONDS = 5
CHECK_BYTES = 2 * 1024**3
CHECK_STACK = 4 * 1024 * 1024
"""Stack of the child's check, a quarter of that of the engine's threads (`WORK_STACK`)."""
WORK_STACK = 16 * 1024 * 1024
_WHITE_SPACE = r"( |\n{1,2}[ \t]{0,20})?"
"""Between two parts of an answer, as in llama.cpp's grammars: a model that only writes spaces is
stopped."""


def _package() -> Any:
    try:
        import llguidance
    except ImportError as error:
        raise ToolMissing(
            f"llguidance cannot be loaded: {error}", how_to_add("embedded")
        ) from error
    return llguidance


def grammar_of(schema: Mapping[str, Any]) -> str:
    """The grammar for a JSON schema; what is not known of it is left out of the grammar.

    Raises ServerError (400) for what is no JSON, and ToolMissing.
    """
    options = {"whitespace_pattern": _WHITE_SPACE, "coerce_one_of": True, "lenient": True}
    with _panics_as_errors():
        try:
            made = _package().LLMatcher.grammar_from_json_schema(
                json.dumps(schema), overrides=options
            )
        except ValueError as error:
            raise _refusal(error) from error
    return str(made)


@functools.lru_cache(maxsize=256)
def check_grammar(grammar: str) -> str:
    """Why a grammar cannot be used; empty if it can.

    A process of its own finds out: it has a smaller stack, little memory and few seconds, so what
    it survives is safe here. The verdict is remembered.
    """
    done = run(
        [sys.executable, "-m", "qi_learn.outside.llguidance_check"],
        given=grammar.encode(),
        timeout=CHECK_SECONDS,
    )
    if done.timed_out:
        raise ServerError("the check of this JSON schema took too long", "try again", status=503)
    if done.exit_code == 0:
        return done.text.strip()
    return "it is too large or too intricate"


def refuse_grammar(grammar: str) -> None:
    """Raise ServerError (400) if the grammar cannot be used."""
    if reason := check_grammar(grammar):
        raise _refusal(reason)


def _refusal(reason: object) -> ServerError:
    text = str(reason).split("\n<state>")[0]
    if text.startswith("NoExtension"):
        text = "no finite value is valid under it"
    text = text if len(text) <= 300 else f"{text[:300]}..."
    return ServerError(f"this JSON schema cannot be turned into a grammar: {text}", status=400)


class Forms:
    """What llguidance knows of one vocabulary. It is made once a model."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        package = _package()
        self.size = vocabulary.size
        self._tokenizer: LLTokenizer = package.LLTokenizer(
            package.TokenizerWrapper(_Tokens(vocabulary)),
            n_vocab=vocabulary.size,
            eos_token=vocabulary.ends(),
            slices=package.LLTokenizer.json_slices(),
        )

    def start(self, grammar: str) -> Form:
        """The beginning of an answer in this form. Raises ServerError (400) for a wrong grammar."""
        with _panics_as_errors():
            matcher = _package().LLMatcher(self._tokenizer, grammar, log_level=0)
        if matcher.is_error():
            raise _refusal(matcher.get_error())
        form = Form(matcher, self.size)
        form.allowed()
        return form


class Form:
    """How far an answer has come in its form."""

    def __init__(self, matcher: LLMatcher, size: int) -> None:
        self._matcher = matcher
        self._size = size

    def allowed(self) -> NDArray[np.bool_]:
        """Whether each token may come next. Raises ServerError (400) if none can be told."""
        import numpy as np

        with _panics_as_errors():
            bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        if self._matcher.is_error():
            raise _refusal(self._matcher.get_error())
        return np.unpackbits(bits, bitorder="little")[: self._size].astype(bool)

    def keep(self, token: int) -> None:
        """Go on after a token that was allowed."""
        with _panics_as_errors():
            kept = self._matcher.consume_token(token)
        if not kept:
            raise _refusal(self._matcher.get_error())


class _Tokens:
    """A vocabulary as llguidance asks for it."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.eos_token_id = vocabulary.ends()[0]
        self.bos_token_id = vocabulary.bos if vocabulary.bos >= 0 else None
        self.tokens = vocabulary.pieces(range(vocabulary.size))
        self.special_token_ids = [t for t in range(vocabulary.size) if vocabulary.is_control(t)]
        self._vocabulary = vocabulary

    def __call__(self, text: bytes | str) -> list[int]:
        said = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        return self._vocabulary.tokenize(said, add_special=False, parse_special=False)


@contextmanager
def _panics_as_errors() -> Iterator[None]:
    """Let a failure inside the library, which is no Exception there, come out as one."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise ModelError(f"llguidance failed: {error}", "ask without this format") from error
