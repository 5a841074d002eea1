"""May this text be learned? The target score of contracts 6, and the text it is about.

The text is the settled final version, or if nothing was placed, the answer itself, if it was rated.
No answer is never an example, and unknown is not success: what was not seen adds nothing.
"""

from __future__ import annotations

import codeop
import warnings
from dataclasses import dataclass
from textwrap import dedent

from qi_learn.code_text import parses
from qi_learn.fates import BAD_RATING, KEPT_SIMILARITY
from qi_learn.records import Feedback, Outcome, Suggestion
from qi_learn.syntax import has_error, language_of

SETTLED, COMMITTED, COMPILES, TESTS, GIVEN = 0.5, 0.2, 0.15, 0.15, 0.2
TESTS_FAIL, TAKEN_BACK = -0.4, -0.5
KEPT_RATING = 4
NOT_PARSED = "what stands in the file does not parse, though what was suggested did"


@dataclass(frozen=True, slots=True)
class TargetScore:
    """The score (None if there is nothing to learn), the text, and why, one sentence a step."""

    score: float | None
    text: str | None
    reasons: tuple[str, ...]


def score_target(
    answer: str,
    suggestions: tuple[Suggestion, ...],
    feedback: Feedback,
    outcome: Outcome,
    suggestion_score: float | None,
) -> TargetScore:
    """The target score of a turn.

    `suggestion_score` is taken if nothing that was placed is left and the answer was rated. Without
    an answer there is no example, however it was rated.
    """
    settled = [
        s
        for s in suggestions
        if s.state == "settled" and s.placed_at is not None and s.final_text is not None
    ]
    if feedback.mark == "ignore":
        return TargetScore(None, None, ("you marked it as one to ignore",))
    if any(s.state == "placed" for s in suggestions):
        return TargetScore(
            None, None, ("a suggestion is in a file and may still change: not settled",)
        )
    if feedback.correction:
        return _settled(feedback.correction, settled, feedback, outcome)
    if broken := [reason for s in settled if (reason := _broken(s))]:
        return TargetScore(None, None, tuple(broken))
    if unwanted := _unwanted(settled, feedback):
        return TargetScore(None, None, (unwanted,))
    if settled:
        return _settled("\n".join(s.final_text or "" for s in settled), settled, feedback, outcome)
    if not answer.strip():
        return TargetScore(None, None, ("there is no answer: nothing to learn",))
    placed = any(s.placed_at is not None for s in suggestions)
    fate = "what was placed in a file is gone" if placed else "nothing was placed in a file"
    marked = feedback.mark == "kept"
    if (feedback.rating is None and not marked) or suggestion_score is None:
        return TargetScore(None, None, (f"{fate}, and nothing was rated: unknown",))
    said = "marked as kept" if marked else f"rated {feedback.rating} of 5"
    rated = f"{said}: the answer itself, with its suggestion score"
    return TargetScore(suggestion_score, answer, (f"{fate}; {rated}",))


def _unwanted(settled: list[Suggestion], feedback: Feedback) -> str:
    """The reason why what stands there is not to be learned; empty if none.

    The person rejected the answer, and it stands there as it was suggested: what they made of it
    would be another matter.
    """
    rated = feedback.rating is not None and feedback.rating <= BAD_RATING
    rejected = feedback.mark == "rejected" or (feedback.mark is None and rated)
    if not rejected or any((s.similarity or 0.0) < KEPT_SIMILARITY for s in settled):
        return ""
    return "you rejected it, and it stands there as it was suggested" if settled else ""


def _broken(suggestion: Suggestion) -> str:
    """The reason why what stands in the place of a block of code is no example; empty if none.

    A line taken out of a block need not parse by itself, but what begins and does not end never
    does, and what parsed as it was suggested should.
    """
    if suggestion.start <= 0 or suggestion.old is not None or not suggestion.final_text:
        return ""  # a completion, or a tool's argument: its neighbours are the person's
    language = language_of(suggestion.language, suggestion.file)
    if language not in (None, "python"):
        return _broken_in(language, suggestion.text, suggestion.final_text)
    if suggestion.language is None and not (suggestion.file or "").endswith((".py", ".pyi")):
        return ""  # nothing says what language it is
    final = dedent(suggestion.final_text)
    if parses(final, suggestion.language) is not False:
        return ""
    if parses(dedent(suggestion.text), suggestion.language):
        return NOT_PARSED
    return "what stands in the file breaks off: it does not parse" if _breaks_off(final) else ""


def _broken_in(language: str | None, suggested: str, final: str) -> str:
    """The same in a language with a grammar: only a text is compared that parsed by itself."""
    broken = has_error(dedent(final), language) and has_error(dedent(suggested), language) is False
    return NOT_PARSED if broken else ""


def _breaks_off(code: str) -> bool:
    """Whether the code parses as far as it goes, and is not at its end."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return codeop.compile_command(code.rstrip(), symbol="exec") is None
    except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError):
        return False


def _settled(
    text: str, settled: list[Suggestion], feedback: Feedback, outcome: Outcome
) -> TargetScore:
    kept = (
        feedback.rating is not None
        and feedback.rating >= KEPT_RATING
        and feedback.modified is False
    )
    steps = [
        (SETTLED, True, "settled" if settled else "a correction was given"),
        (COMMITTED, bool(settled) and all(s.commit for s in settled), "committed"),
        (COMPILES, outcome.compiles is True, "compiles"),
        (TESTS, outcome.tests_pass is True, "tests pass"),
        (GIVEN, bool(feedback.correction), "given as a correction"),
        (
            GIVEN,
            kept and not feedback.correction,
            f"rated {feedback.rating} of 5 and kept as it was",
        ),
        (TESTS_FAIL, outcome.tests_pass is False, "tests fail"),
        (TAKEN_BACK, any(s.reverted for s in settled), "reverted"),
        (
            TAKEN_BACK,
            outcome.bug_introduced is True and not any(s.reverted for s in settled),
            "blamed for a bug",
        ),
    ]
    score = sum(value for value, holds, _ in steps if holds)
    reasons = tuple(f"{value:+.2f} {reason}" for value, holds, reason in steps if holds)
    return TargetScore(round(min(1.0, max(0.0, score)), 6), text, reasons)
