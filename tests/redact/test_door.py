"""The door: what writes takes a type that only `redact` makes; records are looked through whole.

So a new record, or a new field, is redacted unless it is said here that it stays.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import pytest

from qi_learn import codec, records
from qi_learn.records import Message, Score, Suggestion, Turn
from qi_learn.redact import KnownValues, Redacted, Redactor, merged, together
from qi_learn.redact.record_fields import STAYS
from tests.support.redacted import REDACTOR

PACKAGE = Path(__file__).parents[2] / "qi_learn"
SECRET = "ghp_" + "aB3dE5fG7hJ9kL1mN2pQ4rS6tU8vW0xY1zA2"
RECORDS = {
    name: kind
    for name in records.__all__
    if isinstance(kind := getattr(records, name), type) and is_dataclass(kind)
}


def filled(hint: Any, within: tuple[Any, ...] = ()) -> Any:
    """A value of a type with the secret in every text; none of the types that it stands within."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Union or str(type(hint)) == "<class 'types.UnionType'>":
        return filled(next(a for a in args if a is not type(None)), within)
    if origin is Literal:
        return args[0]
    if origin is tuple:
        kinds = args[:1] if Ellipsis in args else args
        return tuple(filled(a, within) for a in kinds if a not in within)
    if origin is not None and issubclass(origin, Mapping):
        return (
            {"k": f"use {SECRET}", SECRET: [SECRET]}
            if args[1] is Any
            else {"k": filled(args[1], within)}
        )
    if is_dataclass(hint) and isinstance(hint, type):
        types = codec.field_types(hint).items()
        return hint(**{name: filled(own, (*within, hint)) for name, own in types})
    if hint is str:
        return f"use {SECRET}"
    return {int: 1, float: 1.0, bool: True}.get(hint, f"use {SECRET}")


def holding(value: Any, path: str = "") -> Iterator[str]:
    """Where in a record the secret stands, by record and field."""
    if is_dataclass(value) and not isinstance(value, type):
        for name in codec.field_types(type(value)):
            yield from holding(getattr(value, name), f"{type(value).__name__}.{name}")
    elif isinstance(value, Mapping):
        yield from (path for part in (*value.keys(), *value.values()) for _ in holding(part, "x"))
    elif isinstance(value, (list, tuple)):
        yield from (found for part in value for found in holding(part, path))
    elif SECRET in str(value):
        yield path


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_every_record_is_looked_through_whole(name: str) -> None:
    """What is left in any record is what the table of fields that stay names, and nothing else."""
    clean = REDACTOR.clean(filled(RECORDS[name]))
    left = {tuple(found.split(".")) for found in holding(clean.value)}
    assert {(kind, field) for kind, field in left if field not in STAYS.get(kind, ())} == set()


def test_what_stays_is_an_id_a_digest_or_a_place() -> None:
    assert set(STAYS) <= set(RECORDS)
    assert {field for fields in STAYS.values() for field in fields} == {
        *("id", "turn_id", "run_id", "chosen_id", "hash"),
        *("model_digest", "base_digest", "adapter_digest", "digest", "commit"),
        "repaired_by",
        *("project", "cwd", "file"),
    }
    for name, fields in STAYS.items():
        assert fields <= set(codec.field_types(RECORDS[name]))


def test_another_word_in_the_field_of_an_enumeration_is_a_text() -> None:
    odd = Suggestion("T1", 0, "x", 0, 1, state=SECRET)  # type: ignore[arg-type]
    assert SECRET not in REDACTOR.clean(odd).value.state


def test_what_holds_no_secret_is_the_same_object() -> None:
    score = Score("T1", 0.5, 0.5, 0.5, "def add(a, b): ...", (), ("committed",), 1.0)
    turn = Turn("T1", "/api/chat", "m", "m", (Message("user", "use it"),), "ok", 1.0, 2.0)
    for value in (score, turn, (turn, score), [score], {"a": ["b", 1, None]}):
        assert REDACTOR.clean(value).value is value


def test_what_cannot_be_looked_through_is_refused() -> None:
    for value in (SECRET.encode(), {SECRET}, object(), Path("x"), iter([SECRET])):
        with pytest.raises(TypeError, match="not looked through"):
            REDACTOR.clean(value)
    with pytest.raises(TypeError, match="not looked through"):
        REDACTOR.clean((SECRET.encode(),))


def test_parts_that_passed_make_a_whole_that_passed() -> None:
    score = REDACTOR.clean(Score("T1", None, 0.0, None, None))
    assert score.having(target_text=REDACTOR.clean(f"x {SECRET}")).value.target_text != SECRET
    both = together([REDACTOR.clean("a"), REDACTOR.clean(SECRET)]).value
    assert both[0] == "a"
    assert both[1].startswith("[REDACTED:")
    assert merged([REDACTOR.clean({"a": 1}), REDACTOR.clean({"b": 2})]).value == {"a": 1, "b": 2}


def test_a_value_that_comes_again_costs_its_hash() -> None:
    class Counting(Redactor):
        seen = 0

        def text(self, text: str) -> str:
            self.seen += 1
            return super().text(text)

    counting = Counting(b"k" * 32)
    known = KnownValues(counting, len, most=2, room=100)
    texts = {"1": "plain enough", "2": f"a {SECRET}", "3": "plain as well"}
    clean = {key: known.clean(key, text).value for key, text in texts.items()}
    assert clean["2"] == REDACTOR.text(texts["2"])
    counting.seen = 0
    assert known.clean("2", texts["2"]).value == clean["2"]
    assert known.clean("3", texts["3"]).value is texts["3"]
    assert counting.seen == 0
    assert known.clean("1", texts["1"]).value == texts["1"]  # it was pushed out
    assert counting.seen == 1


def test_nothing_else_says_that_a_value_passed() -> None:
    """Neither a call of the type nor of its maker, nor a cast, stands outside `qi_learn/redact`."""
    with pytest.raises(TypeError, match="only qi_learn"):
        Redacted("x", object())
    makers = {
        f"{path.relative_to(PACKAGE)}: {ast.unparse(node)}"
        for path in PACKAGE.rglob("*.py")
        if path.parent.name != "redact"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if _makes(node)
    }
    assert makers == set()


def _makes(node: ast.AST) -> bool:
    if isinstance(node, ast.ImportFrom):
        return any(alias.name in ("sealed", "_SEAL") for alias in node.names)
    if isinstance(node, ast.Attribute):
        return node.attr in ("sealed", "_SEAL")
    if not isinstance(node, ast.Call):
        return False
    called = ast.unparse(node.func)
    given = [ast.unparse(arg) for arg in node.args]
    return called.endswith("Redacted") or (
        called.endswith(("cast", "__new__")) and any("Redacted" in arg for arg in given)
    )


WRITERS = {
    "turns": {"save_messages", "save_turn", "give_context"},
    "feedback": {
        *("save_suggestions", "update_suggestion", "save_implicit", "save_score", "save_classes"),
    },
    "followed": {"save_changes"},
    "events": {"save_event"},
    "ratings": {"save_rating", "keep_rating"},
    "returning": {"keep_became"},
    "command_results": {"save_command"},
    "tool_signs": {"apply_sign"},
    "runs": {"apply_cycle"},
    "releases": {"apply_release"},
    "monitored": {"apply_monitored"},
}
"""The functions of the store that write texts, by module."""


def test_what_writes_texts_takes_nothing_else() -> None:
    found: dict[str, set[str]] = {}
    for path in sorted((PACKAGE / "store").glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and _takes_redacted(node):
                found.setdefault(path.stem, set()).add(node.name)
    assert found == WRITERS


def _takes_redacted(function: ast.FunctionDef) -> bool:
    """Whether it is public, and a parameter of it is what passed."""
    hints = [ast.unparse(arg.annotation) for arg in function.args.args if arg.annotation]
    return not function.name.startswith("_") and any("Redacted[" in hint for hint in hints)


def test_the_journal_of_changes_redacts_what_it_is_given(tmp_path: Path) -> None:
    from qi_learn.store import audit
    from qi_learn.store.database import open_store

    with open_store(tmp_path / "qi-learn.db") as store:
        audit.append(store, 1.0, "cycle failed", {"reason": f"no answer to {SECRET}"})
        (entry,) = audit.entries(store, limit=1)
    assert SECRET not in json.dumps(dict(entry.body))
    assert SECRET.encode() not in (tmp_path / "qi-learn.db").read_bytes()
