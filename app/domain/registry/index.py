"""Indexes of a fleet's versions, so that a page of a filtered list needs no visit to every version."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import cached_property
from itertools import chain
from typing import TypeVar

from app.domain.registry.fleet import Fleet
from app.domain.registry.models import Registration, TrackedModel, VersionKey
from app.domain.registry.query import ListQuery

Registrations = dict[VersionKey, Registration]
Places = Sequence[int]
V = TypeVar("V", bound=Hashable)


class Orders:
    """Sorts places. `make` returns all places in a given order and is called once for each order."""

    def __init__(self, make: Callable[[str], list[int]]) -> None:
        self._make = make
        self._made: dict[str, tuple[list[int], list[int]]] = {}

    def arranged(self, places: Places, sort: str) -> Places:
        """Some of the places, in an order."""
        order, rank = self._order(sort)
        if len(places) == len(order):
            return order
        if len(places) * 8 < len(order):
            return sorted(places, key=rank.__getitem__)
        wanted = frozenset(places)
        return [place for place in order if place in wanted]

    def _order(self, sort: str) -> tuple[list[int], list[int]]:
        """The places in an order, and the rank of each place in that order."""
        made = self._made.get(sort)
        if made is None:
            order = self._make(sort)
            rank = [0] * len(order)
            for number, place in enumerate(order):
                rank[place] = number
            made = self._made[sort] = (order, rank)
        return made


class Index:
    """Finds versions by their places in `Fleet.models`. Each index is made when it is first needed."""

    def __init__(self, fleet: Fleet, registrations: Registrations) -> None:
        self._fleet = fleet
        self.models = fleet.models
        self._registrations = registrations
        self._orders = Orders(self._in_order)

    def find(self, query: ListQuery, among: Places | None = None) -> Sequence[TrackedModel]:
        """The versions that a query matches, among all or those at some places, in the query's order."""
        return [self.models[place] for place in self.arranged(self.places(query, among), query.sort)]

    def of_stage(self, stage: str) -> Places:
        """The places of the versions with an effective stage."""
        return self._by_stage.get(stage, ())

    def registered(self, model_type: str | None = None) -> Places:
        """The places of the versions that are registered for monitoring, of all or of one model type."""
        return self._by_registration.get(model_type, ())

    def of_model(self, name: str) -> Places:
        """The places of the versions of a registered model."""
        return self._by_name.get(name, ())

    def places(self, query: ListQuery, among: Places | None = None) -> Places:
        """The places of the versions that a query matches, by name, then version, highest first."""
        matches: list[Places] = [] if among is None else [among]
        if query.stage is not None:
            matches.append(self._by_stage.get(query.stage, ()))
        if query.alias is not None:
            matches.append(self._by_alias.get(query.alias, ()))
        if query.model_type is not None:
            matches.append(self._by_type.get(query.model_type, ()))
        matches.extend(self._by_tag.get(tag, ()) for tag in query.tags)
        if query.owners:
            matches.append(self._owned_by(query.owners))
        if query.name is not None:
            matches.append(self._named(query.name))
        return common(matches, len(self.models))

    def arranged(self, places: Places, sort: str | None) -> Places:
        """Places in the order that a query asks for."""
        return places if sort in (None, "name") else self._orders.arranged(places, sort)

    def _named(self, text: str) -> Places:
        needle = text.casefold()
        return [place for folded, places in self._names if needle in folded for place in places]

    def _owned_by(self, owners: Sequence[str | None]) -> Places:
        wanted = [self._by_owner.get(owner, []) for owner in dict.fromkeys(owners)]
        # Each list is sorted, and no version has two owners.
        return wanted[0] if len(wanted) == 1 else sorted(chain.from_iterable(wanted))

    def _in_order(self, sort: str) -> list[int]:
        key = _KEYS[sort.lstrip("-")]
        values = [key(model) for model in self.models]
        # A stable sort: equals stay by name, then by version, highest first.
        return sorted(range(len(values)), key=values.__getitem__, reverse=sort.startswith("-"))

    @cached_property
    def _by_name(self) -> dict[str, range]:
        by_name, at = {}, 0
        for name, versions in self._fleet.by_name.items():
            by_name[name] = range(at, at + len(versions))
            at += len(versions)
        return by_name

    @cached_property
    def _names(self) -> list[tuple[str, range]]:
        return [(name.casefold(), places) for name, places in self._by_name.items()]

    @cached_property
    def _by_stage(self) -> dict[str, list[int]]:
        return grouped((model.stage,) for model in self.models)

    @cached_property
    def _by_alias(self) -> dict[str, list[int]]:
        return grouped(model.aliases for model in self.models)

    @cached_property
    def _by_tag(self) -> dict[tuple[str, str], list[int]]:
        return grouped(model.row.tags.items() for model in self.models)

    @cached_property
    def _by_owner(self) -> dict[str | None, list[int]]:
        return grouped((model.owner,) for model in self.models)

    @cached_property
    def _by_registration(self) -> dict[str | None, list[int]]:
        """The places of registered versions by the model type that they are registered as; under None all of them."""
        registered = self._registrations
        return grouped(
            (registered[model.key].model_type, None) if model.key in registered else () for model in self.models
        )

    @cached_property
    def _by_type(self) -> dict[str | None, list[int]]:
        registered = self._registrations
        return grouped(
            (registered[model.key].model_type if model.key in registered else model.model_type,)
            for model in self.models
        )


_KEYS: dict[str, Callable[[TrackedModel], str | int]] = {
    "name": lambda model: model.row.name,
    "creation_timestamp": lambda model: model.row.created,
    "last_updated_timestamp": lambda model: model.row.updated,
}


def grouped(values: Iterable[Iterable[V]]) -> dict[V, list[int]]:
    """For each value the places that hold it; `values` are what each place holds."""
    places: dict[V, list[int]] = {}
    for place, held in enumerate(values):
        for value in held:
            places.setdefault(value, []).append(place)
    return places


def common(lists: list[Places], count: int) -> Places:
    """The places that are in all of the lists, in order; the first `count` places if there is no list."""
    if not lists:
        return range(count)
    lists.sort(key=len)
    common: Places = lists[0]
    for places in lists[1:]:
        if not common:
            break
        wanted = frozenset(places) if not isinstance(places, range) else places
        common = [place for place in common if place in wanted]
    return common
