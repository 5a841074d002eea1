"""The terminal face: parse, call, print. Everything heavy is imported inside the command that needs it, so that `--help` and `rate` stay quick.

Exit codes: 0 done, 1 failed, 2 usage, 3 daemon needed and not running, 4 refused by gate or thresholds, 75 try again later.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from qi_learn import __version__
from qi_learn.errors import NotFound
from qi_learn.paths import Paths
from qi_learn.settings import Settings, load_settings, settings_table

app = typer.Typer(
    name="qi-learn",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
daemon_app = typer.Typer(
    invoke_without_command=True, rich_markup_mode=None, help="Run the daemon in the foreground; `start` and `stop` run it in the background."
)
app.add_typer(daemon_app, name="daemon")

bench_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Measure what qi-learn does, with its own code.")
app.add_typer(bench_app, name="bench")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"qi-learn {__version__}")
        raise typer.Exit


@app.callback()
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version and leave.", callback=_show_version, is_eager=True)] = False) -> None:
    """A local model that learns from the way you work, and proves it before it ships."""


def _open() -> tuple[Paths, Settings]:
    """For the commands that need the settings; the others work with a broken `config.toml` too."""
    paths = Paths.default()
    return paths, load_settings(paths.settings_file)


def _print_json(value: Any) -> None:
    from qi_learn.codec import plain

    typer.echo(json.dumps(_finite(plain(value)), allow_nan=False))


def _finite(value: Any) -> Any:
    """JSON knows neither NaN nor infinity: unknown, in JSON's words."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


# --- set up --------------------------------------------------------------------------------------------------------------------------------


@app.command()
def init(path: Annotated[Path, typer.Argument(help="The project to watch; its git repository where it lies in one.")] = Path()) -> None:
    """Register a project and make version 1.0.0 from the base model."""
    from qi_learn.commands import init as setup

    paths, settings = _open()
    for line in setup.initialise(paths, settings, path):
        typer.echo(line)


@app.command()
def config(as_json: Json = False) -> None:
    """Show every setting with its value and where it comes from."""
    from qi_learn.report import config as configuration

    paths, settings = _open()
    if as_json:
        _print_json(settings_table(settings))
    else:
        typer.echo(configuration.as_text(paths, settings))


@app.command()
def doctor(as_json: Json = False) -> None:
    """Look for what is missing or known to cause trouble, and say what to do."""
    from qi_learn.report import doctor as checks

    found = checks.examine(Paths.default())
    if as_json:
        _print_json({"checks": found})
    else:
        for finding in found:
            typer.echo(f"{'ok  ' if finding.ok else 'MEND'}  {finding.what}" + (f"\n   -> {finding.todo}" if finding.todo else ""))
    if not all(f.ok for f in found):
        raise typer.Exit(1)


# --- the daemon ----------------------------------------------------------------------------------------------------------------------------


@daemon_app.callback()
def daemon(context: typer.Context) -> None:
    """Run the daemon in the foreground (Ctrl-C stops it)."""
    if context.invoked_subcommand is None:
        from qi_learn.daemon.daemon import run_daemon

        paths, settings = _open()
        run_daemon(paths, settings)


@daemon_app.command("start")
def daemon_start() -> None:
    """Start the daemon in the background and wait until the gateway accepts."""
    from qi_learn.daemon import client as background

    paths, _ = _open()
    state = background.start(paths)
    typer.echo(f"The daemon runs (pid {state.pid}). Point your tools at {state.gateway} instead of {state.server}.")


@daemon_app.command("stop")
def daemon_stop() -> None:
    """Stop the daemon; a cycle under way goes on where it was when the daemon starts again."""
    from qi_learn.daemon import client as background

    typer.echo("The daemon has stopped." if background.stop(Paths.default()) else "The daemon was not running.")


@app.command()
def status(as_json: Json = False) -> None:
    """Is it recording, what is waiting, what is missing before it learns, which version answers."""
    from qi_learn.report import status as view

    paths, settings = _open()
    now_state = view.gather(paths, settings)
    if as_json:
        _print_json(now_state)
    else:
        typer.echo(view.as_text(now_state))


# --- evidence ------------------------------------------------------------------------------------------------------------------------------


@app.command()
def rate(
    words: Annotated[
        list[str], typer.Argument(metavar="[ID|last] RATING", help="Which answer (default: the last one of this project), and 1 (bad) to 5 (good).")
    ],
    correction: Annotated[Path | None, typer.Option(help="A file with what the answer's code should have been; - reads it from the input.")] = None,
    comment: Annotated[str | None, typer.Option(help="A remark, kept with the rating.")] = None,
) -> None:
    """Rate an answer; works with or without the daemon."""
    from qi_learn.commands import rate as rating

    turn, stars = rating.parse_words(words)
    text = None if correction is None else _read_input(correction)
    typer.echo(rating.send(Paths.default(), turn, stars, correction=text, comment=comment, place=Path.cwd()))


@app.command()
def log(
    limit: Annotated[int, typer.Option("-n", help="How many.", min=1)] = 20,
    query: Annotated[str | None, typer.Option("-q", help="Only turns whose text contains this.")] = None,
    project: Annotated[Path | None, typer.Option(help="Only turns of this project.")] = None,
    event: Annotated[Path | None, typer.Option(help="Take one event (JSON) from this file, or - for the input, into the spool instead of listing.")] = None,
    as_json: Json = False,
) -> None:
    """List what was recorded, newest first; or take in an event from a hook."""
    paths = Paths.default()
    if event is not None:
        from qi_learn.commands import rate as rating

        said = rating.send_event(paths, _read_input(event))
        if as_json:
            _print_json({"id": said})
        else:
            typer.echo(f"Taken in as {said}.")
        return
    from qi_learn.report import listing as history
    from qi_learn.workspace.registry import project_of

    within = None if project is None else str(project_of(paths, project) or project.resolve())
    lines = history.turns(paths, limit=limit, query=query, project=within)
    if as_json:
        _print_json({"turns": lines})
    else:
        typer.echo(history.as_text(lines, chosen=bool(query or within)))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "allow_interspersed_args": False})
def run(
    command: Annotated[list[str], typer.Argument(metavar="-- CMD ...", help="The command, after --.")],
    kind: Annotated[str | None, typer.Option(help="compile, test, deploy, bench or other; found out from the command where not given.")] = None,
) -> None:
    """Run a command unchanged and record its outcome; exits as the command does."""
    from qi_learn.commands import run as outcome

    code, problem = outcome.run(Paths.default(), command, kind=kind, place=Path.cwd())
    if problem:
        typer.echo(f"qi-learn: {problem}", err=True)
    raise typer.Exit(code)


@app.command()
def explain(what: Annotated[str, typer.Argument(metavar="ID", help="A turn, a run or a version.")], as_json: Json = False) -> None:
    """Say why: the signals behind a score, the numbers of a run, the verdict on a version."""
    from qi_learn.report import explain as view

    paths, settings = _open()
    found = view.explain(paths, settings, what)
    if as_json:
        _print_json(found)
    else:
        typer.echo(view.as_text(found))


# --- learning ------------------------------------------------------------------------------------------------------------------------------


@app.command()
def train(
    now: Annotated[bool, typer.Option("--now", help="Start a cycle at once, if the data allows one, and show it. Ctrl-C asks before it cancels.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="End the cycle under way; the live version stays.")] = False,
) -> None:
    """Say whether it is time to learn; with --now, learn."""
    if cancel:
        _cancel()
        return
    paths, settings = _open()
    if not now:
        from qi_learn.report import status

        typer.echo(status.learning_text(status.gather(paths, settings)))
        return
    from qi_learn.commands import train as foreground
    from qi_learn.report import progress_view

    with progress_view.view(typer.echo) as view:
        ended = foreground.train_now(paths, settings, view)
    if ended.exit_code:
        raise typer.Exit(ended.exit_code)


def _cancel() -> None:
    from qi_learn.commands import train as foreground

    ended = foreground.cancel(Paths.default(), typer.echo)
    if ended.state == "cancelled":
        typer.echo("The cycle is cancelled; the live version is what it was.")
        return
    typer.echo(ended.reason if ended.state == "left" else f"Not cancelled: it was {ended.state} before ({ended.reason}).")
    raise typer.Exit(ended.exit_code or 1)


@app.command()
def versions(as_json: Json = False) -> None:
    """List the versions of the model: which one is live, which ones can be gone back to."""
    from qi_learn.report import listing as history

    listed = history.versions(Paths.default())
    if as_json:
        _print_json({"versions": listed})
    else:
        typer.echo(history.versions_text(listed))


@app.command()
def rollback(
    version: Annotated[str | None, typer.Argument(help="The version to go back to (default: the one before).")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen.")] = False,
    as_json: Json = False,
) -> None:
    """Make an earlier version live again; needs no daemon, no network and no database."""
    from qi_learn.commands import rollback as back

    paths, settings = _open()
    done = back.roll_back(paths, settings, version=version, dry_run=dry_run)
    if as_json:
        _print_json(done)
    else:
        typer.echo(back.as_text(done))


@app.command()
def demo(
    repo: Annotated[Path | None, typer.Option(help="Your own git repository, played in commit order, instead of an installed package.")] = None,
    cycles: Annotated[int, typer.Option(min=1, max=10, help="How many learning cycles.")] = 2,
    ollama: Annotated[str | None, typer.Option(help="Work on this Ollama server instead of the embedded engine.")] = None,
    as_json: Json = False,
    keep: Annotated[bool, typer.Option(help="Leave the throw-away home in place and say where it is.")] = False,
) -> None:
    """One learning cycle and one more, end to end on real code, in a throw-away home, explained as it goes."""
    from qi_learn.demo import story

    code = story.tell(repo=repo, cycles=cycles, ollama=ollama, as_json=as_json, keep=keep)
    if code:
        raise typer.Exit(code)


def _read_input(place: Path) -> str:
    try:
        text = (sys.stdin.buffer.read() if str(place) == "-" else place.read_bytes()).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise NotFound(f"{place} cannot be read: {error}", "Give the path of a UTF-8 text file, or - for the input.") from error
    if "\0" in text:
        raise NotFound(f"{place} is no text file.", "Give the path of a UTF-8 text file, or - for the input.")
    return text


@bench_app.command("learning")
def bench_learning(
    seeds: Annotated[int, typer.Option("--seeds", min=0, help="How many streams, from seed 0 on; 0: only what --long runs.")] = 3,
    first_seed: Annotated[int, typer.Option("--first-seed", help="The first seed.")] = 0,
    tasks: Annotated[int, typer.Option("--tasks", min=1, max=25, help="Conventions of a stream.")] = 4,
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="Optimiser steps a stage (default: as a cycle derives them).")] = None,
    method: Annotated[list[str] | None, typer.Option("--method", help="Only this method; may be repeated.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All methods: each part alone, averaging, joint, other targets.")] = False,
    long: Annotated[bool, typer.Option("--long", help="Then 20 updates in a row, each packed as it would be served.")] = False,
    repo: Annotated[list[Path] | None, typer.Option("--repo", help="Real git repositories instead of conventions; one task each, repeat it.")] = None,
    base: Annotated[Path | None, typer.Option("--base", help="The base model's GGUF (default: the embedded one).")] = None,
    cache: Annotated[Path | None, typer.Option("--cache", help="Keep the base's Fisher here for the next run.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A minute or two that show that everything works; the figures mean little.")] = False,
    as_json: Json = False,
) -> None:
    """Does it learn, and does it forget? Several methods on streams of conventions, measured on the packed file."""
    from qi_learn.bench.command import run_learning

    run_learning(
        seeds=tuple(range(first_seed, first_seed + seeds)),
        tasks=tasks,
        steps=steps,
        names=method or [],
        every=every,
        long=first_seed if long else None,
        repositories=repo or [],
        base=base,
        cache=cache,
        quick=quick,
        out=_print_json if as_json else typer.echo,
        as_json=as_json,
    )
