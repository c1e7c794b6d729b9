"""Detects changes by comparing rows of MLflow with a fleet."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from app.domain.registry.fleet import Fleet
from app.domain.registry.models import Inventory, ModelReading, Newest, RegisteredModel


@dataclass(frozen=True, slots=True)
class Changed:
    """The names of registered models to read again. `beyond` is True if rows older than those read may have changed."""

    names: frozenset[str]
    beyond: bool


@dataclass(frozen=True, slots=True)
class Unlike:
    """How a list of all registered models differs from a fleet.

    `same_versions` differ in what moves no timestamp, such as aliases; `updated` must be read with their versions;
    `missing` are no longer listed. `lost` are those, and the models whose name another model has now.
    """

    same_versions: tuple[RegisteredModel, ...]
    updated: tuple[str, ...]
    missing: tuple[str, ...]
    lost: frozenset[str]


def newer_than(newest: Newest, limit: int, fleet: Fleet) -> Changed:
    """The models whose newest rows differ from the fleet's. `newest` holds up to `limit` rows of each kind."""
    models = [_is_known(model, fleet) for model in newest.models]
    versions = [
        (known := fleet.find(row.name, row.version)) is not None
        and (known.row.updated, known.row.created) == (row.updated, row.created)
        for row in newest.versions
    ]
    names = {model.name for model, known in zip(newest.models, models, strict=True) if not known}
    names |= {row.name for row, known in zip(newest.versions, versions, strict=True) if not known}
    # If a full page holds nothing but news, there may be more.
    beyond = any(len(known) >= limit and not any(known) for known in (models, versions))
    return Changed(frozenset(names), beyond)


def renamed(newest: Newest, fleet: Fleet) -> list[str]:
    """The names that may have been renamed: a new name has the same creation time."""
    made = {model.created for model in newest.models if model.name not in fleet.registered}
    there = {model.name for model in newest.models}
    if not made:
        return []
    return sorted(m.name for m in fleet.registered.values() if m.created in made and m.name not in there)


def unlike(models: Iterable[RegisteredModel], fleet: Fleet) -> Unlike:
    """Compare all registered models, as MLflow lists them now, with the fleet."""
    now = {model.name: model for model in models}
    same, updated, replaced = [], [], []
    for name, model in now.items():
        known = fleet.registered.get(name)
        if known is None or (known.created, known.updated) != (model.created, model.updated):
            updated.append(name)
            if known is not None and known.created != model.created:
                replaced.append(name)
        elif is_torn(ModelReading(model, None), name, fleet):
            updated.append(name)
        elif known != model:
            same.append(model)
    missing = tuple(name for name in fleet.registered if name not in now)
    return Unlike(tuple(same), tuple(updated), missing, frozenset((*missing, *replaced)))


def is_torn(reading: ModelReading, name: str, fleet: Fleet) -> bool:
    """Whether a reading may be of two moments, since it has no alias any more, or no version.

    MLflow reads a registered model, then its aliases, and is then asked for its versions, each by the model's name. If
    the model is renamed or deleted in between, there are none. Who reads again sees which it is.
    """
    known, versions = fleet.model(name)
    model = reading.model
    if known is None or model is None or known.created != model.created:
        return False
    lost_versions = bool(versions) and reading.versions is not None and not reading.versions
    return lost_versions or (bool(known.aliases) and not model.aliases)


def lacking(inventory: Inventory, fleet: Fleet) -> list[str]:
    """Known models to look up after a reading of everything.

    It lacks them, or some of their versions although the model has not changed, or may have torn them.
    """
    read = {model.name: model for model in inventory.models}
    versions = Counter(row.name for row in inventory.versions)
    return [
        name
        for name, model in fleet.registered.items()
        if name not in read
        or (read[name].updated == model.updated and versions[name] < len(fleet.model(name)[1]))
        or is_torn(ModelReading(read[name], None), name, fleet)
    ]


def completed(inventory: Inventory, readings: Mapping[str, ModelReading]) -> Inventory:
    """A reading of the registry in which `readings` of single models replace those models."""
    models = [model for model in inventory.models if model.name not in readings]
    versions = [row for row in inventory.versions if row.name not in readings]
    for reading in readings.values():
        if reading.model is not None:
            models.append(reading.model)
            versions += reading.versions or ()
    return replace(inventory, models=tuple(models), versions=tuple(versions))


def _is_known(model: RegisteredModel, fleet: Fleet) -> bool:
    known = fleet.registered.get(model.name)
    return known is not None and (known.created, known.updated) == (model.created, model.updated)
