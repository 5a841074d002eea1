"""Every kind of keeping and not keeping, each a program that plays it and says what is true.

The words are those of contracts 5: rejected only with a positive sign, superseded if another
suggestion stands in its place, unknown for all that nobody could tell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from scripts.benchmarks.labelling import styles
from scripts.benchmarks.labelling.dialects import BY_NAME, completion
from scripts.benchmarks.labelling.likeness import likeness
from scripts.benchmarks.labelling.play import NotPlayed, Play, Truth

HALF_LIKE = (0.5, 0.97)
"""Between these a text is an edited one; nearer to either end nobody could be sure."""


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


def _edited(play: Play, suggested: str, stands: str) -> None:
    """Raises NotPlayed if what stands is no edit of what was suggested."""
    least, most = HALF_LIKE
    if not least <= likeness(suggested, stands, play.sample.language) <= most:
        raise NotPlayed


def _other_names(play: Play, count: int = 2) -> str:
    sample = play.sample
    text = styles.renamed(sample.new, sample.language, sample.called, play.chance, count)
    _edited(play, text, sample.new)
    return text


def _with(play: Play, function: str) -> str:
    """The file with another text of the function."""
    return play.sample.after.replace(play.sample.new, function, 1)


def _another(play: Play) -> str:
    """Another function under the name of this one: written anew, by nobody's suggestion."""
    sample = play.sample
    text = styles.reindent(sample.spare, play.margin)
    text = text.replace(sample.spare_called, sample.called)
    if likeness(text, sample.new, sample.language) > 0.35:
        raise NotPlayed
    return text


# --- kept -----------------------------------------------------------------------------------------


def kept(play: Play) -> Truth:
    turn = play.ask()
    play.take(turn)
    play.work()
    play.settle()
    return play.kept(turn)


def committed(play: Play) -> Truth:
    turn = play.ask()
    play.take(turn)
    play.repo.commit()
    play.settle()
    return play.kept(turn)


def restyled(play: Play) -> Truth:
    """The file has it as its formatter writes it, at the first save."""
    code = _restyled(play)
    turn = play.ask(code)
    play.take(turn)
    play.settle()
    return play.kept(turn)


def formatted_later(play: Play) -> Truth:
    code = _restyled(play)
    turn = play.ask(code)
    play.take(turn, _with(play, code))
    play.repo.save(play.sample.path, play.sample.after, after=2.0)
    play.repo.commit()
    play.settle()
    return play.kept(turn)


def _restyled(play: Play) -> str:
    sample = play.sample
    code = styles.restyled(sample.new, sample.language)
    if code == sample.new or likeness(code, sample.new, sample.language) < 0.999:
        raise NotPlayed
    return code


def dedented(play: Play) -> Truth:
    """A method, shown without its class."""
    if not play.margin:
        raise NotPlayed
    turn = play.ask(styles.reindent(play.sample.new, ""), after=play.sample.after)
    play.take(turn)
    play.settle()
    return play.kept(turn)


def carriage_returns(play: Play) -> Truth:
    sample = play.sample
    play.repo.save(sample.path, sample.before.replace("\n", "\r\n"))
    turn = play.ask()
    play.take(turn, sample.after.replace("\n", "\r\n"))
    play.settle()
    return play.kept(turn)


def amended(play: Play) -> Truth:
    turn = play.ask()
    play.take(turn)
    play.repo.commit()
    play.repo.move_head("commit", "-q", "--amend", "-m", "Said better")
    play.settle()
    return play.kept(turn)


def stashed_and_popped(play: Play) -> Truth:
    turn = play.ask()
    play.take(turn)
    play.repo.git("stash")
    play.repo.until_text(play.sample.path, play.sample.before)
    play.home.wait(60.0)
    play.repo.git("stash", "pop")
    play.repo.until_text(play.sample.path, play.sample.after)
    play.repo.commit()
    play.settle()
    return play.kept(turn)


def squashed(play: Play) -> Truth:
    repo = play.repo
    repo.move_head("checkout", "-q", "-b", "topic")
    turn = play.ask()
    play.take(turn)
    repo.commit()
    repo.move_head("checkout", "-q", "main")
    repo.git("merge", "-q", "--squash", "topic")
    repo.commit("Squashed")
    play.settle()
    return play.kept(turn)


def file_renamed(play: Play) -> Truth:
    turn = play.ask()
    play.take(turn)
    play.repo.commit()
    end = play.sample.path.rsplit(".", 1)[-1]
    play.repo.git("mv", play.sample.path, f"moved_later.{end}")
    play.repo.commit("Move it")
    play.settle()
    return play.kept(turn)


def undone_and_redone(play: Play) -> Truth:
    turn = play.ask()
    play.take(turn)
    play.repo.save(play.sample.path, play.sample.before, after=20.0)
    play.repo.save(play.sample.path, play.sample.after, after=20.0)
    play.settle()
    return play.kept(turn)


def revert_reverted(play: Play) -> Truth:
    turn = play.ask()
    play.take(turn)
    play.repo.commit()
    play.repo.move_head("revert", "--no-edit", "HEAD")
    play.home.wait(60.0)
    play.repo.move_head("revert", "--no-edit", "HEAD")
    play.settle()
    return play.kept(turn)


def to_another_file(play: Play) -> Truth:
    """Pasted where nobody asked for it."""
    end = play.sample.path.rsplit(".", 1)[-1]
    code = styles.reindent(play.sample.new, "")
    turn = play.ask(code, after=play.sample.after)
    play.take(turn, f"{play.sample.spare}\n\n{code}", file=f"elsewhere.{end}")
    play.settle()
    return play.kept(turn, code)


def second_copy(play: Play) -> Truth:
    """Pasted in two files, and taken out of the first."""
    end = play.sample.path.rsplit(".", 1)[-1]
    code = styles.reindent(play.sample.new, "")
    turn = play.ask(code, after=play.sample.after)
    play.take(turn, f"{play.sample.spare}\n\n{code}", file=f"first.{end}")
    play.repo.save(f"second.{end}", code, after=30.0)
    play.repo.save(f"first.{end}", play.sample.spare, after=30.0)
    play.settle()
    return play.kept(turn, code)


def with_imports(play: Play) -> Truth:
    """The block's import goes to the file's head, its function below."""
    sample = play.sample
    line, before = _import_of(play)
    turn = play.ask(
        f"{line}\n\n{sample.new}", before=before, after=sample.after, dialect=BY_NAME["block"]
    )
    play.take(turn)
    play.settle()
    code = f"{line}\n{sample.new}"
    return Truth(turn, "kept", (code, f"{line}\n\n{sample.new}"), str(play.repo.root))


def _import_of(play: Play) -> tuple[str, str]:
    """An import that the function needs, and the file before without it."""
    sample = play.sample
    starts = {
        "python": ("import ", "from "),
        "java": ("import ",),
        "rust": ("use ",),
        "typescript": ("import ",),
        "javascript": ("const ",),
    }.get(sample.language, ())
    for line in sample.before.split("\n"):
        names = [w for w in line.replace(";", " ").replace(".", " ").split() if w.isidentifier()]
        whole = line.startswith(starts) and (
            line.endswith((";", ")")) or sample.language in ("python", "typescript")
        )
        if starts and whole and not line.rstrip().endswith(("(", "{", ",")):
            last = names[-1] if names else ""
            if last and last in sample.new and sample.before.count(f"{line}\n") == 1:
                before = sample.before.replace(f"{line}\n", "", 1)
                play.repo.save(sample.path, before)
                return line, before
    raise NotPlayed


def with_elisions(play: Play) -> Truth:
    """Unchanged lines are a remark in the answer, and all there in the file."""
    sample = play.sample
    if sample.fresh:
        raise NotPlayed
    code = styles.elided(sample.old, sample.new, sample.language)
    if code == sample.new:
        raise NotPlayed
    turn = play.ask(code, after=sample.after)
    play.take(turn)
    play.settle()
    # the whole function, or the form in which it was suggested, which leaves out nothing of its own
    return Truth(turn, "kept", (sample.new, code), str(play.repo.root))


def without_usage(play: Play) -> Truth:
    """The block shows also how to call it, and only the function is taken."""
    sample = play.sample
    usage = {"python": "print({0}(1, 2))\n", "go": "fmt.Println({0}(1, 2))\n"}.get(
        sample.language, "{0}(1, 2);\n"
    ).format(sample.called)
    turn = play.ask(f"{sample.new}\n{usage}", after=sample.after)
    play.take(turn)
    play.settle()
    truth = play.taken("edited", turn)
    return Truth(truth.turn, "edited", truth.finals, truth.project, ("kept",))


def after_lunch(play: Play) -> Truth:
    """Nothing happens for more than the window, and then it is pasted."""
    turn = play.ask()
    play.home.wait(2400.0)
    play.take(turn)
    play.settle()
    return play.kept(turn)


def in_other_project(play: Play) -> Truth:
    other = play.home.project("other", {"readme.md": "Other.\n"})
    code = styles.reindent(play.sample.new, "")
    turn = play.ask(code, after=play.sample.after)
    end = play.sample.path.rsplit(".", 1)[-1]
    play.work()
    other.save(f"here.{end}", code)
    play.settle()
    return Truth(turn, "kept", (code,), str(other.root))


def asked_from_nowhere(play: Play) -> Truth:
    turn = play.ask(at="/")
    play.take(turn)
    play.settle()
    return play.kept(turn)


def in_worktree(play: Play) -> Truth:
    """Asked and taken in another working tree of the repository."""
    tree = play.home.root / "tree"
    play.repo.git("worktree", "add", "-q", "-b", "topic", str(tree))
    play.home.rest()
    turn = play.ask(at=tree)
    play.home.wait(20.0)
    (tree / play.sample.path).write_bytes(play.sample.after.encode("utf-8"))
    play.repo.until_text(play.sample.path, play.sample.after, root=tree)
    play.settle()
    return play.kept(turn)


# --- edited ---------------------------------------------------------------------------------------


def other_names_at_first(play: Play) -> Truth:
    code = _other_names(play)
    turn = play.ask(code)
    play.take(turn)
    play.settle()
    return play.taken("edited", turn)


def other_names_later(play: Play) -> Truth:
    code = _other_names(play)
    turn = play.ask(code)
    play.take(turn, _with(play, code))
    play.repo.save(play.sample.path, play.sample.after, after=120.0)
    play.repo.commit()
    play.settle()
    return play.taken("edited", turn)


def with_hints(play: Play) -> Truth:
    code = styles.without_hints(play.sample.new)
    _edited(play, code, play.sample.new)
    turn = play.ask(code, after=_with(play, code))
    play.take(turn)
    play.settle()
    return play.taken("edited", turn)


def from_memory(play: Play) -> Truth:
    """Typed with other names and without a line."""
    sample = play.sample
    code = styles.renamed(sample.new, sample.language, sample.called, play.chance, 3)
    lines = code.split("\n")
    middle = len(lines) // 2
    code = "\n".join([*lines[:middle], lines[middle - 1], *lines[middle:]])
    least, most = 0.7, 0.95
    if not least <= likeness(code, sample.new, sample.language) <= most:
        raise NotPlayed
    turn = play.ask(code, after=sample.after)
    half = sample.after.index(sample.new) + len(sample.new) // 2
    play.repo.save(sample.path, sample.after[:half], after=60.0)
    play.take(turn)
    play.settle()
    return play.taken("edited", turn)


def one_of_two(play: Play) -> Truth:
    sample = play.sample
    spare = styles.reindent(sample.spare, play.margin)
    code = play.chance.choice((f"{sample.new}\n{spare}", f"{spare}\n{sample.new}"))
    turn = play.ask(code, after=sample.after)
    play.take(turn)
    play.settle()
    return play.taken("edited", turn)


def half(play: Play) -> Truth:
    sample = play.sample
    code = styles.halved(sample.new, sample.language)
    if sample.fresh is False or not 0.3 <= likeness(code, sample.new, sample.language) <= 0.9:
        raise NotPlayed
    turn = play.ask()
    play.take(turn, _with(play, code))
    play.settle()
    return play.taken("edited", turn, code, _with(play, code))


# --- rejected -------------------------------------------------------------------------------------


def undone(play: Play) -> Truth:
    turn = play.ask()
    play.take(turn)
    play.repo.save(play.sample.path, play.sample.before, after=60.0)
    play.pass_time()
    return Truth(turn, "rejected", project=str(play.repo.root))


def restored(play: Play) -> Truth:
    """`git checkout -- FILE`."""
    turn = play.ask()
    play.take(turn)
    play.home.wait(60.0)
    play.repo.git("checkout", "-q", "--", play.sample.path)
    play.repo.until_text(play.sample.path, play.sample.before)
    play.pass_time()
    return Truth(turn, "rejected", project=str(play.repo.root))


def rewritten(play: Play) -> Truth:
    """In its place stands something else, by the person: the correction."""
    other = _another(play)
    turn = play.ask()
    play.take(turn)
    play.repo.save(play.sample.path, _with(play, other), after=240.0)
    play.repo.commit()
    play.settle()
    return Truth(turn, "rejected", project=str(play.repo.root))


def reverted(play: Play) -> Truth:
    turn = play.ask()
    play.take(turn)
    play.repo.commit()
    play.home.wait(120.0)
    play.repo.move_head("revert", "--no-edit", "HEAD")
    play.settle()
    return Truth(turn, "rejected", project=str(play.repo.root))


def reset(play: Play) -> Truth:
    turn = play.ask()
    play.take(turn)
    play.repo.commit()
    play.home.wait(120.0)
    play.repo.move_head("reset", "-q", "--hard", "HEAD~1")
    play.settle()
    return Truth(turn, "rejected", project=str(play.repo.root))


def declined(play: Play) -> Truth:
    turn = play.ask()
    play.home.wait(8.0)
    play.say(turn, "declined")
    play.work()
    play.pass_time()
    return Truth(turn, "rejected")


def rated_low(play: Play) -> Truth:
    turn = play.ask()
    play.home.rate(turn, 1)
    play.work()
    play.pass_time()
    return Truth(turn, "rejected")


# --- superseded -----------------------------------------------------------------------------------


def another_taken(play: Play) -> Truth:
    """Of two answers that say almost the same the second was pasted."""
    first = play.ask(_other_names(play))
    second = play.ask()
    play.take(second)
    play.settle()
    play.pass_time()
    return Truth(first, "superseded", allowed=("unknown",))


def replaced_by_another(play: Play) -> Truth:
    """Pasted, and a second answer pasted over it."""
    other = _other_names(play)
    first = play.ask()
    play.take(first)
    second = play.ask(other, before=play.sample.after, after=_with(play, other))
    play.take(second, _with(play, other))
    play.settle()
    play.pass_time()
    return Truth(first, "superseded", project=str(play.repo.root))


# --- unknown --------------------------------------------------------------------------------------


def passed_by(play: Play) -> Truth:
    turn = play.ask()
    play.work(2)
    play.pass_time()
    return Truth(turn, "unknown")


def failed(play: Play) -> Truth:
    """The client could not carry it out."""
    turn = play.ask()
    play.say(turn, "failed")
    play.work()
    play.pass_time()
    return Truth(turn, "unknown")


def rated_high_not_pasted(play: Play) -> Truth:
    turn = play.ask()
    play.home.rate(turn, 5)
    play.work()
    play.pass_time()
    return Truth(turn, "unknown", allowed=("kept",))


def repeats(play: Play) -> Truth:
    """It shows what the file has already, and the file is saved with something else."""
    sample = play.sample
    if sample.fresh:
        raise NotPlayed
    turn = play.ask(sample.old, after=sample.before)
    play.repo.save(sample.path, f"{sample.before}\n{styles.reindent(sample.spare, '')}")
    play.pass_time()
    return Truth(turn, "unknown")


def too_late(play: Play) -> Truth:
    """After more than the window of work."""
    turn = play.ask()
    play.work(9, every=280.0)
    play.take(turn)
    play.settle()
    return Truth(turn, "unknown", allowed=("kept",))


def ignored_file(play: Play) -> Truth:
    """Pasted where git, and so the daemon, does not look."""
    code = styles.reindent(play.sample.new, "")
    play.repo.save(".gitignore", "private/\n")
    turn = play.ask(code, after=play.sample.after)
    play.repo.save("private/own.txt", code, seen=False)
    play.work()
    play.pass_time()
    return Truth(turn, "unknown")


def unregistered(play: Play) -> Truth:
    other = play.home.project("private", {"readme.md": "Mine.\n"}, registered=False)
    code = styles.reindent(play.sample.new, "")
    turn = play.ask(code, after=play.sample.after)
    other.save("own.txt", code, seen=False)
    play.work()
    play.pass_time()
    return Truth(turn, "unknown")


_BOILERPLATE = {
    "python": "import os\nimport sys\nfrom pathlib import Path\nfrom typing import Any\n",
    "typescript": "import fs from 'fs';\nimport path from 'path';\nimport os from 'os';\n",
    "javascript": "const fs = require('fs');\nconst path = require('path');\n"
    "const os = require('os');\n",
    "go": 'import (\n\t"fmt"\n\t"os"\n\t"strings"\n\t"errors"\n)\n',
    "rust": "use std::collections::HashMap;\nuse std::fmt::Debug;\nuse std::io::Read;\n",
    "java": "import java.util.List;\nimport java.util.Map;\nimport java.util.ArrayList;\n",
}
_GETTERS = {
    "python": "    def get_name(self):\n        return self.name\n",
    "typescript": "  getName() {\n    return this.name;\n  }\n",
    "javascript": "  getName() {\n    return this.name;\n  }\n",
    "go": "func (p *Part) Name() string {\n\treturn p.name\n}\n",
    "rust": "    pub fn name(&self) -> &str {\n        &self.name\n    }\n",
    "java": "    public String getName() {\n        return name;\n    }\n",
}


def same_imports(play: Play) -> Truth:
    """The answer was of imports, and the person's own file begins with them."""
    return _everybodys(play, _BOILERPLATE[play.sample.language])


def same_getter(play: Play) -> Truth:
    return _everybodys(play, _GETTERS[play.sample.language])


def _everybodys(play: Play, code: str) -> Truth:
    end = play.sample.path.rsplit(".", 1)[-1]
    turn = play.ask(code, after=code, before="", path=f"fresh.{end}", dialect=BY_NAME["block"])
    play.repo.save(f"own.{end}", f"{code}\n\n{play.sample.spare}", after=200.0)
    play.settle()
    play.pass_time()
    return Truth(turn, "unknown")


# --- completions ----------------------------------------------------------------------------------


def _gap(play: Play) -> tuple[str, str, str]:
    """What stands before the cursor, what is completed, what stands after it."""
    sample = play.sample
    at = sample.after.index(sample.new)
    lines = sample.new.split("\n")
    first = max(1, len(lines) // 3)
    head = "\n".join(lines[:first]) + "\n"
    middle = "\n".join(lines[first:-1])
    margin = middle[: len(middle) - len(middle.lstrip(" \t"))]
    prefix = sample.after[:at] + head + margin
    middle = middle[len(margin) :]
    return prefix, middle, sample.after[len(prefix) + len(middle) :]


def _complete(play: Play, prefix: str, middle: str, suffix: str) -> str:
    raw = play.chance.random() < 0.5
    play.repo.save(play.sample.path, prefix + suffix)
    exchange = completion(prefix, middle, suffix, raw=raw)
    return play.home.ask(exchange, play.repo.root, after=1.0)


def completion_kept(play: Play) -> Truth:
    prefix, middle, suffix = _gap(play)
    turn = _complete(play, prefix, middle, suffix)
    play.repo.save(play.sample.path, play.sample.after, after=5.0)
    play.settle()
    return Truth(turn, "kept", (middle,), str(play.repo.root))


def completion_refused(play: Play) -> Truth:
    """The person types something else at the cursor."""
    prefix, _, suffix = _gap(play)
    other = play.sample.spare.split("\n")
    middle = "\n".join(other[len(other) // 3 : -1]).strip()
    if len(middle) < 40:
        raise NotPlayed
    turn = _complete(play, prefix, middle, suffix)
    play.repo.save(play.sample.path, play.sample.after, after=40.0)
    play.settle()
    play.pass_time()
    return Truth(turn, "rejected", project=None)


def completion_per_key(play: Play) -> Truth:
    """The same completion at two keys, taken once: the first of them."""
    prefix, middle, suffix = _gap(play)
    first = _complete(play, prefix, middle, suffix)
    play.home.ask(completion(prefix, middle, suffix, raw=False), play.repo.root, after=0.4)
    play.repo.save(play.sample.path, play.sample.after, after=5.0)
    play.settle()
    play.pass_time()
    return Truth(first, "superseded", allowed=("unknown",))


KINDS = (
    Kind("kept", kept, "any", 4),
    Kind("committed", committed, "any", 2),
    Kind("formatted at the first save", restyled, "any", 2),
    Kind("formatted later", formatted_later, "any"),
    Kind("a method without its class", dedented, "chat"),
    Kind("carriage returns", carriage_returns, "chat"),
    Kind("amended", amended, "any"),
    Kind("stashed and popped", stashed_and_popped, "any"),
    Kind("squashed", squashed, "any"),
    Kind("file renamed", file_renamed, "any"),
    Kind("undone and redone", undone_and_redone, "any"),
    Kind("revert reverted", revert_reverted, "any"),
    Kind("to another file", to_another_file, "chat"),
    Kind("second copy stays", second_copy, "chat"),
    Kind("imports to the head", with_imports, "chat", languages=IMPORTING),
    Kind("with elisions", with_elisions, "chat"),
    Kind("without its usage", without_usage, "chat"),
    Kind("after lunch", after_lunch, "chat"),
    Kind("in another project", in_other_project, "chat"),
    Kind("asked from nowhere", asked_from_nowhere, "any"),
    Kind("in a worktree", in_worktree, "chat"),
    Kind("renamed before the save", other_names_at_first, "chat", 2),
    Kind("renamed later", other_names_later, "any", 2),
    Kind("hints added", with_hints, "chat", 2, languages=("python",)),
    Kind("from memory", from_memory, "chat"),
    Kind("one of two functions", one_of_two, "chat", 2),
    Kind("half", half, "chat"),
    Kind("undone", undone, "any", 2),
    Kind("restored by git", restored, "any"),
    Kind("rewritten", rewritten, "part", 2),  # a whole file with one function rewritten is edited
    Kind("reverted", reverted, "any"),
    Kind("reset", reset, "any"),
    Kind("declined", declined, "edit", 2),
    Kind("rated low", rated_low, "any"),
    Kind("another taken", another_taken, "chat"),
    Kind("replaced by another", replaced_by_another, "any"),
    Kind("passed by", passed_by, "any", 2),
    Kind("failed", failed, "edit"),
    Kind("rated high, not pasted", rated_high_not_pasted, "chat"),
    Kind("repeats what is there", repeats, "chat"),
    Kind("too late", too_late, "chat"),
    Kind("ignored file", ignored_file, "chat"),
    Kind("unregistered directory", unregistered, "chat"),
    Kind("imports that everybody has", same_imports, "chat", 1, True),
    Kind("a getter that everybody has", same_getter, "chat", 1, True),
    Kind("completion kept", completion_kept, "completion", 2),
    Kind("completion refused", completion_refused, "completion", 2),
    Kind("completion at every key", completion_per_key, "completion"),
)
