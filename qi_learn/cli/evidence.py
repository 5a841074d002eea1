"""What was recorded and what it was worth: `rate`, `log`, `run`, `explain`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qi_learn.cli.output import Json, open_settings, print_json, read_input
from qi_learn.paths import Paths


def rate(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[ID|last] RATING",
            help="Which answer (default: the last one of this project), and 1 (bad) to 5 (good).",
        ),
    ],
    correction: Annotated[
        Path | None,
        typer.Option(
            help="A file with what the answer's code should have been; - reads it from the input."
        ),
    ] = None,
    comment: Annotated[str | None, typer.Option(help="A remark, kept with the rating.")] = None,
) -> None:
    """Rate an answer; works with or without the daemon."""
    from qi_learn.commands import rate as rating

    turn, stars = rating.parse_words(words)
    text = None if correction is None else read_input(correction)
    typer.echo(
        rating.send(
            Paths.default(), turn, stars, correction=text, comment=comment, place=Path.cwd()
        )
    )


def log(
    limit: Annotated[int, typer.Option("-n", help="How many.", min=1)] = 20,
    query: Annotated[
        str | None, typer.Option("-q", help="Only turns whose text contains this.")
    ] = None,
    project: Annotated[Path | None, typer.Option(help="Only turns of this project.")] = None,
    event: Annotated[
        Path | None,
        typer.Option(
            help="Take one event (JSON) from this file, or - for the input, into the spool instead of listing."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """List what was recorded, newest first; or take in an event from a hook."""
    paths = Paths.default()
    if event is not None:
        from qi_learn.commands import rate as rating

        said = rating.send_event(paths, read_input(event))
        if as_json:
            print_json({"id": said})
        else:
            typer.echo(f"Taken in as {said}.")
        return
    from qi_learn.report import listing as history
    from qi_learn.workspace.registry import project_of

    within = None if project is None else str(project_of(paths, project) or project.resolve())
    lines = history.turns(paths, limit=limit, query=query, project=within)
    if as_json:
        print_json({"turns": lines})
    else:
        typer.echo(history.as_text(lines, chosen=bool(query or within)))


def run(
    command: Annotated[
        list[str], typer.Argument(metavar="-- CMD ...", help="The command, after --.")
    ],
    kind: Annotated[
        str | None,
        typer.Option(
            help="compile, test, deploy, bench or other; found out from the command where not given."
        ),
    ] = None,
) -> None:
    """Run a command unchanged and record its outcome; exits as the command does."""
    from qi_learn.commands import run as outcome

    code, problem = outcome.run(Paths.default(), command, kind=kind, place=Path.cwd())
    if problem:
        typer.echo(f"qi-learn: {problem}", err=True)
    raise typer.Exit(code)


def explain(
    what: Annotated[str, typer.Argument(metavar="ID", help="A turn, a run or a version.")],
    as_json: Json = False,
) -> None:
    """Say why: the signals behind a score, the numbers of a run, the verdict on a version."""
    from qi_learn.report import explain as view

    paths, settings = open_settings()
    found = view.explain(paths, settings, what)
    if as_json:
        print_json(found)
    else:
        typer.echo(view.as_text(found))
