"""Keywords of JSON schema that the grammar maker does not know, in words that it does.

Where that cannot be, the schema is refused: an answer must be valid under what was sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qi_learn.errors import ServerError

IN_PLACE = ("allOf", "anyOf", "oneOf")
_REFUSED = (
    *("dependentRequired", "dependentSchemas", "dependencies"),
    *("$dynamicRef", "$recursiveRef"),
)
_NAMING = ("properties", "patternProperties")
_APPLIED = (*IN_PLACE, "$ref", "if", "then", "else", "not")
"""Keys by which other schemas speak about the same value."""


def translate(node: dict[str, Any]) -> None:
    """Say what a schema says in known keys. Raises ServerError (400) where that cannot be."""
    for key in _REFUSED:
        if node.get(key):
            raise _cannot(key)
    _unevaluated(node, "unevaluatedProperties", "additionalProperties")
    _unevaluated(node, "unevaluatedItems", "items")
    _property_names(node)
    _at_least(node)


def refuse_open(node: Mapping[str, Any]) -> None:
    """Refuse what should have no other properties, and could not be closed."""
    if node.get("unevaluatedProperties") is False and node.get("additionalProperties") is not False:
        raise _cannot("unevaluatedProperties")


def _cannot(key: str) -> ServerError:
    return ServerError(
        f"this JSON schema cannot be turned into a grammar: `{key}` is not supported here",
        "leave it out, or name what an answer may hold with `properties` and `required`",
        status=400,
    )


def _unevaluated(node: dict[str, Any], key: str, known: str) -> None:
    """`unevaluated...` is `additional...` where no other schema speaks about the value.

    With parts that all hold (`allOf`), `False` stays for the closing of the object.
    """
    if key not in node:
        return
    value = node[key]
    if not any(one in node for one in _APPLIED):
        del node[key]
        node.setdefault(known, value)
    elif value in (True, {}):
        del node[key]
    elif value is not False or key == "unevaluatedItems" or not _only_parts(node):
        raise _cannot(key)


def _only_parts(node: Mapping[str, Any]) -> bool:
    """Whether all that speaks about the value holds at once."""
    if any(key in node for key in _APPLIED if key != "allOf"):
        return False
    parts = node.get("allOf", [])
    return isinstance(parts, list) and all(isinstance(p, dict) and _only_parts(p) for p in parts)


def _property_names(node: dict[str, Any]) -> None:
    """`propertyNames` as the properties that there may be."""
    names = node.pop("propertyNames", None)
    if names in (None, True, {}) or names == {"type": "string"}:
        return  # every name is a text
    if not isinstance(names, dict) or any(key in node for key in (*_NAMING, *_APPLIED)):
        raise _cannot("propertyNames")
    value = node.get("additionalProperties", True)
    asked = {key: one for key, one in names.items() if (key, one) != ("type", "string")}
    allowed = asked.get("enum", [asked.get("const")])
    if set(asked) == {"pattern"} and isinstance(asked["pattern"], str):
        node["patternProperties"] = {asked["pattern"]: value}
    elif set(asked) in ({"enum"}, {"const"}) and isinstance(allowed, list):
        node["properties"] = {name: value for name in allowed if isinstance(name, str)}
    else:
        raise _cannot("propertyNames")
    node["additionalProperties"] = False


def _at_least(node: dict[str, Any]) -> None:
    """`minProperties` of named properties, by which of them are required.

    The first that are optional are, up to one, and one of the rest: the maker counts to one.
    """
    least, names = node.get("minProperties"), node.get("properties")
    required, parts = node.get("required", []), node.get("allOf", [])
    if not isinstance(least, int) or not isinstance(names, dict):
        return
    if not isinstance(required, list) or not isinstance(parts, list):
        return
    optional = [name for name in names if name not in required]
    missing = least - len({name for name in required if isinstance(name, str)})
    if least < 2 or missing > len(optional) or (missing > 0 and _is_open(node)):
        return
    del node["minProperties"]
    if missing <= 0:
        return
    node["required"] = [*required, *optional[: missing - 1]]
    rest = [{"required": [name]} for name in optional[missing - 1 :]]
    node["allOf"] = [*parts, {"anyOf": rest}]


def _is_open(node: Mapping[str, Any]) -> bool:
    return bool(node.get("additionalProperties") or node.get("patternProperties"))
