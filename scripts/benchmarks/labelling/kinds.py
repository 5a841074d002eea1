"""Every kind of keeping and not keeping, each a program that plays it and says what is true.

The words are those of contracts 5: rejected only with a positive sign, superseded if another
suggestion stands in its place, unknown for all that nobody could tell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from scripts.benchmarks.labelling import completions, edited, kept, not_kept, untold
from scripts.benchmarks.labelling.play import Play, Truth

IMPORTING = ("python", "typescript", "javascript", "rust", "java")
"""Languages in which an import is a line of its own."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of change, and the dialects in which it can happen."""

    name: str
    play: Callable[[Play], Truth]
    group: str
    """`any` dialect, `part` for those that do not give the whole file, `chat` for code that is
    pasted by a person, `edit` for tools that say what became of it, `completion`.
    """
    times: int = 1
    """How often it is played for each package."""
    boilerplate: bool = False
    languages: tuple[str, ...] = ()
    """Those in which it can happen; all if there are none."""


KINDS = (
    Kind("kept", kept.kept, "any", 4),
    Kind("committed", kept.committed, "any", 2),
    Kind("formatted at the first save", kept.restyled, "any", 2),
    Kind("formatted later", kept.formatted_later, "any"),
    Kind("a method without its class", kept.dedented, "chat"),
    Kind("carriage returns", kept.carriage_returns, "chat"),
    Kind("amended", kept.amended, "any"),
    Kind("stashed and popped", kept.stashed_and_popped, "any"),
    Kind("squashed", kept.squashed, "any"),
    Kind("file renamed", kept.file_renamed, "any"),
    Kind("undone and redone", kept.undone_and_redone, "any"),
    Kind("revert reverted", kept.revert_reverted, "any"),
    Kind("to another file", kept.to_another_file, "chat"),
    Kind("second copy stays", kept.second_copy, "chat"),
    Kind("imports to the head", kept.with_imports, "chat", languages=IMPORTING),
    Kind("with elisions", kept.with_elisions, "chat"),
    Kind("without its usage", kept.without_usage, "chat"),
    Kind("after lunch", kept.after_lunch, "chat"),
    Kind("in another project", kept.in_other_project, "chat"),
    Kind("asked from nowhere", kept.asked_from_nowhere, "any"),
    Kind("in a worktree", kept.in_worktree, "chat"),
    Kind("renamed before the save", edited.other_names_at_first, "chat", 2),
    Kind("renamed later", edited.other_names_later, "any", 2),
    Kind("hints added", edited.with_hints, "chat", 2, languages=("python",)),
    Kind("from memory", edited.from_memory, "chat"),
    Kind("one of two functions", edited.one_of_two, "chat", 2),
    Kind("half", edited.half, "chat"),
    Kind("undone", not_kept.undone, "any", 2),
    Kind("restored by git", not_kept.restored, "any"),
    Kind(
        "rewritten", not_kept.rewritten, "part", 2
    ),  # a whole file with one function rewritten is edited
    Kind("reverted", not_kept.reverted, "any"),
    Kind("reset", not_kept.reset, "any"),
    Kind("declined", not_kept.declined, "edit", 2),
    Kind("rated low", not_kept.rated_low, "any"),
    Kind("another taken", not_kept.another_taken, "chat"),
    Kind("replaced by another", not_kept.replaced_by_another, "chat"),
    Kind("passed by", untold.passed_by, "any", 2),
    Kind("failed", untold.failed, "edit"),
    Kind("rated high, not pasted", untold.rated_high_not_pasted, "chat"),
    Kind("repeats what is there", untold.repeats, "chat"),
    Kind("too late", untold.too_late, "chat"),
    Kind("ignored file", untold.ignored_file, "chat"),
    Kind("unregistered directory", untold.unregistered, "chat"),
    Kind("imports that everybody has", untold.same_imports, "chat", 1, True),
    Kind("a getter that everybody has", untold.same_getter, "chat", 1, True),
    Kind("completion kept", completions.completion_kept, "completion", 2),
    Kind("completion refused", completions.completion_refused, "completion", 2),
    Kind("completion at every key", completions.completion_per_key, "completion"),
)
