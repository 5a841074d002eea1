"""A request's JSON schema as the grammar maker is to read it.

What llama.cpp's converter takes for granted is said: an object has the properties that are named
and no others, and a schema that only makes sense for one type has that type. So the answers are
those that Ollama gives, and each of them is valid under the schema as it was sent. What the maker
cannot count (numbers beyond its own) is brought into its range, never out of the schema's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from qi_learn.engine.object_schema import IN_PLACE, refuse_open, translate
from qi_learn.errors import ServerError
from qi_learn.outside.llguidance import grammar_of

MOST_CHARACTERS = 1_000_000
"""Of a schema's JSON: more than every tool of a large agent together."""
MOST_LEVELS = 100
"""Of objects and arrays inside each other: the grammar maker reads 128."""
MOST_PARTS = 50_000
"""Schemas inside a schema, references that are put in their place counted again."""
_TOO_LARGE = "this JSON schema is too large once its references are put in their place"
_LARGEST_NUMBER = 10**18
_LARGEST_COUNT = 10**9
_NAMED = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_SINGLE = (
    *("items", "prefixItems", "additionalProperties", "additionalItems", "not", "contains"),
    *("unevaluatedProperties", "unevaluatedItems", "propertyNames"),
)
_OPENING = ("additionalProperties", "patternProperties")
_TYPE_OF = {
    "object": ("properties", "patternProperties", "additionalProperties", "required"),
    "array": ("items", "prefixItems", "minItems", "maxItems"),
    "string": ("pattern", "format", "minLength", "maxLength"),
}
_UPPER = ("maximum", "exclusiveMaximum")
_LOWER = ("minimum", "exclusiveMinimum")
_COUNTS = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")


def grammar_for(form: Any) -> str | None:
    """The grammar for a request's `format`: "json", a JSON schema, or nothing.

    Raises ServerError for anything else.
    """
    if form in (None, ""):
        return None
    if form == "json":
        return grammar_of({"type": "object"})
    if not isinstance(form, dict):
        raise ServerError(
            f'invalid format: {json.dumps(form)}; expected "json" or a valid JSON Schema object',
            status=400,
        )
    return grammar_of(prepare_schema(form))


def prepare_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema, closed and typed. Raises ServerError (400) if it is too large or too deep."""
    refuse_large(schema)
    if not schema:
        return {"type": "object"}
    try:
        prepared: dict[str, Any] = _Preparation(schema).read(schema)
    except RecursionError as error:
        raise ServerError(_TOO_LARGE, status=400) from error
    return prepared


def refuse_large(schema: Any) -> None:
    """Raise ServerError (400) for a schema that is too deep or too long."""
    level, below = 0, [schema]
    while below := [item for value in below for item in _inside(value)]:
        level += 1
        if level > MOST_LEVELS:
            raise ServerError(
                f"this JSON schema is nested more than {MOST_LEVELS} levels deep",
                "use $defs and $ref",
                status=400,
            )
    if len(json.dumps(schema)) > MOST_CHARACTERS:
        raise ServerError(
            f"this JSON schema has more than {MOST_CHARACTERS:,} characters", status=400
        )


def _inside(value: Any) -> list[Any]:
    """The objects and arrays directly in a value."""
    held = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [item for item in held if isinstance(item, (dict, list))]


class _Preparation:
    """One schema while it is read; references are looked up in its root."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self.root = root
        self.inlining: list[str] = []
        """References on the way down, so that a circle is left as it is."""
        self.parts = 0

    def read(self, node: Any, *, part: bool = False) -> Any:
        """A schema, prepared. A `part` says only some of a value, so it is not closed."""
        if not isinstance(node, dict):
            return node
        self.parts += 1
        if self.parts > MOST_PARTS:
            raise ServerError(_TOO_LARGE, status=400)
        if part and isinstance(node.get("$ref"), str):
            target = self._find(node["$ref"])
            if isinstance(target, dict) and node["$ref"] not in self.inlining:
                return self._inlined(node, node["$ref"], target)
        together = part or "allOf" in node
        together = together or ("properties" in node and any(key in node for key in IN_PLACE))
        read = {
            key: self._read_key(key, value, together)
            for key, value in node.items()
            if key != "x-guidance"
        }
        _infer_type(read)
        _bound_numbers(read)
        translate(read)
        if not part:
            _close(read)
        refuse_open(read)
        return read

    def _read_key(self, key: str, value: Any, together: bool) -> Any:
        if key in _NAMED and isinstance(value, dict):
            return {name: self.read(one) for name, one in value.items()}
        if key in IN_PLACE and isinstance(value, list):
            return [self.read(one, part=together) for one in value]
        if key in _SINGLE:
            return (
                [self.read(one) for one in value] if isinstance(value, list) else self.read(value)
            )
        return value

    def _inlined(self, node: dict[str, Any], reference: str, target: Any) -> dict[str, Any]:
        """The schema with what it refers to beside it, so that both are parts of one object."""
        rest = {key: value for key, value in node.items() if key != "$ref"}
        self.inlining.append(reference)
        try:
            both = [self.read(one, part=True) for one in (target, rest) if one]
        finally:
            self.inlining.pop()
        return {"allOf": both}

    def _find(self, reference: str) -> Any:
        """What a pointer into this schema means; None for any other reference."""
        if not reference.startswith("#"):
            return None
        found: Any = self.root
        for step in unquote(reference[1:]).split("/")[1:]:
            if not isinstance(found, dict):
                return None
            found = found.get(step.replace("~1", "/").replace("~0", "~"))
        return found


def _infer_type(node: dict[str, Any]) -> None:
    """Say the type that the keys of a schema without one are about."""
    if any(key in node for key in ("type", "enum", "const", "$ref", "not", *IN_PLACE)):
        return
    kinds = (kind for kind, keys in _TYPE_OF.items() if any(key in node for key in keys))
    if kind := next(kinds, None):
        node["type"] = kind


def _bound_numbers(node: dict[str, Any]) -> None:
    """Bring limits into the range that the grammar maker counts in."""
    for keys, nearer, end in ((_UPPER, min, _LARGEST_NUMBER), (_LOWER, max, -_LARGEST_NUMBER)):
        for key in keys:
            if _is_number(node.get(key)):
                node[key] = nearer(node[key], end)
    for key in _COUNTS:
        value: Any = node.get(key)
        if isinstance(value, float) and value.is_integer():
            node[key] = value = int(value)
        if _is_number(value) and value > _LARGEST_COUNT and key.startswith("max"):
            del node[key]  # no answer is that long


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _close(node: dict[str, Any]) -> None:
    """Allow the named properties alone, unless the schema says otherwise."""
    kinds = node.get("type", "object")
    if kinds != "object" and not (isinstance(kinds, list) and "object" in kinds):
        return
    if "properties" not in node and "allOf" not in node:
        return
    parts = list(_parts(node))
    names = {name for part in parts for name in part.get("properties", {})}
    if names:  # a required one is a property too, though no schema says what it is
        names |= {name for part in parts for name in _required(part)}
    if not names or any(key in part for part in parts for key in _OPENING):
        return
    if any("$ref" in part for part in parts):
        return
    own = node.get("properties", {})
    node["properties"] = {**own, **dict.fromkeys(sorted(names - set(own)), True)}
    node["additionalProperties"] = False


def _required(node: Mapping[str, Any]) -> list[str]:
    required = node.get("required")
    named = required if isinstance(required, list) else []
    return [name for name in named if isinstance(name, str)]


def _parts(node: Any) -> Iterator[dict[str, Any]]:
    """A schema and what is in its place: every one speaks about the same value."""
    if isinstance(node, dict) and isinstance(node.get("properties", {}), dict):
        yield node
        for key in IN_PLACE:
            branches = node.get(key)
            for branch in branches if isinstance(branches, list) else ():
                yield from _parts(branch)
