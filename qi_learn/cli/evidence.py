"""What was recorded and what it was worth: `rate`, `log`, `run`, `explain`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.exceptions import Exit

from qi_learn.cli.output import (
    FILE,
    absolute,
    echo,
    here,
    last_here,
    open_settings,
    print_json,
    read_input,
    readable_home,
    screen_width,
    with_json,
)
from qi_learn.errors import NotFound, QiError
from qi_learn.paths import Paths
from qi_learn.terminal_text import harmless

TAKEN_IN_SECONDS = 3.0
"""Seconds that `log` waits at most for answers that the daemon is taking in."""


class _Rate(click.Command):
    """`rate`: a number below zero is a rating that is wrong, and no option that is unknown."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        from qi_learn.commands.rate import parse_words

        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if error.option_name[1:].isdigit():
                parse_words([error.option_name])
            raise


@click.command(cls=_Rate)
@click.argument(
    "words",
    nargs=-1,
    required=True,
    metavar="[ID|last] RATING",
    help="Which answer (its id, or the beginning of it; default: the last one of this project), "
    "and 1 (bad) to 5 (good).",
)
@click.option(
    "--correction",
    type=FILE,
    help="A file with what the answer's code should have been; - reads it from the input.",
)
@click.option("--comment", help="A remark, kept with the rating.")
def rate(words: tuple[str, ...], correction: Path | None, comment: str | None) -> None:
    """Rate an answer; works with or without the daemon."""
    from qi_learn.commands import rate as command

    turn, stars = command.parse_words(words)
    text = None if correction is None else read_input(correction)
    echo(
        command.rate(
            readable_home(),
            turn,
            stars,
            correction=text,
            comment=comment,
            directory=here(),
        )
    )


@click.command()
@click.argument(
    "what",
    metavar="ID|last",
    help="Which answer: its id, the beginning of it, or `last`: the last one of this project.",
)
@click.argument(
    "word",
    type=click.Choice(["kept", "edited", "rejected", "ignore"], case_sensitive=False),
    metavar="kept|edited|rejected|ignore",
    help="What became of it. ignore: nothing is to be learned from it, for it or against it.",
)
def mark(what: str, word: str) -> None:
    """Say what became of an answer; it beats whatever was inferred."""
    from qi_learn.commands import rate as command

    echo(command.mark(readable_home(), what, word, directory=here()))  # type: ignore[arg-type]  # one of the words


class _HowMany(click.IntRange):
    """A number from 1 on, with words of our own for what is none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return int(super().convert(value, param, ctx))
        except click.BadParameter:
            self.fail(f"{value!r} is not a whole number from 1 on.", param, ctx)


@click.command()
@click.option("-n", "limit", type=_HowMany(min=1), default=20, help="How many.")
@click.option("-q", "query", help="Only turns whose text contains this.")
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="With -q: in every turn, not in the newest 20000 only.",
)
@click.option("--project", type=FILE, help="Only turns of this project.")
@click.option(
    "--why",
    metavar="ID|last",
    help="Say of this answer how it was found in a file, by which sign its fate is known, and how "
    "sure that is.",
)
@click.option(
    "--event",
    type=FILE,
    help="Take one event (JSON) from this file, or - for the input, into the spool instead of "
    "listing.",
)
@with_json
def log(
    limit: int,
    query: str | None,
    everything: bool,
    project: Path | None,
    why: str | None,
    event: Path | None,
    as_json: bool,
) -> None:
    """List what was recorded, newest first; or take in an event from a hook."""
    if why is not None:
        _say_why(why, as_json=as_json)
    elif event is None:
        _list_turns(limit, query, project, everything=everything, as_json=as_json)
    else:
        _record_event(event, as_json=as_json)


def _list_turns(
    limit: int, query: str | None, project: Path | None, *, everything: bool, as_json: bool
) -> None:
    from qi_learn.daemon.untaken import waiting_answers
    from qi_learn.report import listing
    from qi_learn.workspace.registry import project_of

    paths = readable_home()
    project = None if project is None else absolute(project)
    within = None if project is None else str(project_of(paths, project) or project.resolve())
    waiting = waiting_answers(paths, seconds=TAKEN_IN_SECONDS)  # the newest is the one asked for
    since = listing.search_ends(paths, project=within) if query and not everything else None
    turns = listing.turns(paths, limit=limit, query=query, project=within, since=since)
    if len(turns) == limit:
        since = None  # enough were found before the search came to its end
    if within and not (turns or query or Path(within).is_dir()):
        raise NotFound(
            f"{within} is no directory, and no answer was recorded in it.",
            "`qi-learn status` lists the projects.",
        )
    if as_json:
        print_json({"turns": turns, "searched_since": since, "waiting": waiting.count})
    else:
        echo(
            listing.as_text(
                turns,
                chosen=bool(query or within),
                since=since,
                waiting=waiting,
                width=screen_width(),
            )
        )


def _say_why(what: str, *, as_json: bool) -> None:
    from qi_learn.report import why as report

    paths, settings = open_settings()
    readable_home()
    told = report.why(paths, settings, what, directory=here() if what == "last" else None)
    if as_json:
        print_json(told)
    else:
        echo(report.as_text(told))


def _record_event(file: Path, *, as_json: bool) -> None:
    from qi_learn.commands.rate import record_event

    event_id = record_event(Paths.default(), read_input(file))
    if as_json:
        print_json({"id": event_id})
    else:
        echo(f"Taken in as {event_id}.")


@click.command(
    context_settings={
        # what stands after `run --` is the command's own, options and all
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "allow_interspersed_args": False,
    }
)
@click.argument(
    "command",
    nargs=-1,
    required=True,
    metavar="-- CMD ...",
    type=click.UNPROCESSED,
    help="The command, after --.",
)
@click.option(
    "--kind",
    help="compile, test, deploy, bench or other; found out from the command if not given.",
)
def run(command: tuple[str, ...], kind: str | None) -> None:
    """Run a command unchanged and record its outcome; exits as the command does."""
    from qi_learn.commands.run import run as run_and_record

    home: Paths | QiError
    try:
        home = Paths.default()
    except QiError as error:
        home = error
    code, problem = run_and_record(home, list(command), kind=kind, directory=last_here())
    if problem:
        click.echo(harmless(f"qi-learn: {problem}"), err=True)
    raise Exit(code)


@click.command()
@click.argument(
    "what",
    metavar="ID|last",
    help="A turn, a run (the beginning of an id is enough) or a version; `last`: the last answer "
    "of this project.",
)
@with_json
def explain(what: str, as_json: bool) -> None:
    """Say why: the signals behind a score, the numbers of a run, the verdict on a version."""
    from qi_learn.report import explain as report

    paths, settings = open_settings()
    readable_home()
    explanation = report.explain(
        paths, settings, what, directory=here() if what == "last" else None
    )
    if as_json:
        print_json(explanation)
    else:
        echo(report.as_text(explanation))
