"""The plainest way to answer a query of a list: look at every version. What indexes find is held against it."""

from collections.abc import Iterable, Mapping

from app.domain.registry.models import Registration, TrackedModel, VersionKey
from app.domain.registry.query import ListQuery, effective_type

Registrations = Mapping[VersionKey, Registration]


def matching(models: Iterable[TrackedModel], query: ListQuery, registrations: Registrations) -> list[TrackedModel]:
    """The versions that a query matches, in its order; equals stay in the order that they came in."""
    found = [model for model in models if _fits(model, query, registrations)]
    sort = query.sort or ""
    key = {
        "name": lambda model: model.row.name,
        "creation_timestamp": lambda model: model.row.created,
        "last_updated_timestamp": lambda model: model.row.updated,
    }.get(sort.lstrip("-"))
    return sorted(found, key=key, reverse=sort.startswith("-")) if key else found


def _fits(model: TrackedModel, query: ListQuery, registrations: Registrations) -> bool:
    kind = effective_type(model, registrations.get(model.key))
    return (
        (query.name is None or query.name.casefold() in model.row.name.casefold())
        and (query.stage is None or model.stage == query.stage)
        and (query.alias is None or query.alias in model.aliases)
        and (query.model_type is None or kind == query.model_type)
        and all((key, value) in model.row.tags.items() for key, value in query.tags)
        and (not query.owners or model.owner in query.owners)
    )
