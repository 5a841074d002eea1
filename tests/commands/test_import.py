"""`qi-learn import`: what other programs logged comes once, without secrets, and not against what
the person wanted forgotten or left out.
"""

from __future__ import annotations

import json
import random
import string
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from qi_learn.cli.importing import SOURCE_NAMES
from qi_learn.commands.import_sources import SOURCES
from qi_learn.commands.pause import pause, resume
from qi_learn.daemon.alone import forget_alone
from qi_learn.daemon.daemon import Daemon
from qi_learn.daemon.following import follow_time
from qi_learn.dataset.select import select_learnables, unfit
from qi_learn.errors import NotFound, SettingsError
from qi_learn.records import ForgetRequest, ImportedTurn, Message
from qi_learn.said_marks import new_marks
from qi_learn.settings import CaptureSettings, KeepSettings
from qi_learn.spool import Spool, spool_files
from qi_learn.store.feedback import save_score
from qi_learn.store.learnables import LearnableTurns, learnable_turns
from qi_learn.store.working_time import note_save
from tests.daemon.test_rounds_of_the_daemon import SETTINGS as DAEMON_SETTINGS
from tests.support.command_line import OFFLINE, Terminal
from tests.support.foreign_logs import (
    DECLINED,
    ClaudeSession,
    continue_completion,
    edits,
    jsonl,
    says,
)
from tests.support.imported_home import ImportedHome
from tests.support.redacted import as_redacted
from tests.support.scored import score_now

TOKEN = "ghp_" + "".join(random.Random(5).choices(string.ascii_letters + string.digits, k=36))
LOGS = ("continue", "claude", "codex", "opencode", "aider", "llm", "git")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[ImportedHome]:
    made = ImportedHome(tmp_path)
    yield made
    made.close()


def test_the_names_on_the_command_line_are_those_of_the_sources() -> None:
    assert set(SOURCE_NAMES) == set(SOURCES)


@pytest.mark.parametrize("source", LOGS)
def test_what_is_imported_comes_once(home: ImportedHome, source: str) -> None:
    log = home.log_of(source)
    assert home.bring(source, log).turns > 0
    taken = home.take_in()
    assert (taken.bad, taken.repeated) == (0, 0)
    before = home.interactions()
    assert all(one.turn.project == str(home.project) for one in before if source != "llm")
    home.bring(source, log)
    assert home.take_in().count == 0
    home.bring(source, log, again=True)
    assert home.take_in().count == 0
    assert home.interactions() == before


@pytest.mark.parametrize("source", LOGS)
def test_a_second_import_reads_nothing_again(home: ImportedHome, source: str) -> None:
    log = home.log_of(source)
    first, second = home.bring(source, log), home.bring(source, log)
    assert first.turns > 0
    assert (second.turns, second.signs, second.ratings) == (0, 0, 0)


@pytest.mark.parametrize("source", LOGS)
def test_a_dry_run_says_it_and_writes_nothing(home: ImportedHome, source: str) -> None:
    log = home.log_of(source)
    said = home.bring(source, log, dry_run=True)
    assert said.turns > 0
    assert spool_files(home.paths.spool) == []
    assert not home.paths.imports.exists()
    assert home.bring(source, log).turns == said.turns


@pytest.mark.parametrize("source", LOGS)
@pytest.mark.parametrize("way", ["grep", "id"])
def test_what_was_forgotten_does_not_come_back(home: ImportedHome, source: str, way: str) -> None:
    log = home.log_of(source, "quokka")
    home.bring(source, log)
    home.take_in()
    ids = tuple(one.turn.id for one in home.interactions())
    request = ForgetRequest(home.now, grep="quokka") if way == "grep" else None
    forget_alone(home.paths, request or ForgetRequest(home.now, ids=ids))
    assert all("quokka" not in repr(one) for one in home.interactions())
    home.bring(source, log, again=True)
    home.take_in()
    assert all("quokka" not in repr(one) for one in home.interactions())
    with home.store() as store:
        rows = [
            tuple(row)
            for table in ("events", "ratings", "messages", "suggestions")
            for row in store.rows(f"SELECT * FROM {table}")
        ]
    assert "quokka" not in repr(rows)


@pytest.mark.parametrize("source", LOGS)
def test_what_was_before_a_forgotten_time_and_after_it_is_told_apart(
    home: ImportedHome, source: str
) -> None:
    log = home.log_of(source)
    home.paths.database.parent.mkdir(parents=True, exist_ok=True)
    home.take_in()
    forget_alone(home.paths, ForgetRequest(home.now + 60, since=home.began - 60))
    home.bring(source, log)
    home.take_in()
    assert home.interactions() == []


def test_nothing_from_elsewhere_is_learned_without_being_ours(home: ImportedHome) -> None:
    for source in LOGS:
        if source != "git":
            home.bring(source, home.log_of(source))
    home.take_in()
    reasons = {unfit(one.turn) for one in home.interactions()}
    assert reasons == {
        "imported, and not known to be a local model's answer",
        "imported, and its log has not the whole question",
    }


def test_a_person_says_that_the_models_were_local(home: ImportedHome) -> None:
    home.bring("llm", home.log_of("llm"), local=True)
    home.bring("claude", home.log_of("claude"), local=True)
    home.take_in()
    fit = {one.turn.request["imported"]["from"]: unfit(one.turn) for one in home.interactions()}
    assert fit["llm"] == ""
    assert "local model" in fit["claude"]  # a model of a name that is known to be hosted


def test_a_commit_of_ones_own_is_a_correction_that_no_model_answered(home: ImportedHome) -> None:
    home.bring("git", home.log_of("git"))
    home.take_in()
    (one,) = home.interactions()
    assert (one.turn.answer, one.suggestions) == ("", ())
    assert one.feedback.correction is not None
    assert "def quokka(rows):" in one.feedback.correction
    assert one.turn.messages[-1].content.startswith("import math")
    assert (unfit(one.turn), one.feedback.accepted) == ("", None)
    with home.store() as store:
        score = score_now(store, one.turn.id, home.settings, home.now)
        save_score(store, as_redacted(score))
        threshold = home.settings.train.quality_threshold
        (turn,) = learnable_turns(store, threshold=threshold, learned=frozenset()).fresh
        (learnable,) = select_learnables(LearnableTurns((turn,), ())).learnables
    assert (score.target_score, score.suggestion_score) == (0.7, None)
    assert learnable.target.text == one.feedback.correction


def test_a_commit_in_which_an_answer_stands_is_not_the_persons_alone(home: ImportedHome) -> None:
    log = home.log_of("git")
    home.bring("claude", home.log_of("claude"))
    home.take_in()
    head = subprocess.check_output(("git", "rev-parse", "HEAD"), cwd=log, text=True).strip()
    with home.store() as store:
        store.execute('UPDATE suggestions SET "commit" = ?', (head,))
    said = home.bring("git", log)
    assert (said.turns, said.left_out) == (0, {"an answer was found in that commit": 1})


def test_commits_of_others_are_left_alone(home: ImportedHome) -> None:
    log = home.log_of("git")

    def git(*arguments: str) -> None:
        subprocess.run(("git", *arguments), cwd=log, check=True, capture_output=True)

    for number, (who, words) in enumerate(
        (("you@example.org", "Mine"), ("me@example.org", "Co-authored-by: aider (gpt) <a@b.c>"))
    ):
        with (log / "a.py").open("a") as out:
            out.write(f"\n\ndef more_{number}(rows):\n    found = sorted(rows)\n    return found\n")
        git("-c", f"user.email={who}", "commit", "-qam", f"More\n\n{words}")
    assert home.bring("git", log).turns == 1
    git("config", "user.email", "")
    with pytest.raises(NotFound, match="does not say who commits"):
        home.bring("git", log, again=True)


def test_a_completion_that_was_not_accepted_is_rejected(home: ImportedHome) -> None:
    home.bring("continue", home.log_of("continue"))
    home.take_in()
    (one,) = home.interactions()
    (suggestion,) = one.suggestions
    assert (suggestion.said, suggestion.fate) == ("declined", "rejected")
    assert one.feedback.accepted is False


@pytest.mark.parametrize(
    ("accepted", "fate", "taken"), [(True, "kept", True), (None, "unknown", None)]
)
def test_a_completion_that_was_accepted_is_kept_if_no_file_says_otherwise(
    home: ImportedHome, accepted: bool | None, fate: str, taken: bool | None
) -> None:
    file = home.project / "a.py"
    event = continue_completion(home.began, "c1", "    return sum(rows)", file, accepted)
    log = jsonl(home.root / "autocomplete.jsonl", [event])
    home.bring("continue", log)
    home.take_in()
    with home.store() as store:
        for minute in range(60):
            note_save(store, home.began + 60.0 * minute)
        follow_time(store, home.settings.capture, home.now + 3600.0)
    (one,) = home.interactions()
    assert (one.suggestions[0].state, one.suggestions[0].fate) == ("unknown", fate)
    assert (one.feedback.accepted, one.feedback.modified) == (taken, False if taken else None)


def test_what_came_of_an_agents_edits_is_known_from_its_own_words(home: ImportedHome) -> None:
    session = ClaudeSession(home.root / "s.jsonl", home.project, at=home.began)
    session.asks("Rename x.")
    session.answers("msg_1", edits("t1", "a.py", "x = 1", "y = 1"), stop="tool_use")
    session.results("t1", "The file a.py has been updated.")
    session.answers("msg_2", edits("t2", "b.py", "x = 2", "y = 2"), stop="tool_use")
    session.results("t2", DECLINED, error=True)
    session.asks("[Request interrupted by user for tool use]")
    home.bring("claude", session.file)
    home.take_in()
    one, two = (one.suggestions[0] for one in home.interactions())
    assert (one.path, one.call, one.said, one.fate) == ("a.py", "t1", "applied", None)
    assert (two.path, two.call, two.said, two.fate) == ("b.py", "t2", "declined", "rejected")


def test_a_sign_of_another_call_or_of_no_turn_changes_nothing(home: ImportedHome) -> None:
    home.bring("claude", home.log_of("claude"))
    home.take_in()
    before = home.interactions()
    spool = Spool(home.paths.spool, "editor")
    for turn, call in ((before[0].turn.id, "other"), ("nothing", None)):
        spool.append("sign", {"turn": turn, "said": "declined", "call": call})
    spool.append("sign", {"turn": before[0].turn.id, "said": "loved"})
    spool.close()
    taken = home.take_in()
    assert (taken.count, taken.bad) == (2, 1)
    assert home.interactions() == before


def test_what_the_gateway_recorded_is_not_stored_twice_but_told_of(home: ImportedHome) -> None:
    file = home.project / "a.py"
    event = continue_completion(home.began, "c1", "    return sum(rows)", file, False)
    log = jsonl(home.root / "autocomplete.jsonl", [event])
    spool = Spool(home.paths.spool, "gateway")
    asked = {"model": "m", "prompt": event["prefix"], "suffix": event["suffix"]}
    spool.append(
        "turn",
        {
            "endpoint": "/api/generate",
            "request": json.dumps(asked),
            "response": json.dumps({"response": "    return sum(rows)\n\n", "done": True}),
            "model_asked": "m",
            "status": 200,
            "started": home.began - 9,
            "ended": home.began - 8,
        },
        author="model",
        id="01GATEWAY",
    )
    spool.close()
    home.take_in()
    said = home.bring("continue", log)
    assert (said.turns, said.recorded, said.signs) == (0, 1, 1)
    home.take_in()
    (one,) = home.interactions()
    assert one.turn.id == "01GATEWAY"
    assert one.suggestions[0].fate == "rejected"


def test_secrets_do_not_reach_the_database(home: ImportedHome) -> None:
    session = ClaudeSession(home.root / "s.jsonl", home.project, at=home.began)
    session.asks(f"My token is {TOKEN}, use it.")
    session.answers("msg_1", says(f"I set it: {TOKEN}"))
    home.bring("claude", session.file)
    home.take_in()
    assert TOKEN not in repr(home.interactions())
    assert TOKEN.encode() not in home.paths.database.read_bytes()


def test_what_is_of_no_registered_project_is_left_out_and_said(home: ImportedHome) -> None:
    session = ClaudeSession(home.root / "s.jsonl", home.root / "private", at=home.began)
    session.asks("Rename x.")
    session.answers("msg_1", says("Done."))
    said = home.bring("claude", session.file)
    assert (said.turns, said.left_out) == (0, {"from no registered project": 1})
    home.settings = replace(home.settings, capture=CaptureSettings(unregistered=True))
    assert home.bring("claude", session.file, again=True).turns == 1
    home.take_in()
    assert home.interactions()[0].turn.project is None


def test_a_project_can_be_named_and_has_to_be_registered(home: ImportedHome) -> None:
    log = home.log_of("llm")
    with pytest.raises(SettingsError, match="no registered project"):
        home.bring("llm", log, project=home.root)
    home.bring("llm", log, project=home.project)
    home.take_in()
    assert home.interactions()[0].turn.project == str(home.project)


def test_what_was_said_in_a_pause_is_left_out(home: ImportedHome) -> None:
    pause(home.paths, None)
    session = ClaudeSession(home.root / "s.jsonl", home.project, at=home.now + 5)
    session.asks("Rename x.")
    session.answers("msg_1", says("Done."))
    said = home.bring("claude", session.file)
    resume(home.paths)
    assert said.left_out == {"in a pause": 1}


def test_a_request_that_was_to_be_left_out_does_not_come_by_its_log(home: ImportedHome) -> None:
    words = "Please keep this question between us."
    home.take_in()  # makes the database, and its key
    key = home.paths.redaction_key.read_bytes()
    marks = [mark.hex() for mark in new_marks(key, [Message("user", words)])]
    spool = Spool(home.paths.spool, "gateway")
    spool.append("left_out", {"marks": marks})
    spool.close()
    session = ClaudeSession(home.root / "s.jsonl", home.project, at=home.began)
    session.asks(words)
    session.answers("msg_1", says("Of course."))
    assert home.bring("claude", session.file).turns == 1
    assert home.take_in().forgotten == 1
    assert home.interactions() == []


def test_what_is_older_than_texts_are_kept_is_left_out(home: ImportedHome) -> None:
    session = ClaudeSession(home.root / "s.jsonl", home.project, at=home.now - 200 * 86400)
    session.asks("Rename x.")
    session.answers("msg_1", says("Done."))
    assert home.bring("claude", session.file).left_out == {
        "older than texts are kept (keep.raw_days)": 1
    }
    home.settings = replace(home.settings, keep=KeepSettings(raw_days=0))  # for good
    assert home.bring("claude", session.file, again=True).turns == 1


def test_a_file_that_is_written_anew_is_read_from_its_beginning(home: ImportedHome) -> None:
    log = home.log_of("aider", "quokka")
    home.bring("aider", log)
    home.take_in()
    log.write_text("")
    home.log_of("aider", "wombat")
    assert home.bring("aider", log).turns == 1
    home.take_in()
    assert len(home.interactions()) == 2


def test_a_log_that_grew_is_gone_on_with(home: ImportedHome) -> None:
    session = ClaudeSession(home.root / "s.jsonl", home.project, at=home.began)
    for n in range(3):
        session.asks(f"Rename x{n}.")
        session.answers(f"msg_{n}", edits(f"t{n}", "a.py", f"x{n}", "y"))
    whole = session.file.read_bytes()
    session.file.write_bytes(b"".join(whole.splitlines(keepends=True)[:2]))
    assert home.bring("claude", session.file).turns == 1
    session.file.write_bytes(whole)
    assert home.bring("claude", session.file).turns == 2
    home.take_in()
    assert len(home.interactions()) == 3


def test_paths_of_logs_are_not_written_down(home: ImportedHome) -> None:
    home.bring("claude", home.log_of("claude"))
    assert str(home.root) not in home.paths.imports.read_text()


def test_nothing_to_read_is_said(home: ImportedHome) -> None:
    with pytest.raises(NotFound, match="nothing that"):
        home.bring("claude", home.root / "none")
    (home.root / "empty").mkdir()
    with pytest.raises(NotFound, match="nothing that"):
        home.bring("codex", home.root / "empty")


def test_an_id_has_the_form_of_all_ids(home: ImportedHome) -> None:
    home.bring("claude", home.log_of("claude"))
    home.take_in()
    id = home.interactions()[0].turn.id
    assert len(id) == 26
    assert id[0] in "01234567"
    assert isinstance(
        next(
            iter(
                SOURCES["claude"].read(home.root / "claude" / "-shop" / "s-1.jsonl", "", ended=True)
            )
        ),
        ImportedTurn,
    )


def test_a_daemon_gives_no_turn_of_another_day_the_context_of_today(home: ImportedHome) -> None:
    (home.project / "a.py").write_text("x = 1\n")
    home.bring("claude", home.log_of("claude"))
    with Daemon(home.paths, DAEMON_SETTINGS, gateway=False) as daemon:
        daemon.settle(30.0)
    (one,) = home.interactions()
    assert (one.turn.context, one.turn.commit, one.turn.client) == ({}, None, "claude-code")
    assert one.score is not None


def test_on_the_command_line(home: ImportedHome) -> None:
    terminal = Terminal(home.root, OFFLINE)
    log = home.log_of("claude")
    assert (
        "would be imported   1 turn" in terminal.qi("import", "claude", str(log), "--dry-run").out
    )
    said = terminal.qi("import", "claude", str(log), "--json")
    assert (said.code, said.json["turns"], said.json["waits"]) == (0, 1, True)
    assert "nothing new" not in terminal.qi("import", "claude", str(log)).out
    assert terminal.qi("import", "cursor", str(log)).code == 2
    assert terminal.qi("import", "codex", str(home.root / "none")).code == 1
