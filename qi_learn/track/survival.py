"""Was the suggested code kept, edited, rejected? Every suggestion from `waiting` over `placed` to
`settled` (contracts 5).

The invariant: once a suggestion is placed, the text of its region, whatever it becomes, is its
final version; and nothing is called rejected that could not have been seen (too short to be
recognised, or no file of its project was saved). What became of a turn (`records.Feedback`) is
always derived anew from its suggestions, so that a later edit or commit corrects an earlier answer.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from qi_learn.code_text import code_tokens
from qi_learn.errors import NotFound
from qi_learn.outside import git
from qi_learn.records import Suggestion
from qi_learn.settings import CaptureSettings
from qi_learn.store import feedback, turns
from qi_learn.store.database import Store
from qi_learn.store.turns import TurnHead
from qi_learn.track import region as regions
from qi_learn.track.commits import FOLLOWED, on_committed
from qi_learn.track.match import Match, Saved, find
from qi_learn.track.state import frame_for, gone, settled, stands_at, tell, trace_of
from qi_learn.track.suggestions import Frame, suggestions_of
from qi_learn.workspace.file_history import FileHistory
from qi_learn.workspace.watcher import FileSaved

__all__ = ["on_committed", "on_saved", "settle", "suggestions_of"]
logger = logging.getLogger(__name__)
LOOK_SECONDS = 86400.0
"""How often code that was committed is looked at again, as long as it is followed."""
NOT_FOR_FILES = {
    *(
        "console",
        "text",
        "txt",
        "plaintext",
        "output",
        "log",
        "diff",
        "patch",
        "shell-session",
        "shellsession",
    ),
    *("bash", "sh", "shell", "zsh", "powershell"),
}
"""Blocks in these languages are often to be read or typed: not to find one in a file says nothing.
"""


@dataclass(frozen=True, slots=True)
class _Found:
    suggestion: Suggestion
    turn: TurnHead
    frame: Frame
    match: Match


def on_saved(
    store: Store, saved: FileSaved, history: FileHistory, settings: CaptureSettings, now: float
) -> None:
    """A file was saved: follows what is placed, places what waits.

    Raises StoreError where the database cannot be written.
    """
    text = Saved(saved.text)
    with store.transaction():
        old = history.before(saved.ts)
        for suggestion in feedback.placed_suggestions(store, saved.project, since=now - FOLLOWED):
            if suggestion.region is None:
                _find_gone(store, suggestion, saved, text, old, settings)
            elif suggestion.file == saved.file:
                _follow(store, suggestion, saved, text, history, settings)
        _place(store, saved, text, history, settings)


def settle(store: Store, settings: CaptureSettings, now: float) -> None:
    """Settles what nobody touched for `settings.settle` seconds, rejects what was passed by, looks
    again at what was committed.
    """
    with store.transaction():
        for suggestion in feedback.unsettled_suggestions(
            store, since=now - FOLLOWED, ended=now - settings.window
        ):
            if suggestion.state == "waiting":
                if _recognisable(suggestion, settings):
                    tell(store, replace(suggestion, state="settled", settled_at=now), settings)
            elif now - (suggestion.touched_at or 0.0) >= settings.settle:
                tell(
                    store,
                    settled(suggestion, frame_for(store, suggestion), now, commit=None),
                    settings,
                )
        for suggestion in feedback.suggestions_to_look_at_again(
            store, placed=now - FOLLOWED, settled=now - LOOK_SECONDS
        ):
            _look_again(store, suggestion, settings, now)


def _recognisable(suggestion: Suggestion, settings: CaptureSettings) -> bool:
    """Whether the suggestion would have been recognised in a file: only then not to find it means
    that it was not used.
    """
    return (
        len(code_tokens(suggestion.text)) >= settings.min_tokens
        and suggestion.language not in NOT_FOR_FILES
    )


# --- placing --------------------------------------------------------------------------------------


def _place(
    store: Store, saved: FileSaved, text: Saved, history: FileHistory, settings: CaptureSettings
) -> None:
    found: list[_Found] = []
    for suggestion in feedback.open_suggestions(
        store, project=saved.project, since=saved.ts - settings.window
    ):
        turn = turns.load_head(store, suggestion.turn_id)
        if suggestion.state != "waiting" or turn.started > saved.ts or turn.status != 200:
            continue
        frame = frame_for(store, suggestion)
        match = _match(
            frame.whole_lines(suggestion.text),
            _text_before(saved, history, turn.started),
            text,
            settings,
        )
        if match is not None:
            found.append(_Found(suggestion, turn, frame, match))
        elif (
            suggestion.touched_at is None
            and turn.project is not None
            and saved.text
            and history.reaches(turn.started)
        ):
            feedback.update_suggestion(store, replace(suggestion, touched_at=saved.ts))
    for one in _best(found):
        _placed(store, one, saved, settings)


def _text_before(saved: FileSaved, history: FileHistory, when: float) -> str | None:
    """The file's text at a time; where nobody read it then, what git has."""
    text = history.before(when)
    if text is not None:
        return text
    try:
        return git.text_at(Path(saved.project), "HEAD", saved.file)
    except NotFound:
        return None


def _match(wanted: str, before: str | None, text: Saved, settings: CaptureSettings) -> Match | None:
    if before is None:
        return None
    return find(
        wanted,
        before,
        text,
        min_tokens=settings.min_tokens,
        min_similarity=settings.placed_similarity,
    )


def _best(found: Iterable[_Found]) -> list[_Found]:
    """Of several suggestions for the same lines the one most like them, of equals the newest: the
    others were not what was taken.
    """
    taken: list[_Found] = []
    for one in sorted(
        found, key=lambda f: (-f.match.similarity, -f.turn.ended, f.suggestion.ordinal)
    ):
        if all(
            one.match.end <= other.match.start or one.match.start >= other.match.end
            for other in taken
        ):
            taken.append(one)
    return taken


def _placed(store: Store, found: _Found, saved: FileSaved, settings: CaptureSettings) -> None:
    region = regions.region_at(saved.text, saved.file, found.match.start, found.match.end)
    suggestion = replace(
        found.suggestion,
        state="placed",
        placed_at=found.suggestion.placed_at or saved.ts,
        match_method=found.match.method,
        match_confidence=found.match.similarity,
    )
    if found.turn.project != saved.project:
        turns.set_project(store, found.turn.id, saved.project)
    tell(store, stands_at(suggestion, saved, region, found.frame), settings)


# --- following ------------------------------------------------------------------------------------


def _follow(
    store: Store,
    suggestion: Suggestion,
    saved: FileSaved,
    text: Saved,
    history: FileHistory,
    settings: CaptureSettings,
) -> None:
    old, asked = history.before(saved.ts), turns.load_head(store, suggestion.turn_id).started
    before = history.before(asked) if history.reaches(asked) else None
    added = None if before is None else text.added_since(before)[0]
    region = regions.find_again(trace_of(suggestion), saved.text, saved.file, old=old, added=added)
    lost = old is not None and (suggestion.region or "") not in old
    if (region is None or lost) and _elsewhere_in_git(suggestion, saved):
        return
    if region is None:
        return tell(store, gone(suggestion, saved.ts), settings)
    after = stands_at(suggestion, saved, region, frame_for(store, suggestion))
    if after.region == suggestion.region:  # it only moved, or what stands around it changed
        after = replace(after, state=suggestion.state, reverted=suggestion.reverted)
    tell(store, after, settings)


def _elsewhere_in_git(suggestion: Suggestion, saved: FileSaved) -> bool:
    """Whether the code was committed on another branch than the one that is checked out: then it is
    not gone, only not here.
    """
    place = Path(saved.project)
    try:
        head = git.head(place)
        return (
            head is not None
            and suggestion.commit is not None
            and not git.contains(place, head, suggestion.commit)
        )
    except NotFound:  # that commit was cleaned away: nothing keeps the code
        return False


def _find_gone(
    store: Store,
    suggestion: Suggestion,
    saved: FileSaved,
    text: Saved,
    old: str | None,
    settings: CaptureSettings,
) -> None:
    """Code that went may come again: undo, a stash brought back, a file renamed, a function moved."""
    if suggestion.reverted or saved.ts - (suggestion.touched_at or 0.0) > settings.window:
        return
    frame = frame_for(store, suggestion)
    match = _match(suggestion.final_text or frame.whole_lines(suggestion.text), old, text, settings)
    if match is not None:
        turn = turns.load_head(store, suggestion.turn_id)
        _placed(
            store,
            _Found(
                suggestion,
                turn,
                frame,
                replace(match, similarity=suggestion.match_confidence or match.similarity),
            ),
            saved,
            settings,
        )


def _look_again(
    store: Store, suggestion: Suggestion, settings: CaptureSettings, now: float
) -> None:
    """What the newest commit has of it now (for commits that nobody saw because the daemon was
    off).
    """
    project = turns.load_head(store, suggestion.turn_id).project
    after = suggestion
    if project is not None and Path(project).is_dir():
        try:
            after = _as_committed(store, suggestion, Path(project), now)
        except NotFound as error:
            logger.info(
                "suggestion %d of %s cannot be looked at again: %s",
                suggestion.ordinal,
                suggestion.turn_id,
                error.what,
            )
    tell(store, replace(after, settled_at=now), settings)


def _as_committed(store: Store, suggestion: Suggestion, place: Path, now: float) -> Suggestion:
    head, file = git.head(place), suggestion.file or ""
    if (
        head is None
        or head == suggestion.commit
        or suggestion.region is None
        or not git.contains(place, head, suggestion.commit or head)
    ):
        return suggestion
    text = git.text_at(place, head, file)
    if text is None:  # renamed or deleted: not to be told apart from here
        return suggestion
    frame = frame_for(store, suggestion)
    region = regions.find_again(trace_of(suggestion), text, file, old=None)
    if region is None:
        return settled(gone(suggestion, now), frame, now, commit=head)
    return settled(
        stands_at(suggestion, FileSaved(str(place), place / file, text, now), region, frame),
        frame,
        now,
        commit=head,
    )
