"""Kinds of keeping: what was suggested stands, wherever it went and however it is written."""

from __future__ import annotations

from scripts.benchmarks.labelling import styles
from scripts.benchmarks.labelling.dialects import BY_NAME
from scripts.benchmarks.labelling.likeness import likeness
from scripts.benchmarks.labelling.other_texts import with_function
from scripts.benchmarks.labelling.play import NotPlayed, Play, Truth


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
    play.take(turn, with_function(play, code))
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
    play.repo.until_text(play.sample.path, play.sample.before, root=tree)
    turn = play.ask(at=tree)
    play.home.wait(20.0)
    (tree / play.sample.path).write_bytes(play.sample.after.encode("utf-8"))
    play.repo.until_text(play.sample.path, play.sample.after, root=tree)
    play.settle()
    return play.kept(turn)
