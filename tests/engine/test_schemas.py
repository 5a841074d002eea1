"""Answers in the form of a JSON schema: every schema gets an answer that is valid under it, or a
refusal with words, and none ends the engine.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import httpx
import jsonschema
import pytest

from qi_learn.engine.answer_schema import MOST_LEVELS
from tests.support.engine_questions import HI, said
from tests.support.engine_server import Server

FORMATS = jsonschema.FormatChecker(("date", "uuid"))
HOT = {"temperature": 1.5, "seed": 3, "num_predict": 300}


def formed(server: Server, schema: Any, **options: Any) -> Any:
    """The value that the model answers with, valid under the schema."""
    text = said(server, format=schema, options={**HOT, **options})
    text.encode()
    value = json.loads(text)
    jsonschema.validate(value, schema, format_checker=FORMATS)
    return value


def refused(server: Server, schema: Any) -> str:
    """The words with which a schema is refused; the engine goes on."""
    body = json.dumps({"model": "tiny", "messages": HI, "format": schema})  # half characters too
    for _ in range(5):
        answer = httpx.post(f"{server.url}/api/chat", content=body, timeout=60)
        if answer.status_code != 503:  # "took too long; try again", on a machine that is busy
            break
    assert answer.status_code == 400, answer.text
    assert server.process.poll() is None
    return str(answer.json()["error"])


# --- what real clients sent, and what became of it ------------------------------------------------


def test_a_long_string_ends_no_process(server: Server) -> None:
    for most in (1_000, 1_500, 20_000, 10**12):
        text = said(
            server, format={"type": "string", "maxLength": most}, options={"num_predict": 8}
        )
        assert text.startswith('"')
    assert server.process.poll() is None


def test_patterns_have_classes(server: Server) -> None:
    schema = {
        "type": "object",
        "properties": {"id": {"type": "string", "pattern": "^\\d{1,5}$"}},
        "required": ["id"],
    }
    assert formed(server, schema)["id"].isdigit()


@pytest.mark.parametrize("value", ['"q"', "😀", "a\\b\n\t", "\u2028</é>", 'say "hi" \U0001f600'])
def test_every_text_can_be_a_constant(server: Server, value: str) -> None:
    for schema in ({"enum": [value]}, {"const": value}):
        assert formed(server, schema) == value


def test_half_a_character_is_read_as_go_reads_it(server: Server) -> None:
    body = {"model": "tiny", "messages": HI, "stream": False, "format": {"const": "\ud800"}}
    answer = httpx.post(f"{server.url}/api/chat", content=json.dumps(body), timeout=60)
    assert json.loads(answer.json()["message"]["content"]) == "\ufffd"


def test_references_may_go_round(server: Server) -> None:
    node = {
        "type": "object",
        "properties": {"v": {"enum": [1]}, "c": {"anyOf": [{"$ref": "#/$defs/n"}, {"const": 0}]}},
        "required": ["v"],
    }
    assert set(formed(server, {"$defs": {"n": node}, "$ref": "#/$defs/n"})) <= {"v", "c"}
    bare = {"n": {"type": "object", "properties": {"c": {"$ref": "#/$defs/n"}}}}
    assert set(formed(server, {"$defs": bare, "$ref": "#/$defs/n"}, temperature=0)) <= {"c"}


# --- what llama.cpp's converter knows -------------------------------------------------------------

SHORT = {"type": "string", "maxLength": 4}
SCHEMAS: list[dict[str, Any]] = [
    {"type": "integer", "minimum": -5, "maximum": 130},
    {"type": "integer", "exclusiveMinimum": 9, "exclusiveMaximum": 12},
    {"type": "integer", "minimum": -(2**63), "maximum": 9},
    {"type": "number", "minimum": 0, "maximum": 1},
    {"type": "string", "minLength": 3, "maxLength": 5},
    {"type": "string", "minLength": 2.0, "maxLength": 3},
    {"type": "string", "pattern": "^\\w+\\s\\d{2,3}-[a-f]$", "maxLength": 12},
    {"type": "string", "format": "date"},
    {"type": "string", "format": "time"},
    {"type": "string", "format": "date-time"},
    {"type": "string", "format": "uuid"},
    {"type": ["boolean", "null"]},
    {"enum": [1, 2.5, None, True, {"a": [1]}, "x"]},
    {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 3},
    {"type": "array", "items": SHORT, "minItems": 0, "maxItems": 1},
    {"type": "array", "prefixItems": [{"const": "a"}, {"type": "null"}], "items": False},
    {"items": {"const": 1}, "maxItems": 3},
    {"anyOf": [{"type": "null"}, {"const": 1}]},
    {"oneOf": [{"type": "boolean"}, {"const": "s"}]},
    {"type": "object", "properties": {"a": SHORT}, "required": ["a"]},
    {
        "type": "object",
        "patternProperties": {"^[ab]$": {"const": 1}},
        "additionalProperties": False,
    },
    {
        "allOf": [{"$ref": "#/definitions/A"}, {"properties": {"b": {"const": 1}}}],
        "required": ["a", "b"],
        "definitions": {"A": {"properties": {"a": SHORT}, "additionalProperties": True}},
    },
    {
        "type": "object",
        "properties": {"a": {"const": 1}},
        "required": ["a"],
        "oneOf": [{"properties": {"b": {"const": 2}}, "required": ["b"]}],
    },
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=json.dumps)
def test_answers_are_valid(server: Server, schema: dict[str, Any]) -> None:
    for seed in range(2):
        formed(server, schema, seed=seed)


ONE = {"const": 1}
A, B = {"a": ONE}, {"b": ONE}
CLOSED = {"type": "object", "unevaluatedProperties": False}
KEYWORDS: list[dict[str, Any]] = [
    {**CLOSED, "properties": {**A, "b": ONE}},
    {**CLOSED, "allOf": [{"type": "object", "properties": A, "required": ["a"]}]},
    {
        **CLOSED,
        "allOf": [{"$ref": "#/$defs/x"}],
        "properties": B,
        "$defs": {"x": {"properties": A}},
    },
    {"properties": A, "required": ["a"], "unevaluatedProperties": ONE, "maxProperties": 1},
    {"type": "array", "prefixItems": [ONE], "unevaluatedItems": False},
    {
        "type": "object",
        "propertyNames": {"pattern": "^x[0-9]$"},
        "additionalProperties": ONE,
        "maxProperties": 1,
        "minProperties": 1,
    },
    {"type": "object", "propertyNames": {"enum": ["k", "l"]}, "additionalProperties": ONE},
    {"type": "object", "properties": A, "propertyNames": {"type": "string"}},
    {"type": "object", "properties": {**A, **B}, "minProperties": 1},
    {"type": "object", "properties": {**A, **B}, "minProperties": 2},
    {"type": "object", "properties": {**A, **B, "c": ONE, "d": ONE}, "minProperties": 3},
    {"type": "object", "properties": {**A, **B}, "minProperties": 2, "required": ["b", "a"]},
    {"type": "object", "properties": A, "required": ["a", "zz"]},
]


@pytest.mark.parametrize("schema", KEYWORDS, ids=json.dumps)
def test_keywords_of_objects_are_kept(server: Server, schema: dict[str, Any]) -> None:
    for seed in range(3):
        formed(server, schema, seed=seed)


@pytest.mark.parametrize(
    ("key", "schema"),
    [
        ("dependentRequired", {"properties": A, "dependentRequired": {"a": ["b"]}}),
        ("dependentSchemas", {"properties": A, "dependentSchemas": {"a": {"required": ["b"]}}}),
        ("$dynamicRef", {"properties": {"a": {"$dynamicRef": "#x"}}}),
        ("propertyNames", {"type": "object", "propertyNames": {"maxLength": 3}}),
        ("propertyNames", {"type": "object", "properties": A, "propertyNames": {"pattern": "^a"}}),
        ("propertyNames", {"type": "object", "propertyNames": False}),
        ("propertyNames", {"type": "object", "propertyNames": [1]}),
        ("propertyNames", {"type": "object", "propertyNames": {"enum": 5}}),
        ("unevaluatedProperties", {**CLOSED, "anyOf": [{"properties": A}, {"properties": B}]}),
        ("unevaluatedProperties", {**CLOSED, "$ref": "#/$defs/x", "$defs": {"x": {}}}),
        ("unevaluatedItems", {"type": "array", "allOf": [{}], "unevaluatedItems": False}),
    ],
)
def test_keywords_that_cannot_be_kept_are_refused(server: Server, key: str, schema: Any) -> None:
    assert f"`{key}`" in refused(server, schema)


def test_an_object_has_the_properties_that_are_named(server: Server) -> None:
    """As in Ollama: without `additionalProperties` there are no others, also in parts of one."""
    parts = {
        "$defs": {"A": {"properties": {"a": {"const": 1}}}},
        "allOf": [{"$ref": "#/$defs/A"}, {"properties": {"b": {"const": 2}}}],
        "required": ["a", "b"],
    }
    assert formed(server, parts) == {"a": 1, "b": 2}
    inner = {"properties": {"x": {"properties": {"y": {"const": 1}}}}, "required": ["x"]}
    assert set(formed(server, inner)["x"]) <= {"y"}
    assert isinstance(formed(server, {}, temperature=0.1, seed=1, num_predict=1000), dict)


# --- what is refused, and why ---------------------------------------------------------------------


def deep(levels: int) -> Any:
    schema: Any = {"const": 1}
    for _ in range(levels):
        schema = {"items": schema}
    return schema


def chain(length: int) -> Any:
    links = {f"d{n}": {"items": {"$ref": f"#/$defs/d{n + 1}"}} for n in range(length)}
    return {"$defs": {**links, f"d{length}": {"const": 1}}, "$ref": "#/$defs/d0"}


def doubled(times: int) -> Any:
    links = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(times)}
    return {"$defs": {**links, f"d{times}": {"minLength": 1}}, "$ref": "#/$defs/d0"}


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        (deep(MOST_LEVELS + 1), "levels deep"),
        (chain(20_000), "too large or too intricate"),
        (doubled(40), "too large"),
        ({"allOf": [{"pattern": f".*a.{{{n}}}"} for n in range(60)]}, "too intricate"),
        ({"type": "string", "pattern": "^(?=a)b"}, "look-around"),
        ({"type": "string", "pattern": "("}, "unclosed group"),
        ({"enum": ["x" * 1_000_001]}, "characters"),
        ({"$ref": "#"}, "no finite value"),
        ({"$ref": "#/nowhere"}, "does not exist"),
        ({"$ref": "https://example.com/schema"}, "example.com"),
        ({"type": "string", "minLength": 3, "maxLength": 2}, "minLength"),
        ({"enum": []}, "empty"),
        ({"type": 3}, "grammar"),
        ({"properties": [1]}, "grammar"),
    ],
    ids=lambda value: value if isinstance(value, str) else json.dumps(value)[:40],
)
def test_what_cannot_be_a_form_is_said(server: Server, schema: Any, words: str) -> None:
    assert words in refused(server, schema)


def test_a_form_that_grows_too_large_on_the_way_is_said(server: Server) -> None:
    """Its check passes; the answer stops with the reason, and the model answers the next one."""
    schema = {"type": "string", "pattern": "^(a{1000}){1000}$"}
    answer = server.post("/api/chat", {"model": "tiny", "messages": HI, "format": schema})
    assert "too many expressions" in answer.text
    assert said(server, format={"const": "x"}) == '"x"'


# --- any schema -----------------------------------------------------------------------------------

_WORDS = ("a", "b", "é", 'q"', "\\", "😀", "$ref", "x/y~z", "", "\n")
_PATTERNS = (
    "^\\d+$",
    "a|b",
    "[^x]{2}",
    "\\w\\s",
    "(",
    "^(?=a)",
    ".*",
    "(a{30}){30}",
    "[\\]]",
)


class Maker:
    """Random schemas: mostly sensible, some contradictory or wrong."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.names = [f"d{n}" for n in range(self.random.randrange(4))]

    def schema(self) -> dict[str, Any]:
        made = self.part(4)
        made["$defs"] = {name: self.part(3) for name in self.names}
        return made

    def part(self, depth: int) -> dict[str, Any]:
        kinds: list[Callable[[int], dict[str, Any]]]
        kinds = [self.number, self.text, self.choice, self.reference, self.odd]
        kinds += [self.array, self.object, self.object, self.combined] if depth else []
        return self.random.choice(kinds)(depth - 1)

    def some(self, choices: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in choices.items() if self.random.random() < 0.5}

    def number(self, _depth: int) -> dict[str, Any]:
        low = self.random.choice((0, -7, 2.5, -(2**63), 1e300))
        high = self.random.choice((3, 99.5, 10**30, -1))
        kind = self.random.choice(("integer", "number"))
        return {"type": kind, **self.some({"minimum": low, "exclusiveMaximum": high})}

    def text(self, _depth: int) -> dict[str, Any]:
        choices = {
            "pattern": self.random.choice(_PATTERNS),
            "minLength": self.random.choice((0, 2, 10**5, -1)),
            "maxLength": self.random.choice((1, 5, 20_000, 10**15)),
            "format": self.random.choice(("date", "uuid", "time", "email", "no such")),
        }
        return {"type": "string", **self.some(choices)}

    def choice(self, _depth: int) -> dict[str, Any]:
        values = [self.random.choice((*_WORDS, 1, None, {"a": [1]}, 1.5)) for _ in range(3)]
        return self.random.choice(({"enum": values}, {"const": values[0]}))

    def reference(self, _depth: int) -> dict[str, Any]:
        return {"$ref": self.random.choice(("#", *(f"#/$defs/{name}" for name in self.names)))}

    def odd(self, _depth: int) -> dict[str, Any]:
        some: tuple[dict[str, Any], ...]
        some = ({}, {"type": ["null", "string"]}, {"not": {}}, {"type": "x"}, {"uniqueItems": True})
        return dict(self.random.choice(some))

    def array(self, depth: int) -> dict[str, Any]:
        low, high = self.random.choice(((0, 2), (3, 1), (1, 10**6), (10**9, 10**10)))
        choices = {"minItems": low, "maxItems": high, "prefixItems": [self.part(depth)]}
        return {"type": "array", "items": self.part(depth), **self.some(choices)}

    def object(self, depth: int) -> dict[str, Any]:
        names = self.random.sample(_WORDS, 3)
        choices = {
            "type": "object",
            "required": names[:2],
            "additionalProperties": self.random.choice((True, False, self.part(depth))),
            "patternProperties": {"^z": self.part(depth)},
        }
        return {"properties": {name: self.part(depth) for name in names}, **self.some(choices)}

    def combined(self, depth: int) -> dict[str, Any]:
        word = self.random.choice(("anyOf", "oneOf", "allOf"))
        made = {word: [self.part(depth) for _ in range(self.random.randint(1, 3))]}
        return made | (self.object(depth) if self.random.random() < 0.3 else {})


def test_no_schema_ends_the_engine(server: Server) -> None:
    """Random schemas: a refusal with words, or an answer that is valid if it came to its end."""
    process, ended = server.process.pid, 0
    for seed in range(60):
        schema = Maker(seed).schema()
        body = {"model": "tiny", "messages": HI, "stream": False, "format": schema}
        answer = server.post("/api/chat", {**body, "options": {**HOT, "num_predict": 80}})
        assert answer.status_code in (200, 400), (seed, answer.text)
        if answer.status_code == 400:
            assert len(answer.json()["error"]) > 20
        elif answer.json()["done_reason"] == "stop":
            value = json.loads(answer.json()["message"]["content"])
            assert _only_two_of_one(value, schema), (seed, schema, value)
            ended += 1
    assert (server.process.pid, server.process.poll()) == (process, None)
    assert ended > 5


def _only_two_of_one(value: Any, schema: dict[str, Any]) -> bool:
    """Whether a value is valid, but for `oneOf` that more than one fits, `not` and `uniqueItems`.

    Those are beyond a form that is made from left to right.
    """
    rules = {**jsonschema.Draft202012Validator.VALIDATORS}
    rules |= {"oneOf": rules["anyOf"]}
    rules = {key: rule for key, rule in rules.items() if key not in ("not", "uniqueItems")}
    checker = jsonschema.validators.create(jsonschema.Draft202012Validator.META_SCHEMA, rules)
    try:
        return bool(checker(schema).is_valid(value))
    except RecursionError:  # a reference to itself has no verdict
        return True
