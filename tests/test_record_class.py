"""A record made by `record_class` is used as one of `dataclasses` is."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import pytest

from qi_learn.record_class import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """A place."""

    name: str
    depth: int = 0
    notes: tuple[str, ...] = dataclasses.field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Harbour(Place):
    """A place with ships."""

    ships: list[str] = dataclasses.field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Named:
    """A record with words of its own."""

    name: str

    def __repr__(self) -> str:
        return f"<{self.name}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Named) and other.name.lower() == self.name.lower()

    def __hash__(self) -> int:
        return hash(self.name.lower())


@dataclasses.dataclass(frozen=True, slots=True)
class Library:
    """The same by the library."""

    name: str
    depth: int = 0


def test_two_are_equal_by_their_fields() -> None:
    assert Place("a", 1, ("seen",)) == Place("a", 1)
    assert Place("a", 1) != Place("a", 2)
    assert Place("a") != Harbour("a")
    other: object = "a"
    assert Place("a") != other
    assert {Place("a", 1, ("seen",)): "found"}[Place("a", 1)] == "found"


def test_it_shows_its_fields() -> None:
    assert repr(Place("a", 2, ("seen",))) == "Place(name='a', depth=2)"
    assert repr(Harbour("b", ships=["x"])) == "Harbour(name='b', depth=0, ships=['x'])"


def test_what_a_class_writes_itself_stays() -> None:
    assert Named("A") == Named("a")
    assert len({Named("A"), Named("a")}) == 1
    assert repr(Named("A")) == "<A>"


def test_nothing_of_it_can_be_changed() -> None:
    place = Place("a")
    with pytest.raises(dataclasses.FrozenInstanceError):
        place.name = "b"  # type: ignore[misc]  # that it may not is what is tested
    with pytest.raises(dataclasses.FrozenInstanceError):
        del place.name
    assert not hasattr(place, "__dict__")


def test_the_library_knows_it() -> None:
    harbour = Harbour("a", 3, ships=["x"])
    assert dataclasses.asdict(harbour) == {"name": "a", "depth": 3, "notes": (), "ships": ["x"]}
    assert dataclasses.replace(harbour, depth=4) == Harbour("a", 4, ships=["x"])
    assert copy.deepcopy(harbour) == harbour == pickle.loads(pickle.dumps(harbour))
    match Place("a", 1):
        case Place(name, depth):
            assert (name, depth) == ("a", 1)


def test_the_two_say_the_same() -> None:
    ours, theirs = Place("a", 7), Library("a", 7)
    assert repr(ours).partition("(")[2] == repr(theirs).partition("(")[2]
    assert (Library("a") == Library("a", 1)) == (Place("a") == Place("a", 1))
