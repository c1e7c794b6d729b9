"""Which registered model or version is another one's under a new name: a rename keeps numbers and creation times."""

from app.domain.registry.fleet import Fleet
from app.domain.registry.models import VersionKey


def model_renamed(fleet: Fleet, name: str, created: int) -> str | None:
    """The present name of a registered model that is gone by its `name`; None where none or several may be it."""
    if fleet.model(name)[0] is not None or created <= 0:
        return None
    return _only([other.name for other in fleet.registered.values() if other.created == created])


def version_renamed(fleet: Fleet, key: VersionKey, created: int) -> VersionKey | None:
    """A model version under the present name of its registered model; None as for `model_renamed`."""
    name, number = key
    if fleet.model(name)[0] is not None or created <= 0:
        return None
    names = [row.name for model in fleet.models if (row := model.row).version == number and row.created == created]
    present = _only(names)
    return None if present is None else (present, number)


def _only(names: list[str]) -> str | None:
    return names[0] if len(names) == 1 else None
