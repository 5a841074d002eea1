"""One `forget` under way, as a file: killed at any step, it is taken up where it was.

The file holds the pattern too, for as long as it is needed; it goes last of all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from qi_learn import codec
from qi_learn.errors import StoreError
from qi_learn.ids import new_id
from qi_learn.paths import Paths, replace_file
from qi_learn.records import ForgetRequest
from qi_learn.store.forget_choice import ForgetChoice


@dataclass(frozen=True, slots=True)
class ForgetJob:
    """What is forgotten, and which steps are done."""

    id: str
    request: ForgetRequest
    meant: tuple[str, ...]
    along: tuple[str, ...]
    messages: tuple[str, ...]
    shared: tuple[str, ...]
    contexts: tuple[int, ...]
    events: tuple[str, ...]
    commands: tuple[str, ...]
    ratings: tuple[str, ...]
    went: Mapping[str, int]
    done: tuple[str, ...] = ()
    spool: tuple[str, ...] = ()
    """Names of the spool's files that hold what is taken in; they have to go."""
    stays: tuple[str, ...] = ()
    """Sentences about what could not be taken away."""

    @property
    def turns(self) -> tuple[str, ...]:
        """Every turn that goes."""
        return (*self.meant, *self.along)

    @property
    def choice(self) -> ForgetChoice:
        """What was chosen, as the store takes it."""
        return ForgetChoice(
            self.meant,
            self.along,
            frozenset(self.messages),
            self.shared,
            self.contexts,
            self.events,
            self.commands,
            self.ratings,
        )

    def with_done(self, step: str) -> ForgetJob:
        """The job with this step behind it."""
        return replace(self, done=(*self.done, step))

    def went_more(self, **more: int) -> ForgetJob:
        """The job with further things that went, by kind."""
        return replace(self, went={**self.went, **{k: n for k, n in more.items() if n}})


def new_job(request: ForgetRequest, choice: ForgetChoice, went: Mapping[str, int]) -> ForgetJob:
    """A job that has not begun."""
    return ForgetJob(
        id=new_id(request.asked),
        request=request,
        meant=choice.meant,
        along=choice.along,
        messages=tuple(sorted(choice.messages)),
        shared=choice.shared,
        contexts=choice.contexts,
        events=choice.events,
        commands=choice.commands,
        ratings=choice.ratings,
        went=went,
    )


def read_job(paths: Paths) -> ForgetJob | None:
    """The job under way, or None. Raises StoreError if its file is damaged."""
    for left in paths.forgetting.parent.glob(f".{paths.forgetting.name}.*.tmp"):
        left.unlink(missing_ok=True)
    try:
        return codec.loads(ForgetJob, paths.forgetting.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{paths.forgetting} cannot be read: {error}",
            "Delete it and ask for the same `qi-learn forget` again.",
        ) from error


def write_job(paths: Paths, job: ForgetJob) -> None:
    """Keep the job."""
    replace_file(paths.forgetting, codec.dumps(job) + "\n")
